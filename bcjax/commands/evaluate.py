"""Evaluate a checkpoint of a run on a split of its data, or of other data.

  bcjax evaluate --workdir=runs/a --split=test
  bcjax evaluate --workdir=runs/a --data.source=OTHER --split=test
  bcjax evaluate --workdir=runs/a --split=val --watch

Writes eval/<split>.json in the workdir (with other data: eval/<name>-<split>.json), and each
picture's answer beside it (.parquet).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from bcjax.data.records import SPLITS
from bcjax.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluate import Evaluator

_POLL_SECONDS = 5.0


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_enum("split", "test", SPLITS, "train, val or test.", flag_values=values)
    flags.DEFINE_string("checkpoint", "best", "best, latest or a step.", flag_values=values)
    flags.DEFINE_string(
        "data.source", None, "Other data than the run's own, of the same classes.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer("batch_size", None, "Pictures at a time.", 1, flag_values=values)
    flags.DEFINE_boolean(
        "watch", False, "Evaluate each new checkpoint until the run ends.", flag_values=values
    )


def run(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UserError(f"bcjax evaluate takes flags only, not {positional[0]!r}.")
    if not values.workdir:
        raise UserError("Give the run to evaluate, such as --workdir=runs/elu_cnn.")
    workdir = Path(values.workdir)
    source = values["data.source"].value or ""
    # Here, for JAX takes a second to import, and a mistake in the flags should show before that.
    from bcjax import compilation
    from bcjax.evaluate import Evaluator

    compilation.use_cache()
    evaluator = Evaluator(
        workdir, split=values.split, source=source, batch_size=values.batch_size or 0
    )
    name = f"{Path(source).stem}-{evaluator.split}" if source else evaluator.split
    if values.watch:
        _watch(evaluator, name)
    else:
        _one(evaluator, values.checkpoint, name)
    return 0


def _one(evaluator: "Evaluator", which: str, name: str) -> None:
    from bcjax.commands import tables
    from bcjax.evaluate import write

    result, answers = evaluator(which)
    path = write(result, answers, evaluator.workdir, name)
    console = Console()
    console.print(tables.evaluation(result))
    console.print(f"written to {path}", highlight=False, soft_wrap=True)


def _watch(evaluator: "Evaluator", name: str) -> None:
    from bcjax.workdir import is_locked

    seen: set[int] = set()
    while True:
        running = is_locked(evaluator.workdir)  # asked first: the last checkpoint precedes the end
        while new := sorted(set(evaluator.steps()) - seen):
            _one(evaluator, str(new[0]), f"{name}-{new[0]}")
            seen.add(new[0])
        if not running and not seen:
            raise UserError(f"{evaluator.workdir} holds no checkpoint, and nothing trains there.")
        if not running:
            return
        time.sleep(_POLL_SECONDS)
