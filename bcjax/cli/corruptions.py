"""What `bcjax evaluate --corruptions` does: corrupted pictures, as a table."""

from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console
from rich.table import Table

from bcjax.reports.pages.numbers import percent, span
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from bcjax.evaluation.evaluator import Evaluator


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(
        "corruptions", False, "Evaluate under MedMNIST-C's corruptions, five severities each.",
        flag_values=values,
    )  # fmt: skip


def asked(values: flags.FlagValues, averages: bool) -> bool:
    """Whether they are asked for.

    Raises:
      UserError: If with what does not go together with them.
    """
    if values.corruptions and (values.watch or averages):
        raise UserError("--corruptions evaluates one network, once: leave --watch, --views, --with "
                        "and further checkpoints out.")  # fmt: skip
    return bool(values.corruptions)


def run(evaluator: "Evaluator", which: str, name: str) -> None:
    """Evaluates a checkpoint, writes eval/<name>-corruptions.json and prints it."""
    from bcjax.evaluation import robustness

    result = robustness.evaluate(evaluator, which)
    path = RunDir(evaluator.workdir).corruptions(name)
    files.write_json(path, result)
    console = Console()
    console.print(table(result))
    for sentence in result["cautions"]:
        console.print(sentence, highlight=False)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)


def table(result: dict[str, Any]) -> Table:
    """Returns the balanced accuracy under each corruption, severity by severity."""
    clean = result["clean"]["balanced_accuracy"]
    title = (
        f"balanced accuracy in %, {result['split']} split, checkpoint {result['checkpoint']}, "
        f"n = {result['n']:,}\nclean: {percent(clean['value'])} ({span(clean)})"
    )
    shown = Table(title=title, title_justify="left")
    for column in ("corruption", *map(str, result["severities"]), "mean", "95 % interval"):
        shown.add_column(column, justify="left" if column == "corruption" else "right")
    for row in result["corruptions"]:
        each = [found["balanced_accuracy"] for found in row["severities"]]
        shown.add_row(row["name"], *map(_short, each), *_mean(row))
    shown.add_section()
    shown.add_row("all", *[""] * len(result["severities"]), *_mean(result))
    return shown


def _mean(row: dict[str, Any]) -> tuple[str, str]:
    mean = row["mean"]["balanced_accuracy"]
    return _short(mean), span(mean)


def _short(figure: dict[str, Any]) -> str:
    return percent(figure["value"]).removesuffix(" %")
