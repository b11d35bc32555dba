"""Answers for pictures in memory, by batch size: how long one waits, and how many come."""

import statistics
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from bcjax.benchmark import clock, roofline
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.timed_run import TimedRun
from bcjax.engine import network
from bcjax.engine.state import Variables
from bcjax.engine.step import infer

SIZES = (1, 8, 32, 128, 512)

_CALLS, _LEAST_CALLS, _SECONDS = 200, 20, 5.0  # at each size


def measure(run: TimedRun, peaks: Peaks, sizes: Sequence[int]) -> dict[str, Any]:
    """Times inference on one device, from decoded pictures in RAM to probabilities in RAM.

    Each call is waited for: uint8 pictures go to the device, probabilities come back.

    Args:
      run: Whose network answers.
      peaks: Of a device.
      sizes: Of batches.

    Returns:
      {"batches": [...]}, for each size "batch_size", "p50_ms" and "p99_ms" of a call,
      "images_per_s" (of the median call), "calls" timed, and what `roofline.against` says.
    """
    config = run.config
    model = network.build(config, len(run.run.classes))

    def answer(variables: Variables, pixels: UInt8[Array, "B H W 3"]) -> Float[Array, "B C"]:
        logits = infer(model, variables, pixels, config.model.mean, config.model.std)
        return jax.nn.softmax(logits)

    compiled = jax.jit(answer)
    variables = jax.device_put(jax.device_get(run.state.best_variables), jax.local_devices()[0])
    side = config.data.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (max(sizes), side, side, 3), np.uint8)
    found = []
    for size in sizes:
        times = _calls(lambda batch=pixels[:size]: jax.device_get(compiled(variables, batch)))
        middle = statistics.median(times)
        cost = roofline.cost(compiled.lower(variables, pixels[:size]))
        found.append(
            {
                "batch_size": size,
                "p50_ms": 1e3 * middle,
                "p99_ms": 1e3 * float(np.percentile(times, 99)),
                "images_per_s": size / middle,
                "calls": len(times),
            }
            | roofline.against(cost, middle, peaks)
        )
    return {"batches": found}


def _calls(work: Any) -> list[float]:
    """Returns the seconds of many calls, or of those that a few seconds allow."""
    work()  # compiles
    times = [clock.seconds(work)]
    while len(times) < _LEAST_CALLS or (len(times) < _CALLS and sum(times) < _SECONDS):
        times.append(clock.seconds(work))
    return times
