"""Label pictures, or all pictures in folders, with a trained network.

  bcjax predict --workdir=runs/a cell.jpg more_cells/
  bcjax predict --workdir=runs/a --json cell.jpg

Prints a table; --json a list of objects, --csv comma-separated lines with a header. After `bcjax
calibrate`, probabilities are calibrated, and pictures that are uncertain or not cells are marked.
"""

import csv
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bcjax.cli import flags
from bcjax.cli.flags import BATCH_SIZE, CHECKPOINT, JSON, Arguments, Flag
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.calibration import Calibration
    from bcjax.evaluation.predictions import Predictions

TAKES_WORDS = True
FLAGS = (
    flags.workdir("the trained network"),
    CHECKPOINT,
    dataclasses.replace(BATCH_SIZE, default=64),
    Flag("data.max_pixels", "The most pixels of a picture; else as the run's.", kind=int, least=1),
    JSON,
    Flag("csv", "Print CSV instead of a table.", False, bool),
)


def run(arguments: Arguments) -> None:
    if not arguments.words:
        raise UserError("Give pictures or folders to label.")
    from bcjax import api
    from bcjax.evaluation.images import find_pictures

    paths = find_pictures(arguments.words)  # before the checkpoint is read, which takes longer
    network = api.load(
        arguments.workdir, arguments.checkpoint, max_pixels=arguments.data_max_pixels
    )
    predictions = network.predict(paths, arguments.batch_size)
    if arguments.json:
        print(json.dumps([each.to_dict() for each in predictions], indent=2))
    elif arguments.csv:
        _print_csv(predictions)
    else:
        Console().print(_table(predictions, _caption(arguments.workdir, network.calibration)))
    if bad := predictions.unreadable:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in bad)
        raise UserError(f"{len(bad)} of {len(paths)} pictures cannot be read ({reasons}).")


def _print_csv(predictions: "Predictions") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    calibrated = predictions.sets is not None
    columns = ("set", "uncertain", "outlier", "distance", "energy") if calibrated else ()
    writer.writerow(("filename", "label", *columns, *predictions.classes))
    for each in predictions:
        values = [getattr(each, name) for name in columns]
        if calibrated:
            values[0] = ";".join(each.set or ())
        probabilities = (f"{value:.6f}" for value in each.probabilities.values())
        writer.writerow((each.name, each.label, *values, *probabilities))


def _table(predictions: "Predictions", caption: str) -> Table:
    table = Table(caption=caption, caption_justify="left")
    table.add_column("picture", overflow="fold")  # a name is never cut
    table.add_column("label")
    table.add_column("probability", justify="right")
    table.add_column("then")
    calibrated = predictions.sets is not None
    if calibrated:
        table.add_column("set")
        table.add_column("outlier")
    for each in predictions:
        ranked = sorted(each.probabilities.items(), key=lambda item: -item[1])
        # The most probable class, where it is not the label, is among the others.
        others = ranked[0:3] if each.uncertain else ranked[1:3]
        calibration = [", ".join(each.set or ()) or "none", "yes" if each.outlier else ""]
        table.add_row(
            each.name,
            "uncertain" if each.uncertain else each.label,
            f"{ranked[0][1]:.1%}",
            ", ".join(f"{name} {value:.1%}" for name, value in others),
            *(calibration if calibrated else []),
        )
    return table


def _caption(workdir: Path, calibration: "Calibration | None") -> str:
    """Returns the sentence below the table: what the probabilities are worth."""
    if calibration is None:
        return f"Not calibrated: bcjax calibrate --workdir={workdir} would do that."
    sets, abstention = calibration.conformal, calibration.abstention
    if abstention.threshold is None:
        promise = f"Nothing is called uncertain, for that takes {abstention.needed:,} pictures"
    elif abstention.threshold == 1:
        promise = f"All is uncertain, for no confidence keeps errors to {abstention.error_rate:.1%}"
    else:
        promise = (
            f"Of what is not uncertain {abstention.error_rate:.1%} or less is wrong "
            f"({abstention.confidence:.0%} sure)"
        )
    if calibration.fitted and calibration.fitted.why_not:
        promise += f". {calibration.fitted.why_not.rstrip('.')}"
    return (
        f"Calibrated on {calibration.n:,} pictures ({calibration.split}), and true of pictures "
        f"like these: {sets.coverage:.0%} of the sets hold the true class. {promise}."
    )
