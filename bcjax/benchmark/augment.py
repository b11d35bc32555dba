"""The augmentation policy alone, compiled, as a training step applies it to its batch."""

import statistics
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from bcjax.augment import policy as policies
from bcjax.benchmark import clock, roofline
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.step import repeated
from bcjax.benchmark.timed_run import TimedRun
from bcjax.engine.dispatch import Batch, Hyperparameters, StoredArrays
from bcjax.engine.plan import Call
from bcjax.engine.step import gather, keys_of, step_key, to_float
from bcjax.runtime import mesh as meshes


def measure(run: TimedRun, peaks: Peaks, steps: int, repeats: int) -> dict[str, Any]:
    """Times the policy and the bare step in turns.

    Args:
      run: The run, whose state is used up; its `augment.ops` are not empty.
      peaks: Of a device.
      steps: Timed batches in a turn.
      repeats: Turns of each.

    Returns:
      "ops"; "images_per_s" and "batch_ms", medians; "share_of_step", the median of the turns'
      ratios (alone the policy is not fused with what follows); and what `roofline.against` says.
    """
    policy = policies.build(run.config.augment.ops)
    dtype = run.config.model.dtype

    def augment(
        batches: Batch, stored: StoredArrays, values: Hyperparameters, step: Array
    ) -> tuple[Array, Array]:
        key, _ = keys_of(step_key(values.seed, step))
        batch = {name: array[0] for name, array in batches.items()}
        images = to_float(gather(batch, stored)["image"], dtype)
        return policy(key, images, batch["index"], values.augment)

    loader = run.loader("train")
    one = next(loader.training([Call(0, 1)], run.run.order))
    everywhere = meshes.replicated(run.run.mesh)
    compiled = jax.jit(
        augment,
        in_shardings=(meshes.batch_sharding(run.run.mesh, leading=1), *3 * [everywhere]),
    )

    def policy_alone() -> None:
        for step in range(steps):
            done = compiled(one, loader.stored, run.run.values, np.int32(step))
        jax.block_until_ready(done)

    dispatch = repeated(run)
    calls = -(-steps // run.plan.steps_per_call)
    steps_in_turn = calls * run.plan.steps_per_call
    policy_alone()  # compiles
    dispatch(1)
    times = clock.in_turns(repeats, policy=policy_alone, step=lambda: dispatch(calls))
    seconds = statistics.median(times["policy"]) / steps
    lowered = compiled.lower(one, loader.stored, run.run.values, np.int32(0))
    return {
        "ops": list(run.config.augment.ops),
        "images_per_s": run.config.train.batch_size / seconds,
        "batch_ms": 1e3 * seconds,
        "share_of_step": statistics.median(
            (alone / steps) / (step / steps_in_turn)
            for alone, step in zip(times["policy"], times["step"], strict=True)
        ),
    } | roofline.against(roofline.cost(lowered, devices=run.run.mesh.size), seconds, peaks)
