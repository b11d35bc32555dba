"""The bare compiled step: augmentation, forward, backward, optimizer, on one batch."""

import statistics
from collections.abc import Callable
from typing import Any

import jax
from jax.stages import Lowered

from bcjax.benchmark import clock, roofline
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.roofline import Cost
from bcjax.benchmark.timed_run import TimedRun
from bcjax.engine.plan import Call


def measure(run: TimedRun, peaks: Peaks, steps: int) -> dict[str, Any]:
    """Times the compiled call, each one waited for.

    Args:
      run: The run, whose state is used up.
      peaks: Of a device.
      steps: Timed calls, after the first, which compiles, and one more.

    Returns:
      "images_per_s" and "step_ms", medians; "first_step_s", of the first call; and what
      `roofline.against` says of the step.
    """
    dispatch = repeated(run)
    first, _, *others = (clock.seconds(lambda: dispatch(1)) for _ in range(steps + 2))
    seconds = statistics.median(others) / run.plan.steps_per_call
    return {
        "images_per_s": run.config.train.batch_size / seconds,
        "step_ms": 1e3 * seconds,
        "first_step_s": first,
    } | roofline.against(cost(run), seconds, peaks)


def repeated(run: TimedRun) -> Callable[[int], None]:
    """Returns a function that does a number of calls and waits for the last.

    It is what training dispatches, over and over on one batch that is on the devices already.
    """
    same = next(run.loader("train").training([Call(0, run.plan.steps_per_call)], run.run.order))

    def dispatch(calls: int) -> None:
        for _ in range(calls):
            run.train(same)
        jax.block_until_ready(run.state)

    return dispatch


def cost(run: TimedRun) -> Cost:
    """Returns what one step costs; nothing is known of one that is a loop over micro-batches."""
    if run.config.optim.accumulate > 1 and jax.default_backend() != "cpu":
        return Cost()  # XLA counts a loop's body once
    return roofline.cost(lowered(run, 1), devices=run.run.mesh.size)


def lowered(run: TimedRun, steps: int) -> Lowered:
    """Returns the program of a call of so many steps.

    JAX finds it compiled if there was such a call.
    """
    loader = run.loader("train")
    batches = next(loader.training([Call(0, steps)], run.run.order))
    return run.phase.train_call.jitted.lower(run.state, batches, loader.stored, run.run.values)
