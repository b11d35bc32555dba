"""Fit what a checkpoint's confidence is worth, on pictures held out of its training.

  bcjax calibrate --workdir=runs/a
  bcjax calibrate --workdir=runs/a --coverage=0.95 --error-rate=0.02 --not-cells=holidays/

Writes calibration/<step>.json (and .npz) in the workdir, which predict and evaluate then use.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.data.records import SPLITS
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.fitted import Calibration


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_enum("split", "val", SPLITS, "What it is fitted on.", flag_values=values)
    flags.DEFINE_float(
        "coverage", 0.9, "Share of the sets that hold the true class.", flag_values=values
    )
    flags.DEFINE_float(
        "error-rate", 0.05, "The most errors among answers that are not `uncertain`, a share.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "not-cells", None, "A folder of other pictures, to be told from cells.", flag_values=values
    )
    flags.DEFINE_integer("batch_size", None, "Pictures at a time.", 1, flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax calibrate takes flags only, not {positional[0]!r}.")
    if not values.workdir:
        raise UserError("Give the run to calibrate, such as --workdir=runs/elu_cnn.")
    workdir = Path(values.workdir)
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.evaluation import calibrate
    from bcjax.evaluation.calibration import fitted
    from bcjax.evaluation.calibration.measure import measure
    from bcjax.evaluation.images import find_pictures
    from bcjax.runtime import compilation

    folder = values["not-cells"].value
    not_cells = find_pictures([folder]) if folder else []
    compilation.use_cache()
    calibration, answers = calibrate.fit(
        workdir,
        values.checkpoint,
        split=values.split,
        coverage=values.coverage,
        error_rate=values.get_flag_value("error-rate", None),
        batch_size=values.batch_size or 0,
    )
    if not_cells:
        told = _told_apart(workdir, calibration, not_cells, values.batch_size or 64)
        calibration = dataclasses.replace(calibration, not_cells=told)
    path = fitted.write(calibration, workdir)
    console = Console()
    measured = measure(calibration, answers)
    console.print(_table(measured, calibration))
    for sentence in _notes(measured):
        console.print(sentence, highlight=False)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def _told_apart(
    workdir: Path, calibration: "Calibration", paths: list[Path], batch_size: int
) -> dict[str, Any]:
    """Returns how well pictures that are no cells are told from those it was fitted on.

    Raises:
      UserError: If one of them cannot be read.
    """
    from bcjax.evaluation import predictor
    from bcjax.evaluation.calibration.measure import strangers

    network = predictor.load(workdir, calibration.step, calibration=calibration)
    predictions = network.predict(paths, batch_size)
    if bad := predictions.unreadable:
        raise UserError(
            f"{len(bad)} of {len(paths)} pictures cannot be read ({bad[0].name}: {bad[0].reason})."
        )
    assert calibration.outliers
    assert predictions.energy is not None
    assert predictions.distance is not None
    return strangers(calibration.outliers, predictions.energy, predictions.distance)


def _table(measured: dict[str, Any], calibration: "Calibration") -> Table:
    where = f"{measured['fitted_on']} split, checkpoint {measured['step']}, n = {measured['n']:,}"
    table = Table(title=where, title_justify="left")
    table.add_column("fitted")
    table.add_column("value", justify="right")
    table.add_row("temperature", f"{measured['temperature']:.3f}")
    for name, shown in (("log_loss", "log loss"), ("ece", "calibration error")):
        figure = measured[name]
        table.add_row(f"{shown}, before and after", f"{figure['raw']:.4f} {figure['scaled']:.4f}")
    sets, abstention = measured["conformal"], measured["abstention"]
    table.add_row(f"in a set from ({sets['coverage']:.0%} coverage)", f"{sets['least']:.4f}")
    table.add_row("classes in a set, mean", f"{sets['mean_size']:.2f}")
    threshold = "-" if abstention["threshold"] is None else f"{abstention['threshold']:.4f}"
    table.add_row(f"uncertain up to ({abstention['error_rate']:.1%} errors)", threshold)
    if abstention["answered"]:
        table.add_row("answered", f"{abstention['answered']['value']:.1%}")
    if calibration.not_cells:
        n = calibration.not_cells["n"]
        for name in ("energy", "distance"):
            auroc = calibration.not_cells[name]["auroc"]
            table.add_row(f"AUROC of {name}, {n:,} no cells", f"{auroc:.4f}")
    return table


def _notes(measured: dict[str, Any]) -> Iterator[str]:
    """Yields what a person should know of what could not be fitted."""
    sets, abstention = measured["conformal"], measured["abstention"]
    if few := sets["by_class"]["too_few"]:
        yield f"Too few pictures for sets by class, so in each one: {', '.join(few)}."
    if sets["empty"]["value"]:
        yield (
            f"{sets['empty']['value']:.1%} of the sets are empty, for no class was probable "
            "enough: a higher --coverage leaves fewer."
        )
    rate = abstention["error_rate"]
    if abstention["threshold"] is None:
        yield (
            f"No error rate of {rate:.1%} can be vouched for by {measured['n']:,} pictures: "
            f"{abstention['needed']:,} or more are needed, or another --error-rate."
        )
    elif abstention["threshold"] == 1:
        yield f"No confidence keeps errors to {rate:.1%}: every picture will be uncertain."
