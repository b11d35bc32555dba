"""The benchmark of a config: several subjects measured in one process, on one run."""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.benchmark import SUBJECTS, inference, machine, start_and_checkpoint, trace, training
from bcjax.benchmark.input import measure_input
from bcjax.benchmark.training import TimedRun
from bcjax.data.preparation import prepare
from bcjax.runtime import scratch
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
    """Measures the named subjects.

    Nothing is kept: the workdir is a temporary folder, and trackers are left out.

    Args:
      config: The config of the run that is measured; it is not changed.
      arguments: The command-line flags that describe it, for the processes of "start".
      what: Some of `SUBJECTS`.
      steps: The timed steps of a turn.
      repeats: The number of turns.
      evaluations: The evaluations of the whole run that "train" times too; 0: that is left out.
      traced: The folder for a profile; None: there is none.

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
    config = configs.replaced(config, {"track.to": ()})
    began = machine.processors()
    figures: dict[str, Any] = {}
    if "start" in what:
        prepare(config.data)
        figures["start"] = start_and_checkpoint.measure_start(arguments)
    with scratch.beside(Path(tempfile.gettempdir()) / "bcjax-benchmark") as folder:
        config = configs.replaced(config, {"workdir": str(folder)})
        with contextlib.closing(TimedRun(config)) as run:
            peaks = machine.peaks(config.model.dtype)
            sizes = [
                size
                for size in inference.SIZES
                if size <= (config.eval.batch_size or config.train.batch_size)
            ]
            subjects: dict[str, Callable[[], dict[str, Any]]] = {
                "step": lambda: training.measure_step(run, peaks, steps),
                "input": lambda: measure_input(run, _INPUT_S * repeats),
                "train": lambda: training.measure_loop(run, steps, repeats, evaluations),
                "augment": lambda: training.measure_augmentation(run, peaks, steps, repeats),
                "evaluate": lambda: inference.measure_evaluation(run, peaks, repeats),
                "predict": lambda: inference.measure_prediction(run, peaks, sizes),
                "checkpoint": lambda: start_and_checkpoint.measure_checkpoint(run, repeats),
            }
            figures |= {
                name: subjects[name]() for name in SUBJECTS if name in what and name in subjects
            }
            if traced:
                figures["trace"] = trace.write(run, traced)
            return {
                "about": machine.about(),
                "config": _settings(run),
                "peaks": peaks._asdict(),
                "stolen_share": round(machine.stolen_share(began), 3),
            } | figures


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
