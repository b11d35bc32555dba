"""The benchmark of a config: several subjects measured in one process, on one run."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, cast

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.benchmark import SUBJECTS, inference, machine, start_and_checkpoint, trace, training
from bcjax.benchmark.figures import Figures
from bcjax.benchmark.inference import EvaluationTimes, PredictionTimes
from bcjax.benchmark.input import InputRates, measure_input
from bcjax.benchmark.machine import Machine, Peaks
from bcjax.benchmark.start_and_checkpoint import CheckpointTimes, Starts
from bcjax.benchmark.trace import Profile
from bcjax.benchmark.training import AugmentationTimes, LoopTimes, StepTimes, TimedRun
from bcjax.data.preparation import prepare
from bcjax.runtime import scratch
from bcjax.runtime.errors import UserError

_INPUT_S = 0.4  # of each store and part, in a turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting(Figures):
    """What the figures depend on most.

    Attributes:
      model: The name of the network.
      image_size: Size of the pictures in pixels, as `data.image_size` states it.
      batch_size: Pictures in a step.
      dtype: In which the network computes.
      store: Where decoded pictures live.
      steps_per_call: Steps that are dispatched together.
    """

    model: str
    image_size: int | tuple[int, int]
    batch_size: int
    dtype: str
    store: str
    steps_per_call: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark(Figures):
    """All that was measured in one sitting; None: it was not asked for.

    Attributes:
      about: The machine.
      config: What was measured.
      peaks: What a device was seen to do.
      stolen_share: Of the processors' time, what the host gave to others meanwhile.
      start: See `SUBJECTS`, as for the others.
      trace: The profile.
    """

    about: Machine
    config: Setting
    peaks: Peaks
    stolen_share: float
    start: Starts | None = None
    step: StepTimes | None = None
    input: InputRates | None = None
    train: LoopTimes | None = None
    augment: AugmentationTimes | None = None
    evaluate: EvaluationTimes | None = None
    predict: PredictionTimes | None = None
    checkpoint: CheckpointTimes | None = None
    trace: Profile | None = None


def measure(
    config: ConfigDict,
    arguments: Sequence[str],
    what: Collection[str],
    *,
    steps: int,
    repeats: int,
    evaluations: int,
    traced: Path | None = None,
) -> Benchmark:
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
    figures: dict[str, Figures] = {}
    if "start" in what:
        prepare(config.data)
        figures["start"] = start_and_checkpoint.measure_start(arguments)
    with scratch.beside(Path(tempfile.gettempdir()) / "bcjax-benchmark") as folder:
        config = configs.replaced(config, {"workdir": str(folder)})
        with contextlib.closing(TimedRun(config)) as run:
            peaks = machine.peaks(config.model.dtype)
            largest = config.eval.batch_size or config.train.batch_size
            sizes = [size for size in inference.SIZES if size <= largest]
            subjects: dict[str, Callable[[], Figures]] = {
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
            return Benchmark(
                about=machine.about(),
                config=_setting(run),
                peaks=peaks,
                stolen_share=round(machine.stolen_share(began), 3),
                **cast(dict[str, Any], figures),
            )


def _setting(run: TimedRun) -> Setting:
    config = run.config
    return Setting(
        model=config.model.name,
        image_size=config.data.image_size,
        batch_size=config.train.batch_size,
        dtype=config.model.dtype,
        store=run.run.store,
        steps_per_call=run.plan.steps_per_call,
    )
