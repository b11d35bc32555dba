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

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from bcjax.cli import averaging, corruptions, other_data
from bcjax.data.records import SPLITS
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from bcjax.evaluation.evaluator import Evaluator

_POLL_SECONDS = 5.0


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_enum("split", "test", SPLITS, "train, val or test.", flag_values=values)
    flags.DEFINE_string(
        "checkpoint", "best", "best, latest or a step; several, by comma, are averaged.",
        flag_values=values,
    )  # fmt: skip
    other_data.define(values)
    flags.DEFINE_integer("batch_size", None, "Pictures at a time.", 1, flag_values=values)
    averaging.define(values)
    corruptions.define(values)
    flags.DEFINE_boolean(
        "watch", False, "Evaluate each new checkpoint until the run ends.", flag_values=values
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax evaluate takes flags only, not {positional[0]!r}.")
    if not values.workdir:
        raise UserError("Give the run to evaluate, such as --workdir=runs/elu_cnn.")
    averages = averaging.asked(values)
    corrupted = corruptions.asked(values, averages)
    other = other_data.asked(values)
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax.evaluation.evaluator import Evaluator
    from bcjax.runtime import compilation

    compilation.use_cache()
    views = averaging.views(values)
    options = {"split": values.split, "batch_size": values.batch_size or 0, **other}
    if RunDir(Path(values.workdir)).members() and not (averages or corrupted or values.watch):
        return _members(values, options)
    evaluators = [Evaluator(workdir, **options) for workdir in averaging.workdirs(values)]
    evaluator = evaluators[0]
    name = other_data.named(values, evaluator.split)
    if values.watch:
        _watch(evaluator, name)
    elif averages:
        averaging.run(values, evaluators, views, name)
    elif corrupted:
        corruptions.run(evaluator, values.checkpoint, name)
    else:
        _one(evaluator, values.checkpoint, name)
    return 0


def _one(evaluator: "Evaluator", which: str, name: str) -> None:
    from bcjax.cli import tables
    from bcjax.evaluation import laboratory
    from bcjax.evaluation.evaluator import write

    evaluate = evaluator if evaluator.matching is None else partial(laboratory.evaluate, evaluator)
    result, answers = evaluate(which)
    path = write(result, answers, evaluator.workdir, name)
    console = Console()
    console.print(tables.evaluation(result))
    if "laboratory" in result:
        console.print(other_data.table(result["laboratory"]))
    console.print(f"written to {path}", highlight=False, soft_wrap=True)


def _members(values: flags.FlagValues, options: dict) -> int:
    from bcjax.cli import tables
    from bcjax.evaluation import spread
    from bcjax.evaluation.evaluator import write

    found = spread.evaluate_members(Path(values.workdir), values.checkpoint, **options)
    for folder, (result, answers) in found.items():
        path = write(result, answers, folder, other_data.named(values, result["split"]))
    console = Console()
    console.print(tables.evaluation(result))
    console.print(tables.members(result["members"]))
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def _watch(evaluator: "Evaluator", name: str) -> None:
    run_dir, seen = RunDir(evaluator.workdir), set[int]()
    while True:
        running = run_dir.is_locked()  # asked first: the last checkpoint precedes the end
        while new := sorted(set(evaluator.steps()) - seen):
            _one(evaluator, str(new[0]), f"{name}-{new[0]}")
            seen.add(new[0])
        if not running and not seen:
            raise UserError(f"{evaluator.workdir} holds no checkpoint, and nothing trains there.")
        if not running:
            return
        time.sleep(_POLL_SECONDS)
