"""Compare runs: scores, tests on the same pictures, costs, learning curves.

  bcjax compare runs/a runs/b runs/c
  bcjax compare runs/a runs/b --metric=macro_f1 --split=val
  bcjax compare runs/a

Each run is tested against the first. A folder of members (train.members) given alone compares
these. Writes compare.html, compare.md, compare.json and figures/*.png into --out, from what
`bcjax train` and `bcjax evaluate` left in the runs' folders.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from absl import flags
from rich.console import Console

from bcjax.cli import flags as cli_flags
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    import rich.table

    from bcjax.reports.pages.page import Table


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_string(
        "split", "test", "The evaluation to compare: a file's name in eval/.", flag_values=values
    )
    flags.DEFINE_string("metric", "accuracy", "The metric that decides.", flag_values=values)
    cli_flags.define_path(values, "out", "compare", "The folder to write into.")


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if not positional:
        raise UserError("Give the runs to compare, such as bcjax compare runs/a runs/b.")
    out = Path(values.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write into, such as --out=compare.")
    # Here, because JAX takes a second to import, and a mistake in the flags should show first.
    from bcjax.reports.comparison import compare
    from bcjax.reports.comparison.page import (
        metrics_table,
        runs_table,
        tests_table,
        write_comparison,
    )

    comparison = compare(*positional, evaluation=values.split, metric=values.metric)
    path = write_comparison(comparison, out)
    # One line for each run, however narrow the terminal: it scrolls, or is piped to a file.
    wide = Console(width=max(220, 40 + 26 * len(comparison.runs)))
    for table in (runs_table, metrics_table, tests_table):
        wide.print(_rich_table(table(comparison)), highlight=False)
    console = Console()
    for sentence in [*comparison.notes, *(test.sentence for test in comparison.tests)]:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    console.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _rich_table(table: "Table") -> "rich.table.Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, head in enumerate(table.head):
        justify: Literal["left", "right"] = "left" if position < table.text_columns else "right"
        shown.add_column(Text(head), justify=justify, no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown
