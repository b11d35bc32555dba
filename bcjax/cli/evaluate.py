"""Evaluate a checkpoint of a run on a split of its data, or of other data.

  bcjax evaluate --workdir=runs/a --split=test
  bcjax evaluate --workdir=runs/a --data.source=OTHER --split=test
  bcjax evaluate --workdir=runs/a --data.source=OTHER --map-classes=band=neutrophil,artefact=-
  bcjax evaluate --workdir=runs/a --corruptions
  bcjax evaluate --workdir=runs/a --split=val --watch
  bcjax evaluate --workdir=runs/a --views='flip, turn, crop(0.9)'
  bcjax evaluate --workdir=runs/a --checkpoint=best,latest --with=runs/b,runs/c
  bcjax evaluate --workdir=runs/a --with=runs/b,runs/c --soup=greedy --out=runs/soup

Writes eval/<split>.json in the workdir (with other data: eval/<name>-<split>.json), and each
picture's answer beside it (.parquet). What is averaged stands in the name: eval/<split>-views.json,
-ensemble.json (the mean of the probabilities), -soup.json (of the weights). Under corruptions there
are figures alone: eval/<split>-corruptions.json. With --data.stain its method ends the name.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console

from bcjax.cli import flags as cli_flags
from bcjax.data.records import SPLITS
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluation.evaluation import Evaluation

_STAINS = ("none", "reinhard", "macenko")


def define(values: flags.FlagValues, argv: list[str]) -> None:
    cli_flags.define_path(values, "workdir", None, "The run's folder.")
    flags.DEFINE_enum("split", "test", SPLITS, "train, val or test.", flag_values=values)
    flags.DEFINE_string(
        "checkpoint", "best", "best, latest or a step; several, by comma, are averaged.",
        flag_values=values,
    )  # fmt: skip
    cli_flags.define_path(values, "data.source", None, "Other data than the run's own.")
    flags.DEFINE_string(
        "map-classes", None, "Its classes in the run's: theirs=ours,...; theirs=- leaves one out.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "data.stain", None, _STAINS, "How its stain is normalised; else as the run's.",
        flag_values=values,
    )  # fmt: skip
    cli_flags.define_path(values, "data.stain_reference", None, "The picture to whose stain.")
    flags.DEFINE_integer("batch_size", None, "Pictures at a time.", 1, flag_values=values)
    flags.DEFINE_string(
        "views", None, "Views of each picture to average: flip, turn, crop(0.9), scale(0.9).",
        flag_values=values,
    )  # fmt: skip
    cli_flags.define_path(
        values, "with", None, "Further runs, by comma, to average with --workdir.", several=True
    )
    flags.DEFINE_enum(
        "soup", None, ("uniform", "greedy"), "Average the weights: of all, or of those that help.",
        flag_values=values,
    )  # fmt: skip
    cli_flags.define_path(values, "out", None, "The folder to make of the soup, as of a run.")
    flags.DEFINE_boolean(
        "corruptions", False, "Evaluate under MedMNIST-C's corruptions, five severities each.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "watch", False, "Evaluate each new checkpoint until the run ends.", flag_values=values
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax evaluate takes flags only, not {positional[0]!r}.")
    if not values.workdir:
        raise UserError("Give the run to evaluate, such as --workdir=runs/elu_cnn.")
    averages = values["with"].value or values.soup or "," in values.checkpoint
    averages = bool(averages or values.views is not None)
    if values.corruptions and (values.watch or averages):
        raise UserError("--corruptions evaluates one network, once: leave --watch, --views, --with "
                        "and further checkpoints out.")  # fmt: skip
    if values.watch and averages:
        raise UserError("--watch evaluates one checkpoint after another: it averages nothing.")
    # Imported here, because JAX takes a second: a mistake in the flags should show before that.
    from bcjax.cli import tables
    from bcjax.evaluation import evaluate
    from bcjax.evaluation.corruptions import robustness
    from bcjax.evaluation.evaluator import Evaluator
    from bcjax.runtime import compilation

    compilation.use_cache()
    other = evaluate.other_data(
        values["data.source"].value,
        values["map-classes"].value,
        values["data.stain"].value,
        values["data.stain_reference"].value,
    )
    pictures: dict[str, Any] = {
        "split": values.split, "other": other, "batch_size": values.batch_size,
    }  # fmt: skip
    workdir, console = Path(values.workdir), Console()
    if values.corruptions:
        corrupted = robustness.evaluate(Evaluator(workdir, **pictures), values.checkpoint)
        console.print(tables.corruptions(corrupted))
        for sentence in corrupted.cautions:
            console.print(sentence, highlight=False)
        console.print(f"written to {corrupted.path}", highlight=False, soft_wrap=True)
        return 0
    if values.watch:
        for evaluation in evaluate.watch(Evaluator(workdir, **pictures)):
            _show(console, evaluation)
        return 0
    evaluation = evaluate.evaluate(
        workdir,
        checkpoint=values.checkpoint,
        views=values.views,
        runs=values["with"].value or (),
        soup=values.soup,
        out=values.out,
        **pictures,
    )
    _show(console, evaluation)
    if values.out:
        console.print(f"the soup is the run {values.out}", highlight=False, soft_wrap=True)
    return 0


def _show(console: Console, evaluation: "Evaluation") -> None:
    from bcjax.cli import tables

    console.print(tables.evaluation(evaluation))
    if evaluation.members:
        console.print(tables.members(evaluation.members))
    if evaluation.laboratory:
        console.print(tables.other_laboratory(evaluation.laboratory))
    if evaluation.soup or evaluation.ensemble or evaluation.views:
        console.print(tables.averaged(evaluation))
        for sentence in evaluation.cautions:
            console.print(sentence, highlight=False)
    console.print(f"written to {evaluation.path}", highlight=False, soft_wrap=True)
