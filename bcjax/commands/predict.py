"""Label pictures, or all pictures in folders, with a trained network.

  bcjax predict --workdir=runs/a cell.jpg more_cells/
  bcjax predict --workdir=runs/a --json cell.jpg

Prints a table; --json a list of objects, --csv comma-separated lines with a header.
"""

import csv
import json
import sys
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.errors import UserError


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
    from bcjax import compilation
    from bcjax.predict import Predictor, find_pictures

    paths = find_pictures(positional)
    compilation.use_cache()
    predictor = Predictor(Path(values.workdir), values.checkpoint)
    rows, bad = predictor(paths, min(values.batch_size, len(paths)))
    if values.json:
        print(json.dumps(rows, indent=2))
    elif values.csv:
        _print_csv(rows, predictor.classes)
    else:
        Console().print(_table(rows))
    if bad:
        named = "; ".join(f"{path}: {fault}" for path, fault in bad)
        raise UserError(f"{len(bad)} of {len(paths)} pictures cannot be read ({named}).")
    return 0


def _print_csv(rows: list[dict], classes: tuple[str, ...]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("filename", "label", *classes))
    for row in rows:
        shown = (f"{row['probabilities'][name]:.6f}" for name in classes)
        writer.writerow((row["filename"], row["label"], *shown))


def _table(rows: list[dict]) -> Table:
    table = Table()
    table.add_column("picture", overflow="fold")  # a name is never cut
    table.add_column("label")
    table.add_column("probability", justify="right")
    table.add_column("then")
    for row in rows:
        ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
        runners_up = ", ".join(f"{name} {value:.1%}" for name, value in ranked[1:3])
        table.add_row(row["filename"], row["label"], f"{ranked[0][1]:.1%}", runners_up)
    return table
