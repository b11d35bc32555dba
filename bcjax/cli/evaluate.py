"""Evaluate a checkpoint of a run on a split of its data, or of other data.

  bcjax evaluate --workdir=runs/a --split=test
  bcjax evaluate --workdir=runs/a --data.source=OTHER --split=test
  bcjax evaluate --workdir=runs/a --data.source=OTHER --map-classes=band=neutrophil,artefact=-
  bcjax evaluate --workdir=runs/a --corruptions
  bcjax evaluate --workdir=runs/a --split=val --watch
  bcjax evaluate --workdir=runs/a --views='flip, turn, crop(0.9)'
  bcjax evaluate --workdir=runs/a --checkpoint=best,latest --with=runs/b,runs/c
  bcjax evaluate --workdir=runs/a --prevalence=neutrophil=0.6,lymphocyte=0.4
  bcjax evaluate --workdir=runs/a --with=runs/b,runs/c --soup=greedy --out=runs/soup

Writes eval/<split>.json in the workdir (with other data: eval/<name>-<split>.json), and each
picture's answer beside it (.parquet). What is averaged stands in the name: eval/<split>-views.json,
-ensemble.json (the mean of the probabilities), -soup.json (of the weights). At another prevalence
of the classes the name ends in -prevalence. Under corruptions there are figures alone:
eval/<split>-corruptions.json. With --data.stain its method ends the name.

--watch says at its end which checkpoints were deleted before their turn. Its exit status is 3 if
the run is not finished by then: killed, interrupted, or ended by an error.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bcjax.cli import flags
from bcjax.cli.flags import BATCH_SIZE, CHECKPOINT, PREVALENCE, Arguments, Flag
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError
from bcjax.runtime.stages import Stages

if TYPE_CHECKING:
    from bcjax.evaluation.evaluation import Evaluation
    from bcjax.evaluation.evaluator import Evaluator

FLAGS = (
    flags.workdir("the run to evaluate"),
    flags.split("train, val or test."),
    dataclasses.replace(
        CHECKPOINT, meaning="best, latest or a step; several, by comma, are averaged."
    ),
    Flag("data.source", "Other data than the run's own.", path=True),
    Flag("map-classes", "Its classes in the run's: theirs=ours,...; theirs=- leaves one out."),
    Flag(
        "data.stain",
        "How its stain is normalised; else as the run's.",
        kind=("none", "reinhard", "macenko"),
    ),
    Flag("data.stain_reference", "The picture to whose stain.", kind=Path),
    Flag("data.max_pixels", "The most pixels of one; else as the run's.", kind=int, least=1),
    BATCH_SIZE,
    PREVALENCE,
    Flag("views", "Views of each picture to average: flip, turn, crop(0.9), scale(0.9)."),
    Flag("with", "Further runs, by comma, to average with --workdir.", [], list, path=True),
    Flag("soup", "Average the weights: of all, or of those that help.", kind=("uniform", "greedy")),
    Flag("out", "The folder to make of the soup, as of a run.", kind=Path),
    Flag(
        "corruptions", "Evaluate under MedMNIST-C's corruptions, five severities each.", False, bool
    ),
    Flag("strict", "Refuse figures with cautions: exit status 2, nothing is written.", False, bool),
    Flag("watch", "Evaluate each new checkpoint until the run ends.", False, bool),
)


_UNFINISHED = 3  # the exit status of --watch where the run stopped before its end
_NAMED = 10  # steps that a sentence names


@jax_settings.fixed()
def run(arguments: Arguments) -> int | None:
    runs = getattr(arguments, "with")
    averages = bool(runs or arguments.soup or "," in arguments.checkpoint)
    averages = averages or arguments.views is not None
    if arguments.corruptions and (arguments.watch or averages):
        raise UserError("--corruptions evaluates one network, once: leave --watch, --views, --with "
                        "and further checkpoints out.")  # fmt: skip
    if arguments.prevalence and (arguments.corruptions or arguments.watch):
        raise UserError("--prevalence is for an evaluation of its own: leave --corruptions and "
                        "--watch out.")  # fmt: skip
    if arguments.watch and averages:
        raise UserError("--watch evaluates one checkpoint after another: it averages nothing.")
    from bcjax.cli import tables
    from bcjax.evaluation import evaluate
    from bcjax.evaluation.corruptions import robustness
    from bcjax.evaluation.evaluator import Evaluator
    from bcjax.runtime import compilation

    compilation.use_cache()
    other = evaluate.other_data(
        arguments.data_source,
        arguments.map_classes,
        arguments.data_stain,
        arguments.data_stain_reference,
        arguments.data_max_pixels,
    )
    pictures: dict[str, Any] = {
        "split": arguments.split, "other": other, "batch_size": arguments.batch_size,
    }  # fmt: skip
    workdir, checkpoint, console = arguments.workdir, arguments.checkpoint, Console()
    stages = Stages(Console(stderr=True), f"evaluating the {arguments.split} split")
    if arguments.corruptions:
        with stages:
            corrupted = robustness.evaluate(
                Evaluator(workdir, **pictures), checkpoint, strict=arguments.strict
            )
        console.print(tables.corruptions(corrupted))
        print(f"written to {corrupted.path}")
        return None
    if arguments.watch:
        return _watch(Evaluator(workdir, **pictures), console, arguments.strict)
    with stages:
        evaluation = evaluate.evaluate(
            workdir,
            checkpoint=checkpoint,
            views=arguments.views,
            runs=runs,
            soup=arguments.soup,
            out=arguments.out,
            strict=arguments.strict,
            prevalence=arguments.prevalence,
            **pictures,
        )
    _show(console, evaluation)
    if arguments.out:
        print(f"the soup is the run {arguments.out}")
    return None


def _watch(evaluator: "Evaluator", console: Console, strict: bool) -> int:
    """Shows the evaluation of each checkpoint; returns the exit status."""
    from bcjax.evaluation import evaluate
    from bcjax.runtime.run_dir import RunDir
    from bcjax.runtime.training_sessions import read_sessions, unfinished

    evaluated = []
    for evaluation in evaluate.watch(evaluator, strict=strict):
        _show(console, evaluation)
        evaluated.append(evaluation.checkpoint)
    if gone := evaluate.not_watched(evaluator, evaluated):
        more = f" and {len(gone) - _NAMED:,} more" if len(gone) > _NAMED else ""
        print(
            f"Not evaluated, because they were deleted before their turn: checkpoints "
            f"{', '.join(map(str, gone[:_NAMED]))}{more}. A larger config.checkpoint.keep keeps "
            "checkpoints for longer."
        )
    why = unfinished(read_sessions(RunDir(evaluator.workdir).sessions))
    if why:
        print(why)
    return _UNFINISHED if why else 0


def _show(console: Console, evaluation: "Evaluation") -> None:
    from bcjax.cli import tables

    console.print(tables.evaluation(evaluation))
    print(f"written to {evaluation.path}")
