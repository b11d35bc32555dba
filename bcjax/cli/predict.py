"""Label pictures, or all pictures in folders, with a trained network.

  bcjax predict --workdir=runs/a cell.jpg more_cells/
  bcjax predict --workdir=runs/a --json cell.jpg

Prints a table; --json a list of objects, --csv comma-separated lines with a header. After `bcjax
calibrate`, probabilities are calibrated, and what is uncertain or no cell is said to be.
"""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.fitted import Calibration


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_integer("batch_size", 64, "Pictures at a time.", 1, flag_values=values)
    flags.DEFINE_boolean("json", False, "Print JSON.", flag_values=values)
    flags.DEFINE_boolean("csv", False, "Print CSV.", flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if not values.workdir:
        raise UserError("Give the trained network, such as --workdir=runs/elu_cnn.")
    if not positional:
        raise UserError("Give pictures or folders to label.")
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.evaluation.predictor import Predictor, find_pictures
    from bcjax.runtime import compilation

    paths = find_pictures(positional)
    compilation.use_cache()
    predictor = Predictor(Path(values.workdir), values.checkpoint)
    rows, bad = predictor(paths, min(values.batch_size, len(paths)))
    if values.json:
        print(json.dumps(rows, indent=2))
    elif values.csv:
        _print_csv(rows, predictor.classes, predictor.calibration is not None)
    else:
        Console().print(_table(rows, _foot(values.workdir, predictor.calibration)))
    if bad:
        named = "; ".join(f"{path}: {fault}" for path, fault in bad)
        raise UserError(f"{len(bad)} of {len(paths)} pictures cannot be read ({named}).")
    return 0


def _print_csv(rows: list[dict], classes: tuple[str, ...], calibrated: bool) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    more = ("set", "uncertain", "outlier", "distance", "energy") if calibrated else ()
    writer.writerow(("filename", "label", *more, *classes))
    for row in rows:
        told = (";".join(row[name]) if name == "set" else row[name] for name in more)
        shown = (f"{row['probabilities'][name]:.6f}" for name in classes)
        writer.writerow((row["filename"], row["label"], *told, *shown))


def _table(rows: list[dict], foot: str) -> Table:
    table = Table(caption=foot, caption_justify="left")
    table.add_column("picture", overflow="fold")  # a name is never cut
    table.add_column("label")
    table.add_column("probability", justify="right")
    table.add_column("then")
    calibrated = any("set" in row for row in rows)
    if calibrated:
        table.add_column("set")
        table.add_column("outlier")
    for row in rows:
        ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
        uncertain = row.get("uncertain")
        # The most probable class, where it is not the label, is among the others.
        others = ranked[0:3] if uncertain else ranked[1:3]
        told = (
            [", ".join(row["set"]) or "none", "yes" if row["outlier"] else ""] if calibrated else []
        )
        table.add_row(
            row["filename"],
            "uncertain" if uncertain else row["label"],
            f"{ranked[0][1]:.1%}",
            ", ".join(f"{name} {value:.1%}" for name, value in others),
            *told,
        )
    return table


def _foot(workdir: str, calibration: "Calibration | None") -> str:
    """Returns what a reader of the probabilities should know."""
    if calibration is None:
        return f"Not calibrated: bcjax calibrate --workdir={workdir} would do that."
    sets, abstention = calibration.conformal, calibration.abstention
    if abstention.threshold is None:
        vouched = f"Nothing is called uncertain, for that takes {abstention.needed:,} pictures"
    elif abstention.threshold == 1:
        vouched = f"All is uncertain, for no confidence keeps errors to {abstention.error_rate:.1%}"
    else:
        vouched = (
            f"Of what is not uncertain {abstention.error_rate:.1%} or less is wrong "
            f"({abstention.confidence:.0%} sure)"
        )
    return (
        f"Calibrated on {calibration.n:,} pictures ({calibration.split}), and true of pictures "
        f"like these: {sets.coverage:.0%} of the sets hold the true class. {vouched}."
    )
