"""Training, part by part: the bare compiled step, the loop around it, the augmentation alone."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from jax.stages import Lowered
from jaxtyping import Array
from ml_collections import ConfigDict
from rich.console import Console

from bcjax.augment import policy as policies
from bcjax.benchmark import machine, roofline
from bcjax.benchmark.figures import Figures
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.roofline import AgainstRoofs, Cost
from bcjax.engine.dispatch import Batch, Hyperparameters, StoredArrays
from bcjax.engine.loader import Loader
from bcjax.engine.plan import Call, Plan
from bcjax.engine.step import gather, keys_of, step_key, to_float
from bcjax.runtime import mesh as meshes
from bcjax.training.loop import MemberProgress, OnEvaluation
from bcjax.training.loop import loop as train_loop
from bcjax.training.meter import Meter
from bcjax.training.run import Run


class TimedRun:
    """A run whose state is used up by one measurement after the other.

    Attributes:
      run: The run.
      state: Its state now.
      phase: The phase that the state is in.
      compile_s: Seconds until its programs were compiled and written to disk. Only then is anything
        timed, since both would slow it.
    """

    def __init__(self, config: ConfigDict):
        """Opens the run that a config describes, in the config's workdir."""
        self.run = Run(config)
        self.state, _ = self.run.restore_or_start()
        self.phase = self.run.phase_of(self.state)
        self.compile_s = machine.seconds(self.run.wait_for_programs)

    @property
    def config(self) -> ConfigDict:
        """The resolved config."""
        return self.run.config

    @property
    def plan(self) -> Plan:
        """What happens at which step of the phase."""
        return self.phase.plan

    @property
    def step(self) -> int:
        """Steps taken; waits for the devices."""
        return int(jax.device_get(self.state.step))

    def loader(self, split: str) -> Loader:
        """Returns the loader of a split."""
        return self.run.loader(split, self.phase, self.state)

    def train(self, batch: Batch) -> Array:
        """Takes the steps of a call; returns their metrics."""
        self.state, metrics = self.run.train(self.phase, self.state, batch)
        return metrics

    def train_with(self, plan: Plan, start: int, on_evaluation: OnEvaluation) -> None:
        """Trains with the loop of `bcjax train`, from a step on and by another plan.

        Raises:
          KeyboardInterrupt: If a signal ended it.
        """
        state = self.state.replace(step=meshes.replicate(self.run.mesh, np.int32(start)))
        member = MemberProgress(self.run.with_plan(self.phase, plan), start)
        states, signal = train_loop([member], {0: state}, Console(quiet=True), on_evaluation)
        if signal:
            raise KeyboardInterrupt
        self.run.checkpoints.wait()
        self.state = states[0]

    def close(self) -> None:
        """Waits for the checkpoint that is being written."""
        self.run.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepTimes(AgainstRoofs):
    """The bare compiled step.

    Attributes:
      images_per_s: Median.
      step_ms: Median.
      first_step_s: The first call and, before it, compiling the run's programs and writing them to
        disk.
    """

    images_per_s: float
    step_ms: float
    first_step_s: float


