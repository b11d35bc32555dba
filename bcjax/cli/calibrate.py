"""Calibrate the confidence of a checkpoint on pictures that it was not trained on.

  bcjax calibrate --workdir=runs/a
  bcjax calibrate --workdir=runs/a --coverage=0.95 --error-rate=0.02 --not-cells=holidays/
  bcjax calibrate --workdir=runs/a --with=runs/b,runs/c

Writes calibration/<step>.json (and .npz) in the workdir, which predict and evaluate then use; for
several networks that answer together calibration/ensemble.json, which evaluate uses for the same
networks. The members of a run are calibrated one by one and together.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bcjax.cli import flags
from bcjax.cli.flags import BATCH_SIZE, CHECKPOINT, Arguments, Flag

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.calibration import Calibration
    from bcjax.evaluation.calibration.measure import CalibrationMeasurements

FLAGS = (
    flags.workdir("the run to calibrate"),
    dataclasses.replace(
        CHECKPOINT, meaning="best, latest or a step; several, by comma, are averaged."
    ),
    Flag("with", "Further runs, by comma, to average with --workdir.", [], list, path=True),
    flags.split("The split that it is fitted on.", "val"),
    Flag("coverage", "The share of conformal sets that hold the true class.", 0.9, float),
    Flag(
        "error-rate",
        "The largest share of errors among answers that are not `uncertain`.",
        0.05,
        float,
    ),
    Flag(
        "not-cells",
        "A folder of pictures of other things, to measure how well outlier scores find them.",
        kind=Path,
    ),
    BATCH_SIZE,
)


def run(arguments: Arguments) -> None:
    from bcjax import api
    from bcjax.cli import tables

    calibration, measured = api.calibrate(
        arguments.workdir,
        checkpoint=arguments.checkpoint,
        split=arguments.split,
        coverage=arguments.coverage,
        error_rate=arguments.error_rate,
        not_cells=arguments.not_cells,
        batch_size=arguments.batch_size,
        runs=getattr(arguments, "with"),
    )
    Console().print(*tables.cautions(calibration.cautions), _table(measured, calibration), sep="\n")
    print(*_notes(measured, calibration), f"written to {calibration.path}", sep="\n")


def _table(measured: "CalibrationMeasurements", calibration: "Calibration") -> Table:
    of = f"{measured.networks} networks" if measured.networks > 1 else f"checkpoint {measured.step}"
    where = f"{measured.fitted_on} split, {of}, n = {measured.n:,}"
    table = Table(title=where, title_justify="left")
    table.add_column("fitted")
    table.add_column("value", justify="right")
    estimate = measured.fitted.estimate if measured.fitted else None
    table.add_row("temperature", f"{measured.temperature:.3f}" if estimate else "-")
    if estimate and estimate.low is not None and estimate.high is not None:
        table.add_row("95 % interval of it", f"{estimate.low:.3f} - {estimate.high:.3f}")
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


def _notes(measured: "CalibrationMeasurements", calibration: "Calibration") -> Iterator[str]:
    """Yields sentences about what could not be fitted."""
    conformal, abstention = measured.conformal, measured.abstention
    yield from measured.unfitted
    if measured.fitted and measured.fitted.may_be_1:
        yield "The interval holds 1: these pictures do not show that a temperature is needed."
    strange = calibration.outliers
    if strange and measured.fitted_n < strange.needed:
        yield (
            f"An outlier is what is stranger than all {measured.fitted_n:,} pictures: a threshold "
            f"that {strange.kept:.0%} of others stay below takes {strange.needed:,} or more."
        )
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
