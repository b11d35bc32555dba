"""How fast the bare compiled step is, and how close the training loop comes to it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from bcjax.meter import Meter
from bcjax.plan import Call
from bcjax.run import Run


def bare_step(run: Run, steps: int) -> dict[str, Any]:
    """Times the compiled step, whole: augmentation, forward, backward, optimizer.

    Args:
      run: At its beginning; its state is used up.
      steps: Timed calls, after the first, which compiles, and one more.

    Returns:
      The median over the calls, the first call's seconds, and what was measured on.
    """
    feed, config = run.feed("train"), run.config
    per_call, batch_size = run.plan.steps_per_call, config.train.batch_size
    same = next(feed.training([Call(0, per_call)], run.order))

    def call() -> None:
        run.train(same)
        jax.block_until_ready(run.state)

    first, _, *others = (_seconds(call) for _ in range(steps + 2))
    seconds = statistics.median(others) / per_call
    return _measured_on(run) | {
        "first_step_s": round(first, 2),
        "step_ms": round(1e3 * seconds, 2),
        "images_per_s": round(batch_size / seconds, 1),
    }


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
    same = next(feed.training(calls, run.order))

    def bare() -> None:
        for _ in calls:
            run.train(same)
        jax.block_until_ready(run.state)

    def loop() -> None:
        meter = Meter()
        for call, batch in zip(calls, feed.training(calls, run.order), strict=True):
            metrics = run.train(batch)
            meter.add(call.first, metrics)
        meter.take()

    bare()  # compiles
    rates: dict[str, list[float]] = {"bare_step": [], "loop": []}
    for _ in range(repeats):
        rates["bare_step"].append(images / _seconds(bare))
        rates["loop"].append(images / _seconds(loop))
    return _measured_on(run) | {
        "images_per_s": {name: statistics.median(values) for name, values in rates.items()},
        "loop_over_bare_step": statistics.median(
            a / b for a, b in zip(rates["loop"], rates["bare_step"], strict=True)
        ),
    }


def _measured_on(run: Run) -> dict[str, Any]:
    config = run.config
    return {
        "model": config.model.name,
        "image_size": config.data.image_size,
        "batch_size": config.train.batch_size,
        "dtype": config.model.dtype,
        "store": run.store,
        "steps_per_call": run.plan.steps_per_call,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