def measure_step(run: TimedRun, peaks: Peaks, steps: int) -> StepTimes:
    """Times compiled calls, waiting for each one.

    Args:
      run: The run, whose state is used up.
      peaks: What a device was seen to do.
      steps: The timed calls; two more before them are left out.
    """
    dispatch = repeated(run)
    first, _, *others = (machine.seconds(lambda: dispatch(1)) for _ in range(steps + 2))
    seconds = statistics.median(others) / run.plan.steps_per_call
    return StepTimes(
        images_per_s=run.config.train.batch_size / seconds,
        step_ms=1e3 * seconds,
        first_step_s=run.compile_s + first,
        **roofline.against(cost(run), seconds, peaks),
    )


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
    return run.phase.train_call.program.jitted.lower(
        run.state, batches, loader.stored, run.run.values
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WholeTimes(Figures):
    """`bcjax train` from the end of an evaluation to the end of the next; medians.

    Attributes:
      images_per_s: Pictures trained on in a second.
      seconds: The whole period.
      steps: Steps in it.
      images: Pictures trained on in it.
      evaluated: Pictures evaluated in it.
      share_of_bare_step: Its rate, over that of the bare step before and after.
    """

    images_per_s: float
    seconds: float
    steps: int
    images: int
    evaluated: int
    share_of_bare_step: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopTimes(Figures):
    """The training loop, without evaluations and checkpoints; medians.

    Attributes:
      images_per_s: Pictures trained on in a second.
      step_ms: A step.
      bare_images_per_s: The rate of the bare step, in turns with it.
      share_of_bare_step: The median of the turns' ratios.
      whole: The whole run; None: it was not timed.
    """

    images_per_s: float
    step_ms: float
    bare_images_per_s: float
    share_of_bare_step: float
    whole: WholeTimes | None = None


def measure_loop(run: TimedRun, steps: int, repeats: int, evaluations: int) -> LoopTimes:
    """Times the bare step and the training loop in turns, on the run's own pictures.

    The loop is what training does between two log lines: order, store, transfer, call, metrics.

    Args:
      run: The run, whose state is used up.
      steps: The timed steps of a turn, rounded up to whole calls.
      repeats: The number of turns of each.
      evaluations: The periods of the whole run that are timed; 0: none.
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
    times = machine.in_turns(repeats, bare=bare, loop=loop)
    seconds = statistics.median(times["loop"])
    whole = None
    if evaluations:
        before = machine.seconds(bare)
        seconds_of_period = _whole(run, evaluations)
        bare_rate = images / statistics.mean((before, machine.seconds(bare)))
        period = run.plan.eval_every
        rate = period * batch_size / seconds_of_period
        whole = WholeTimes(
            images_per_s=rate,
            seconds=seconds_of_period,
            steps=period,
            images=period * batch_size,
            evaluated=run.run.prepared.size(run.config.eval.split),
            share_of_bare_step=rate / bare_rate,
        )
    return LoopTimes(
        images_per_s=images / seconds,
        step_ms=1e3 * seconds / (len(calls) * per_call),
        bare_images_per_s=images / statistics.median(times["bare"]),
        share_of_bare_step=statistics.median(
            bare / loop for bare, loop in zip(times["bare"], times["loop"], strict=True)
        ),
        whole=whole,
    )


def _whole(run: TimedRun, evaluations: int) -> float:
    """Times `bcjax train`'s own loop, with log lines, writers, evaluations and checkpoints.

    A period is from the end of an evaluation to the end of the next: a checkpoint is begun, the
    steps between the two are taken, the split is evaluated. One that is not timed goes before, so
    that evaluation is compiled.

    Args:
      run: The run, whose state is used up.
      evaluations: The number of periods.

    Returns:
      The seconds of a period, a median.
    """
    plan = run.plan
    period = plan.eval_every
    # So that the first evaluation, which compiles, is only a call away.
    start = max(0, period - plan.steps_per_call)
    # Of the two programs that training dispatches, the one whose call is a single step.
    run.train(next(run.loader("train").training([Call(0, 1)], run.run.order)))
    longer = dataclasses.replace(plan, save_every=period, length=(evaluations + 2) * period)
    moments: list[float] = []

    def evaluated(step: int, result: dict[str, float]) -> bool:
        moments.append(time.perf_counter())
        return len(moments) > evaluations

    run.train_with(longer, start, evaluated)
    return float(statistics.median(np.diff(moments)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentationTimes(AgainstRoofs):
    """The augmentation policy alone; medians.

    Attributes:
      ops: Its operations.
      images_per_s: Pictures in a second.
      batch_ms: A batch.
      share_of_step: The median of the turns' ratios; alone the policy is not fused with what
        follows.
    """

    ops: list[str]
    images_per_s: float
    batch_ms: float
    share_of_step: float


def measure_augmentation(
    run: TimedRun, peaks: Peaks, steps: int, repeats: int
) -> AugmentationTimes:
    """Times the augmentation policy and the bare step in turns.

    Args:
      run: The run, whose state is used up; its `augment.ops` are not empty.
      peaks: What a device was seen to do.
      steps: The timed batches of a turn.
      repeats: The number of turns of each.
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
    everywhere = meshes.replicated_sharding(run.run.mesh)
    compiled = jax.jit(
        augment, in_shardings=(meshes.batch_sharding(run.run.mesh, leading=1), *3 * [everywhere])
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
    times = machine.in_turns(repeats, policy=policy_alone, step=lambda: dispatch(calls))
    seconds = statistics.median(times["policy"]) / steps
    lowered = compiled.lower(one, loader.stored, run.run.values, np.int32(0))
    cost = roofline.cost(lowered, devices=run.run.mesh.size)
    return AugmentationTimes(
        ops=list(run.config.augment.ops),
        images_per_s=run.config.train.batch_size / seconds,
        batch_ms=1e3 * seconds,
        share_of_step=statistics.median(
            (alone / steps) / (step / steps_in_turn)
            for alone, step in zip(times["policy"], times["step"], strict=True)
        ),
        **roofline.against(cost, seconds, peaks),
    )
