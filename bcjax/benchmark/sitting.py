"""Several subjects measured one after the other, in one process, on one run."""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from bcjax.benchmark import (
    SUBJECTS,
    augment,
    checkpoint,
    evaluate,
    host,
    input,
    loop,
    machine,
    predict,
    start,
    step,
    trace,
)
from bcjax.benchmark.timed_run import TimedRun
from bcjax.data.preparation import prepare
from bcjax.runtime.errors import UserError

_INPUT_S = 0.4  # of each store and part, in a turn


def measure(
    config: ConfigDict,
    arguments: Sequence[str],
    what: Collection[str],
    *,
    steps: int,
    repeats: int,
    evaluations: int,
    traced: Path | None = None,
) -> dict[str, Any]:
    """Measures each subject that is asked for.

    Nothing is kept: the workdir is a temporary one, and no tracker is told.

    Args:
      config: Whose run is measured; resolved in place.
      arguments: The command-line flags that describe it, for the processes of `start`.
      what: Of `SUBJECTS`.
      steps: Timed in a turn.
      repeats: Turns.
      evaluations: Of the whole run that "train" times as well; 0: it is left out.
      traced: Where a profile is written to; None: none is.

    Returns:
      "about" the machine, "config" (what figures depend on most), "peaks" of a device, the subjects
      by name, the "stolen_share" of the processors' time, and where the "trace" is.

    Raises:
      UserError: If the config is refused, or asks for nothing where a subject needs something.
    """
    if "augment" in what and not config.augment.ops:
        raise UserError(
            "config.augment.ops is empty: there is no augmentation to time; name some, or leave "
            "'augment' out of --what."
        )
    config.track.to = ()
    began = host.processors()
    found: dict[str, Any] = {}
    if "start" in what:
        prepare(config.data)
        found["start"] = start.measure(arguments)
    with tempfile.TemporaryDirectory() as folder:
        config.workdir = folder
        with contextlib.closing(TimedRun(config)) as run:
            peaks = machine.peaks(config.model.dtype)
            sizes = [
                size
                for size in predict.SIZES
                if size <= (config.eval.batch_size or config.train.batch_size)
            ]
            rooms: dict[str, Callable[[], dict[str, Any]]] = {
                "step": lambda: step.measure(run, peaks, steps),
                "input": lambda: input.measure(run, _INPUT_S * repeats),
                "train": lambda: loop.measure(run, steps, repeats, evaluations),
                "augment": lambda: augment.measure(run, peaks, steps, repeats),
                "evaluate": lambda: evaluate.measure(run, peaks, repeats),
                "predict": lambda: predict.measure(run, peaks, sizes),
                "checkpoint": lambda: checkpoint.measure(run, repeats),
            }
            found |= {name: rooms[name]() for name in SUBJECTS if name in what and name in rooms}
            if traced:
                found["trace"] = trace.write(run, traced)
            return {
                "about": machine.about(),
                "config": _settings(run),
                "peaks": peaks._asdict(),
                "stolen_share": round(host.stolen_share(began), 3),
            } | found


def _settings(run: TimedRun) -> dict[str, Any]:
    config = run.config
    return {
        "model": config.model.name,
        "image_size": config.data.image_size,
        "batch_size": config.train.batch_size,
        "dtype": config.model.dtype,
        "store": run.run.store,
        "steps_per_call": run.plan.steps_per_call,
    }
