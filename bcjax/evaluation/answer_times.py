"""How long a network takes to answer pictures on this machine, and how much memory it needs.

Sweeps, benchmarks and reports all measure it here.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import psutil
from flax import linen as nn
from jax.stages import Compiled
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from bcjax.config import ImageSize
from bcjax.engine import network
from bcjax.engine.state import Variables
from bcjax.engine.step import infer
from bcjax.evaluation.inference_cost import InferenceCost
from bcjax.runtime import environment
from bcjax.runtime.program_cache import CachedProgram

_LARGEST_BATCH = 32
_SECONDS = 2.0  # of calls at each batch size, unless the least number of calls takes longer


def answering(model: nn.Module, config: ConfigDict) -> CachedProgram:
    """Returns the compiled function (variables, uint8 pictures) -> probabilities."""
    mean, std = config.model.mean, config.model.std

    def answer(variables: Variables, pixels: UInt8[Array, "B H W C"]) -> Float[Array, "B classes"]:
        return jax.nn.softmax(infer(model, variables, pixels, mean, std))

    return CachedProgram(answer, {"pixels": (model, mean, std), "gives": "probabilities"})


def time_calls(
    work: Callable[[], Any], *, least: int, most: int, seconds: float = _SECONDS
) -> list[float]:
    """Returns the seconds of each of many calls, or of those that `seconds` allow.

    Args:
      work: The call, which waits for what it dispatches. A call before the others compiles it.
      least: The least number of calls, however long they take.
      most: The largest number of calls.
      seconds: For how long calls begin.
    """
    work()
    times: list[float] = []
    while len(times) < least or (len(times) < most and sum(times) < seconds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def measure(model: nn.Module, variables: Variables, config: ConfigDict) -> InferenceCost:
    """Measures a network on one device of this process.

    Args:
      model: The network.
      variables: Its parameters and batch statistics; times do not depend on their values.
      config: The config of its run.
    """
    device = jax.local_devices()[0]
    before = _measured_peak(device)
    placed = jax.device_put(variables, device)
    answer = answering(model, config)
    shape = (_LARGEST_BATCH, *ImageSize.of(config.data.image_size), 3)
    pixels = np.full(shape, 128, np.uint8)

    def call(size: int) -> Callable[[], Any]:
        compiled = answer.compile(placed, pixels[:size])
        return lambda: jax.device_get(compiled(placed, pixels[:size]))

    single = time_calls(call(1), least=10, most=200)
    middle = statistics.median(single)
    # A batch that takes about a second on a slow machine: three calls of 32 pictures of a large
    # network would take a CPU minutes.
    size = next((n for n in (32, 16, 8, 4, 2) if n * middle <= 1), 1)
    several = statistics.median(time_calls(call(size), least=3, most=50)) if size > 1 else middle
    after = _measured_peak(device)
    return InferenceCost(
        hardware=environment.hardware(device.device_kind),
        p50_ms=1e3 * middle,
        p99_ms=1e3 * float(np.percentile(single, 99)),
        calls=len(single),
        images_per_s=size / several,
        batch_size=size,
        estimated_bytes=estimated_memory(answer.compile(placed, pixels[:size])),
        device_bytes=after if after > before else None,
        process_bytes=psutil.Process().memory_info().rss,
    )


def without_values(model: nn.Module, config: ConfigDict) -> Variables:
    """Returns variables that are all 0.01, for what does not depend on their values."""
    size = ImageSize.of(config.data.image_size)
    shapes = network.variable_shapes(model, size, config.model.channels)
    return jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), shapes)


def estimated_memory(compiled: Compiled) -> int | None:
    """Returns the bytes that a program holds at once as its compiler estimates; None: unknown."""
    found = compiled.memory_analysis()
    if not found:
        return None
    given = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return given + found.temp_size_in_bytes


def _measured_peak(device: jax.Device) -> int:
    """Returns the most bytes that the device held for this process; 0 where it does not say."""
    return int((device.memory_stats() or {}).get("peak_bytes_in_use", 0))
