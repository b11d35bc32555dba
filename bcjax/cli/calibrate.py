"""Calibrate the confidence of a checkpoint on pictures that it was not trained on.

  bcjax calibrate --workdir=runs/a
  bcjax calibrate --workdir=runs/a --coverage=0.95 --error-rate=0.02 --not-cells=holidays/

Writes calibration/<step>.json (and .npz) in the workdir, which predict and evaluate then use.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.cli import flags as cli_flags
from bcjax.data.records import SPLITS
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.calibration import Calibration
    from bcjax.evaluation.calibration.measure import CalibrationMeasurements


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_path(values, "workdir", None, "The run's folder.")
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_enum("split", "val", SPLITS, "The split that it is fitted on.", flag_values=values)
    flags.DEFINE_float(
        "coverage", 0.9, "The share of conformal sets that hold the true class.", flag_values=values
    )
    flags.DEFINE_float(
        "error-rate", 0.05, "The largest share of errors among answers that are not `uncertain`.",
        flag_values=values,
    )  # fmt: skip
    cli_flags.define_path(
        values,
        "not-cells",
        None,
        "A folder of pictures of other things, to measure how well outlier scores find them.",
    )
    flags.DEFINE_integer("batch_size", None, "Pictures at a time.", 1, flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax calibrate takes flags only, not {positional[0]!r}.")
    if not values.workdir:
        raise UserError("Give the run to calibrate, such as --workdir=runs/elu_cnn.")
    # Imported here, because JAX takes a second: a mistake in the flags should show before that.
    from bcjax.evaluation.calibrate import calibrate
    from bcjax.runtime import compilation
    from bcjax.runtime.run_dir import RunDir

    compilation.use_cache()
    calibration, measured = calibrate(
        values.workdir,
        values.checkpoint,
        split=values.split,
        coverage=values.coverage,
        error_rate=values.get_flag_value("error-rate", None),
        not_cells=values["not-cells"].value,
        batch_size=values.batch_size,
    )
    console = Console()
    console.print(_table(measured, calibration))
    for sentence in _notes(measured):
        console.print(sentence, highlight=False)
    path = RunDir(values.workdir).calibration(calibration.step)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def _table(measured: "CalibrationMeasurements", calibration: "Calibration") -> Table:
    where = f"{measured.fitted_on} split, checkpoint {measured.step}, n = {measured.n:,}"
    table = Table(title=where, title_justify="left")
    table.add_column("fitted")
    table.add_column("value", justify="right")
    table.add_row("temperature", f"{measured.temperature:.3f}")
    for score, shown in ((measured.log_loss, "log loss"), (measured.ece, "calibration error")):
        table.add_row(f"{shown}, before and after", f"{score.raw:.4f} {score.scaled:.4f}")
    conformal, abstention = measured.conformal, measured.abstention
    table.add_row(f"in a set from ({conformal.coverage:.0%} coverage)", f"{conformal.least:.4f}")
    table.add_row("classes in a set, mean", f"{conformal.mean_size:.2f}")
    threshold = "-" if abstention.threshold is None else f"{abstention.threshold:.4f}"
    table.add_row(f"uncertain up to ({abstention.error_rate:.1%} errors)", threshold)
    if abstention.answered:
        table.add_row("answered", f"{abstention.answered.value:.1%}")
    if not_cells := calibration.not_cells:
        for name, by in (("energy", not_cells.energy), ("distance", not_cells.distance)):
            table.add_row(f"AUROC of {name}, {not_cells.n:,} no cells", f"{by.auroc:.4f}")
    return table


def _notes(measured: "CalibrationMeasurements") -> Iterator[str]:
    """Yields sentences about what could not be fitted."""
    conformal, abstention = measured.conformal, measured.abstention
    if conformal.by_class.too_few:
        few = ", ".join(conformal.by_class.too_few)
        yield f"Too few pictures for sets by class, so in each one: {few}."
    if (empty := conformal.empty) and empty.value:
        yield (
            f"{empty.value:.1%} of the sets are empty, because no class was probable enough: a "
            "higher --coverage leaves fewer."
        )
    rate = abstention.error_rate
    if abstention.threshold is None:
        yield (
            f"No error rate of {rate:.1%} can be vouched for by {measured.n:,} pictures: "
            f"{abstention.needed:,} or more are needed, or another --error-rate."
        )
    elif abstention.threshold == 1:
        yield f"No confidence keeps errors to {rate:.1%}: every picture will be uncertain."
