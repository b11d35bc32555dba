"""Set runs beside each other: scores, tests on the same pictures, costs, learning curves.

  bcjax compare runs/a runs/b runs/c
  bcjax compare runs/a runs/b --metric=macro_f1 --split=val
  bcjax compare runs/a

Each run is tested against the first. A folder of members (train.members) given alone compares
these. Writes compare.html, compare.md, compare.json and figures/*.png into --out, from what
`bcjax train` and `bcjax evaluate` left in the runs' folders.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table as Shown

    from bcjax.reports.pages.story import Table


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_string(
        "split", "test", "The evaluation to compare: a file's name in eval/.", flag_values=values
    )
    flags.DEFINE_string("metric", "accuracy", "The one that decides.", flag_values=values)
    flags.DEFINE_string("out", "compare", "The folder to write into.", flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if not positional:
        raise UserError("Give the runs to compare, such as bcjax compare runs/a runs/b.")
    out = Path(values.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write into, such as --out=compare.")
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.reports.comparison import tables, telling
    from bcjax.reports.comparison.comparison import compare

    compared = compare(
        [Path(path) for path in positional], evaluation=values.split, metric=values.metric
    )
    path = telling.write(compared, out)
    # One line for each run, however narrow the terminal: it scrolls, or is piped to a file.
    wide = Console(width=max(220, 40 + 26 * len(compared["runs"])))
    for table in (tables.runs, tables.metrics, tables.tests):
        wide.print(_shown(table(compared)), highlight=False)
    console = Console()
    for sentence in compared["notes"] + [test["sentence"] for test in compared["tests"]]:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    console.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _shown(table: "Table") -> "Shown":
    from rich import box
    from rich.table import Table as Shown
    from rich.text import Text

    shown = Shown(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, head in enumerate(table.head):
        of_words = position < table.words
        shown.add_column(Text(head), justify="left" if of_words else "right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown
