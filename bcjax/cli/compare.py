"""Compare runs: scores, tests on the same pictures, costs, learning curves.

  bcjax compare runs/a runs/b runs/c
  bcjax compare runs/a runs/b --metric=macro_f1 --split=val
  bcjax compare runs/lr-* --by=optim.lr
  bcjax compare runs/a

Each run is compared with the first. Runs that have the same config but for the seed count as one
config with several seeds: its mean is compared, over seeds and pictures. If one folder is given,
and it holds members (train.members), these are compared. The command writes compare.html,
compare.md, compare.json and figures/*.png into --out, from what `bcjax train` and `bcjax evaluate`
left in the runs' folders.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.text import Text

from bcjax.cli.flags import Arguments, Flag
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    import rich.table

    from bcjax.reports.pages.page import Table

TAKES_WORDS = True
FLAGS = (
    Flag("split", "The evaluation to compare: a file's name in eval/.", "test"),
    Flag("metric", "The metric that decides.", "accuracy"),
    Flag("by", "A key of the config in which the runs differ: a chart of the metric over it."),
    Flag("out", "The folder to write into.", "compare", Path),
)


def run(arguments: Arguments) -> None:
    if not arguments.words:
        raise UserError("Give the runs to compare, such as bcjax compare runs/a runs/b.")
    out = arguments.out
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write into, such as --out=compare.")
    from bcjax import api
    from bcjax.cli import tables
    from bcjax.reports.comparison.page import (
        costs_table,
        metrics_table,
        runs_table,
        seeds_table,
        tests_table,
        write_comparison,
    )

    comparison = api.compare(
        *arguments.words, evaluation=arguments.split, metric=arguments.metric, by=arguments.by
    )
    path = write_comparison(comparison, out)
    # One line for each run, however narrow the terminal: it scrolls, or is piped to a file.
    wide = Console(width=max(220, 40 + 26 * len(comparison.runs)))
    wide.print(*tables.cautions(comparison.cautions), *map(Text, comparison.notes), sep="\n")
    for table in (runs_table, costs_table, metrics_table, seeds_table, tests_table):
        if (made := table(comparison)).rows:
            wide.print(_rich_table(made), highlight=False)
    print(*(test.sentence for test in comparison.tests), f"written to {path}", sep="\n")


def _rich_table(table: "Table") -> "rich.table.Table":
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, head in enumerate(table.head):
        justify: Literal["left", "right"] = "left" if position < table.text_columns else "right"
        shown.add_column(Text(head), justify=justify, no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown
