"""Evaluation of the watched split, and the forward pass that it is made of."""

import statistics
from typing import Any, cast

import jax

from bcjax.benchmark import clock, roofline
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.timed_run import TimedRun
from bcjax.engine.loader import whole_batches

_BATCHES = 4  # dispatched in a turn


def measure(run: TimedRun, peaks: Peaks, repeats: int) -> dict[str, Any]:
    """Times the evaluation of a split and its compiled forward pass in turns.

    Args:
      run: The run.
      peaks: Of a device.
      repeats: Turns of each.

    Returns:
      "split" and "images"; "images_per_s" and "seconds" of an evaluation, medians; and "forward":
      "batch_size", "batch_ms" and "images_per_s" of a batch that is on the devices already, with
      what `roofline.against` says of it.
    """
    split, variables = run.config.eval.split, run.state.best_variables
    loader = run.loader(split)
    wanted = run.config.eval.batch_size or run.config.train.batch_size
    batch_size = whole_batches(run.run.mesh, min(wanted, loader.examples))
    one, _ = next(loader.once(batch_size, 1))
    predict = cast(jax.stages.Wrapped, run.run.program.predict)

    def evaluation() -> None:
        run.run.predict(split, run.phase, run.state)

    def forward() -> None:
        for _ in range(_BATCHES):
            done = predict(variables, one, loader.stored)
        jax.block_until_ready(done)

    evaluation()  # compiles
    forward()
    times = clock.in_turns(repeats, evaluation=evaluation, forward=forward)
    seconds = statistics.median(times["evaluation"])
    batch_seconds = statistics.median(times["forward"]) / _BATCHES
    lowered = predict.lower(variables, one, loader.stored)
    cost = roofline.cost(lowered, devices=run.run.mesh.size)
    return {
        "split": split,
        "images": loader.examples,
        "images_per_s": loader.examples / seconds,
        "seconds": seconds,
        "forward": {
            "batch_size": batch_size,
            "batch_ms": 1e3 * batch_seconds,
            "images_per_s": batch_size / batch_seconds,
        }
        | roofline.against(cost, batch_seconds, peaks),
    }
