"""Inference: the evaluation of a split, and predictions by batch size."""

import dataclasses
import statistics
from collections.abc import Sequence

import jax
import numpy as np

from bcjax.benchmark import machine, roofline
from bcjax.benchmark.figures import Figures
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.roofline import AgainstRoofs
from bcjax.benchmark.training import TimedRun
from bcjax.config import ImageSize
from bcjax.engine import network
from bcjax.engine.loader import whole_batches
from bcjax.evaluation import answer_times

_BATCHES = 4  # dispatched in a turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForwardPass(AgainstRoofs):
    """A batch of the compiled network, on the devices already; medians."""

    batch_size: int
    batch_ms: float
    images_per_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationTimes(Figures):
    """The evaluation of a split; medians.

    Attributes:
      split: The split.
      images: Its pictures.
      images_per_s: Pictures in a second.
      seconds: The whole split.
      forward: The compiled forward pass alone.
    """

    split: str
    images: int
    images_per_s: float
    seconds: float
    forward: ForwardPass


def measure_evaluation(run: TimedRun, peaks: Peaks, repeats: int) -> EvaluationTimes:
    """Times the evaluation of a split and its compiled forward pass in turns.

    Args:
      run: The run.
      peaks: What a device was seen to do.
      repeats: The number of turns of each.
    """
    split, variables = run.config.eval.split, run.state.best_variables
    loader = run.loader(split)
    wanted = run.config.eval.batch_size or run.config.train.batch_size
    batch_size = whole_batches(run.run.mesh, min(wanted, loader.examples))
    one, _ = next(loader.once(batch_size, 1))
    predict = run.run.program.predict.jitted

    def evaluation() -> None:
        run.run.predict(split, run.phase, run.state)

    def forward() -> None:
        for _ in range(_BATCHES):
            done = predict(variables, one, loader.stored)
        jax.block_until_ready(done)

    evaluation()  # compiles
    forward()
    times = machine.in_turns(repeats, evaluation=evaluation, forward=forward)
    seconds = statistics.median(times["evaluation"])
    batch_seconds = statistics.median(times["forward"]) / _BATCHES
    lowered = predict.lower(variables, one, loader.stored)
    cost = roofline.cost(lowered, devices=run.run.mesh.size)
    forward_pass = ForwardPass(
        batch_size=batch_size,
        batch_ms=1e3 * batch_seconds,
        images_per_s=batch_size / batch_seconds,
        **roofline.against(cost, batch_seconds, peaks),
    )
    return EvaluationTimes(
        split=split,
        images=loader.examples,
        images_per_s=loader.examples / seconds,
        seconds=seconds,
        forward=forward_pass,
    )


SIZES = (1, 8, 32, 128, 512)

_CALLS, _LEAST_CALLS, _SECONDS = 200, 20, 5.0  # at each size


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallTimes(AgainstRoofs):
    """Answers to a batch of pictures.

    Attributes:
      batch_size: The pictures of a call.
      p50_ms: The median call.
      p99_ms: What 99 % of the calls stay below.
      images_per_s: Of the median call.
      calls: How many were timed.
    """

    batch_size: int
    p50_ms: float
    p99_ms: float
    images_per_s: float
    calls: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionTimes(Figures):
    """Answers by batch size."""

    batches: list[CallTimes]


def measure_prediction(run: TimedRun, peaks: Peaks, sizes: Sequence[int]) -> PredictionTimes:
    """Times inference on one device, from decoded pictures in RAM to probabilities in RAM.

    Each call is waited for: uint8 pictures go to the device, probabilities come back.

    Args:
      run: The run whose network predicts.
      peaks: What a device was seen to do.
      sizes: The batch sizes.
    """
    config = run.config
    compiled = answer_times.answering(network.build(config, len(run.run.classes)), config).jitted
    variables = jax.device_put(jax.device_get(run.state.best_variables), jax.local_devices()[0])
    shape = (max(sizes), *ImageSize.of(config.data.image_size), 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = []
    for size in sizes:

        def call(batch: np.ndarray = pixels[:size]) -> None:
            jax.device_get(compiled(variables, batch))

        times = answer_times.time_calls(
            call,
            least=_LEAST_CALLS,
            most=_CALLS,
            seconds=_SECONDS,
        )
        middle = statistics.median(times)
        cost = roofline.cost(compiled.lower(variables, pixels[:size]))
        found.append(
            CallTimes(
                batch_size=size,
                p50_ms=1e3 * middle,
                p99_ms=1e3 * float(np.percentile(times, 99)),
                images_per_s=size / middle,
                calls=len(times),
                **roofline.against(cost, middle, peaks),
            )
        )
    return PredictionTimes(batches=found)
