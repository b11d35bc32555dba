"""The training loop beside the bare step, in turns; and a run with all that interrupts it."""

import dataclasses
import statistics
import time
from typing import Any

import numpy as np
from rich.console import Console

from bcjax.benchmark import clock
from bcjax.benchmark.step import repeated
from bcjax.benchmark.timed_run import TimedRun
from bcjax.engine.plan import Call
from bcjax.runtime import mesh as meshes
from bcjax.training.loop import MemberProgress
from bcjax.training.loop import loop as train_loop
from bcjax.training.meter import Meter


def measure(run: TimedRun, steps: int, repeats: int, evaluations: int) -> dict[str, Any]:
    """Times the bare step and the training loop in turns, on the run's own pictures.

    The loop is what training does between two log lines: order, store, transfer, call, metrics.

    Args:
      run: The run, whose state is used up.
      steps: Timed steps in a turn, rounded up to whole calls.
      repeats: Turns of each.
      evaluations: For `_whole`; 0: that is left out.

    Returns:
      "images_per_s" and "step_ms" of the loop and "bare_images_per_s", medians;
      "share_of_bare_step", the median of the turns' ratios; and "whole" (see `_whole`).
    """
    per_call, batch_size = run.plan.steps_per_call, run.config.train.batch_size
    calls = [Call(i * per_call, per_call) for i in range(-(-steps // per_call))]
    images = len(calls) * per_call * batch_size
    dispatch = repeated(run)

    def bare() -> None:
        dispatch(len(calls))

    def loop() -> None:
        meter = Meter()
        batches = run.loader("train").training(calls, run.run.order)
        for call, batch in zip(calls, batches, strict=True):
            meter.add(call.first, run.train(batch))
        meter.take()

    dispatch(1)  # compiles
    times = clock.in_turns(repeats, bare=bare, loop=loop)
    seconds = statistics.median(times["loop"])
    found: dict[str, Any] = {
        "images_per_s": images / seconds,
        "step_ms": 1e3 * seconds / (len(calls) * per_call),
        "bare_images_per_s": images / statistics.median(times["bare"]),
        "share_of_bare_step": statistics.median(
            bare / loop for bare, loop in zip(times["bare"], times["loop"], strict=True)
        ),
    }
    if evaluations:
        before = clock.seconds(bare)
        whole = _whole(run, evaluations)
        bare_rate = images / statistics.mean((before, clock.seconds(bare)))
        found["whole"] = whole | {"share_of_bare_step": whole["images_per_s"] / bare_rate}
    return found


def _whole(run: TimedRun, evaluations: int) -> dict[str, Any]:
    """Times `bcjax train`'s own loop, with log lines, writers, evaluations and checkpoints.

    A period is from the end of an evaluation to the end of the next: a checkpoint is begun, the
    steps between the two are taken, the split is evaluated. One that is not timed goes before, so
    that evaluation is compiled.

    Args:
      run: The run, whose state is used up.
      evaluations: Periods.

    Returns:
      "images_per_s" and "seconds" of a period, medians; "steps" and "images" in it; "evaluated",
      pictures evaluated in it.
    """
    plan, config = run.plan, run.config
    period = plan.eval_every
    # So that the first evaluation, which compiles, is only a call away.
    start = max(0, period - plan.steps_per_call)
    # Of the two programs that training dispatches, the one whose call is a single step.
    run.train(next(run.loader("train").training([Call(0, 1)], run.run.order)))
    state = run.state.replace(step=meshes.everywhere(run.run.mesh, np.int32(start)))
    longer = run.run.with_plan(
        run.phase, dataclasses.replace(plan, save_every=period, length=(evaluations + 2) * period)
    )
    moments: list[float] = []

    def evaluated(step: int, result: dict[str, float]) -> bool:
        moments.append(time.perf_counter())
        return len(moments) > evaluations

    member = MemberProgress(longer, start)
    states, signal = train_loop([member], {0: state}, Console(quiet=True), evaluated)
    if signal:
        raise KeyboardInterrupt
    run.run.checkpoints.wait()
    run.state = states[0]
    seconds = statistics.median(np.diff(moments))
    images = period * config.train.batch_size
    return {
        "images_per_s": images / seconds,
        "seconds": seconds,
        "steps": period,
        "images": images,
        "evaluated": run.run.prepared.size(config.eval.split),
    }
