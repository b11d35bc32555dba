"""What `bcjax evaluate` averages: views of a picture, checkpoints, runs, or their weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from bcjax.evaluation.evaluator import Evaluator
    from bcjax.evaluation.views import View


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "views", None, "Views of each picture to average: flip, turn, crop(0.9), scale(0.9).",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "with", None, "Further runs, by comma, to average with --workdir.", flag_values=values
    )
    flags.DEFINE_enum(
        "soup", None, ("uniform", "greedy"), "Average the weights: of all, or of those that help.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "out", None, "The folder to make of the soup, as of a run.", flag_values=values
    )


def asked(values: flags.FlagValues) -> bool:
    """Whether there is anything to average.

    Raises:
      UserError: If what is asked does not go together.
    """
    several = bool(values["with"].value) or "," in values.checkpoint
    several |= bool(values.soup) and len(workdirs(values)) > 1
    if values.soup and not several:
        raise UserError(
            f"--soup={values.soup} needs several networks: name more, such as --with=runs/b or "
            "--checkpoint=best,latest."
        )
    if values.out and not values.soup:
        raise UserError("--out is where a soup is written: give --soup=greedy or uniform, too.")
    averages = several or values.views is not None
    if averages and values.watch:
        raise UserError("--watch evaluates one checkpoint after another: it averages nothing.")
    return averages


def workdirs(values: flags.FlagValues) -> list[Path]:
    """Returns the folders of the runs, --workdir first; of one with members, theirs."""
    named = [Path(name) for name in (values.workdir, *_listed(values["with"].value or ""))]
    return [run for path in named for run in RunDir(path).members() or [path]]


def views(values: flags.FlagValues) -> tuple["View", ...]:
    """Returns the views of each picture; none where none are asked for.

    Raises:
      UserError: If there is no such view.
    """
    from bcjax.evaluation.views import read

    return () if values.views is None else read(values.views)


def run(
    values: flags.FlagValues,
    evaluators: Sequence["Evaluator"],
    views: Sequence["View"],
    name: str,
) -> None:
    """Evaluates the average, writes eval/<name>-<what>.json and prints it.

    Args:
      values: The flags.
      evaluators: Of the `workdirs`.
      views: Of each picture.
      name: Of the evaluation of one network.
    """
    from bcjax.cli import tables
    from bcjax.engine.network import check_free
    from bcjax.evaluation import ensemble, soup
    from bcjax.evaluation.evaluator import write

    checkpoints = _listed(values.checkpoint)
    workdir = evaluators[0].workdir
    if values.out:
        check_free(Path(values.out))
    if values.soup:
        result, answers, made = soup.evaluate(evaluators, checkpoints, values.soup, views)
    else:
        result, answers = ensemble.evaluate(evaluators, checkpoints, views)
    what = [kind for kind in ("soup", "ensemble", "views") if kind in result]
    path = write(result, answers, workdir, "-".join((name, *what)))
    console = Console()
    console.print(tables.evaluation(result))
    console.print(tables.averaged(result))
    for sentence in result["cautions"]:
        console.print(sentence, highlight=False)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    if values.out:
        soup.save(made, result["soup"], workdir, Path(values.out))
        console.print(f"the soup is the run {values.out}", highlight=False, soft_wrap=True)


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
