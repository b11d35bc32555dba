"""How close the training loop comes to its bare compiled step."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from bcjax.meter import Meter
from bcjax.plan import Call
from bcjax.run import Run


def loop_against_step(run: Run, steps: int, repeats: int) -> dict[str, Any]:
    """Times the bare step and the training loop in turns, on the run's own pictures.

    The bare step is the compiled call, dispatched over and over on one batch that is on the
    devices already. The loop is what training does between two log lines: order, store, transfer,
    call, metrics.

    Args:
      run: At its beginning; its state is used up.
      steps: Timed steps in a turn, rounded up to whole calls.
      repeats: Turns of each.

    Returns:
      Median images/s of both, the loop's share of the bare step, and what was measured on.
    """
    feed, config = run.feed("train"), run.config
    per_call, batch_size = run.plan.steps_per_call, config.train.batch_size
    calls = [Call(i * per_call, per_call) for i in range(-(-steps // per_call))]
    images = len(calls) * per_call * batch_size
    same = next(feed.training(calls, batch_size, config.seed))

    def bare() -> None:
        for _ in calls:
            run.state, _metrics = run.train_call(run.state, same, feed.pictures)
        jax.block_until_ready(run.state)

    def loop() -> None:
        meter = Meter()
        for call, batch in zip(calls, feed.training(calls, batch_size, config.seed), strict=True):
            run.state, metrics = run.train_call(run.state, batch, feed.pictures)
            meter.add(call.first, metrics)
        meter.take()

    bare()  # compiles
    rates: dict[str, list[float]] = {"bare_step": [], "loop": []}
    for _ in range(repeats):
        rates["bare_step"].append(images / _seconds(bare))
        rates["loop"].append(images / _seconds(loop))
    return {
        "model": config.model.name,
        "image_size": config.data.image_size,
        "batch_size": batch_size,
        "dtype": config.model.dtype,
        "store": run.store,
        "steps_per_call": per_call,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "images_per_s": {name: statistics.median(values) for name, values in rates.items()},
        "loop_over_bare_step": statistics.median(
            a / b for a, b in zip(rates["loop"], rates["bare_step"], strict=True)
        ),
    }


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
