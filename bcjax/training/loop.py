"""The training loop, from a config to an evaluated checkpoint. Reads top to bottom.

One loop trains one run or several members of one: see `members` for how their steps are dispatched.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from bcjax import config as configs
from bcjax.config.members import member_config, rates
from bcjax.data.input_transform import InputTransform
from bcjax.data.store import DiskStore
from bcjax.engine import checkpoint, patience
from bcjax.engine.dispatch import Batch
from bcjax.engine.patience import Patience
from bcjax.engine.phases import Phase
from bcjax.engine.state import State
from bcjax.evaluation import evaluation as evaluations
from bcjax.evaluation import member_summary, trained_network
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import evaluate_final
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.metrics.names import describe
from bcjax.runtime import mesh as meshes
from bcjax.runtime import peers
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.signals import EXIT_STATUS, Interrupts, name_of
from bcjax.runtime.stages import Stages, Told
from bcjax.runtime.training_sessions import Changes, Ending
from bcjax.training import loggers, members, resuming
from bcjax.training.loggers import Logger
from bcjax.training.loggers.sessions import finish_record
from bcjax.training.members import States
from bcjax.training.meter import Meter
from bcjax.training.progress import (
    Best,
    ProgressLine,
    best_kept,
    print_evaluation,
    print_summary,
)
from bcjax.training.resuming import NOTHING_CHANGES, Permissions
from bcjax.training.run import Run, check_same_everywhere, write_pictures_and_config

_SHOWN = 16  # pictures of the first step that the loggers show

# Called after each evaluation with the step and the headline metrics. If it returns True, or the
# reason as text, the run ends there, its checkpoint saved. Where there are several processes, all
# must return the same.
OnEvaluation = Callable[[int, dict[str, float]], bool | str]

# Those of `bcjax.register.callback`, by name, for `train.callbacks`.
CALLBACKS: dict[str, OnEvaluation] = {}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      workdir: The folder that the run was written to.
      step: Steps taken; with several members, those of the first.
      best: The step of the best checkpoint; None if there was no evaluation, or several members.
      evaluation: The evaluation of the best checkpoint on `eval.final_split`, with several members
        that of all of them together; None if there was none.
      signal: The signal that interrupted the run; 0 if it came to its end.
      ending: What ended it, when, and which checkpoints are kept; with several members, what ended
        the first.
    """

    workdir: Path
    step: int
    best: int | None
    evaluation: Evaluation | None
    signal: int = 0
    ending: Ending | None = None

    @property
    def exit_status(self) -> int:
        """The exit status of a program that trained this run."""
        return EXIT_STATUS.get(self.signal, 0)

    def load(self, checkpoint: str | int = "best") -> TrainedNetwork:
        """Reads the trained network at "best", "latest" or a step, as `bcjax.load` does."""
        return trained_network.load(self.workdir, checkpoint)


@dataclasses.dataclass
class MemberProgress:
    """One of the runs that the loop trains, and how far it is; a run alone is its only member.

    Attributes:
      run: The run; a member has a folder of its own.
      step: Steps taken.
      changes: The settings that changed where it went on.
      waits: Whether it takes no more steps in this phase.
      early: Why it waits or has ended before the length of its phase; "" if it has not.
      ended: Whether it takes no more steps at all.
      fault: Why it diverged; "" if it did not.
      latest: The step of its latest checkpoint; None if it has none.
      loggers: Where its metrics go.
      meter: Its metrics since the last log line.
      best: The best evaluation so far whose checkpoint is kept.
      batches: The batches that it has yet to see in this phase.
    """

    run: Run
    step: int
    changes: Changes = dataclasses.field(default_factory=dict)
    waits: bool = False
    early: str = ""
    ended: bool = False
    fault: str = ""
    latest: int | None = None
    loggers: list[Logger] = dataclasses.field(default_factory=list)
    meter: Meter = dataclasses.field(default_factory=Meter)
    best: Best | None = None
    batches: Iterator[Batch] = dataclasses.field(default_factory=lambda: iter(()))

    @property
    def trains(self) -> bool:
        """Whether it takes more steps in this phase."""
        return not (self.waits or self.ended or self.fault)

    def save(self, state: State, result: dict[str, float] | None) -> None:
        """Starts to write a checkpoint, with the evaluation at this step if there was one."""
        page = checkpoint.about_page(self.run.config, self.run.classes, result)
        self.run.checkpoints.save(state, page)
        self.latest = self.step
        for logger in self.loggers:
            logger.saved(self.step)

    def ending(self, signal: int, fault: str = "") -> Ending:
        """Returns what ended its training.

        Args:
          signal: The signal that stopped all; 0: none did.
          fault: What went wrong; "": nothing but what `self.fault` says.
        """
        cause: Literal["length", "patience", "callback", "signal", "fault"] = "length"
        why = f"that is its length, {self.run.config.train.length}"
        if fault := fault or self.fault:
            cause, why = "fault", fault
        elif signal:
            cause, why = "signal", f"{name_of(signal)} stopped it"
        elif self.early:
            cause, why = "callback" if self.ended else "patience", self.early
        best = self.best.step if self.best else None
        return Ending(cause, self.step, why, self.latest, best)


def train(
    config: ConfigDict,
    console: Console,
    on_evaluation: OnEvaluation = lambda step, result: False,
    permissions: Permissions = NOTHING_CHANGES,
) -> Outcome:
    """Trains, or goes on training, the run that a config describes, or each of its members.

    The same config with the same workdir goes on from the last checkpoint, and ends with the same
    parameters as a run that was never interrupted. A member whose loss is not finite stops and is
    named; the others go on.

    Args:
      config: The config; it is not changed.
      console: Where progress is printed, by the first process alone.
      on_evaluation: Called after each evaluation; it may end the run.
      permissions: What may change in a run that goes on.

    Raises:
      UserError: For whatever the user can mend; nothing that was written before is lost.
    """
    began = time.monotonic()
    config = configs.check(config)
    workdir, on_evaluation = Path(config.workdir), _with_callbacks(config, on_evaluation)
    loggers.check(config.track)
    meshes.initialize(config.mesh)
    with contextlib.ExitStack() as stack:
        stack.enter_context(peers.watched(config.mesh.heartbeat_seconds))
        check_same_everywhere(config, permissions)
        peers.check_shared(workdir)
        lead = jax.process_index() == 0
        console = console if lead else Console(quiet=True)
        if lead:
            stack.enter_context(RunDir(config.workdir).lock())
        resuming.check_there_is_a_run(RunDir(config.workdir), permissions)
        all_members, states, resumed = open_runs(config, stack, permissions)
        first, start = all_members[0], all_members[0].step
        first.run.compile_ahead(states[0])
        print_summary(first.run, states[0], resumed, first.changes, console)
        if len(all_members) > 1:
            console.print(f"members     {len(all_members)}, which differ in {config.train.vary}")
        states, signal = loop(all_members, states, console, on_evaluation, began)
        for member in all_members:
            member.run.checkpoints.wait()
        ending = first.ending(signal)
        if signal:
            _print_stopped(all_members, signal, console)
            return Outcome(workdir, first.step, first.run.checkpoints.best(), None, signal, ending)
        for i, member in enumerate(all_members):
            if member.fault or member.early or member.best is None:
                name = f"member {i}: " if len(all_members) > 1 else ""
                console.print(f"{name}{member.ending(0)}", highlight=False, soft_wrap=True)
            if member.run.lead and not member.loggers:
                finish_record(member.run.workdir, member.ending(0))
        if all(member.fault for member in all_members):
            raise UserError(first.fault)
        if len(all_members) == 1 and first.step == start:
            console.print(f"Step {start} is already the end of this run.")
            console.print("A longer config.train.length with --extend goes on.")
        with Stages(console, "final evaluation") as told:
            if len(all_members) > 1:
                together = evaluate_members(config, all_members, states, told)
                return Outcome(workdir, first.step, None, together, ending=ending)
            return dataclasses.replace(evaluate_best(first.run, states[0], told), ending=ending)


def _with_callbacks(config: ConfigDict, on_evaluation: OnEvaluation) -> OnEvaluation:
    """Returns a function that calls `on_evaluation` and the callbacks that the config names."""
    for name in config.train.callbacks:
        if name not in CALLBACKS:
            raise UserError(
                f"config.train.callbacks has {name!r}, which is not registered"
                f"{configs.nearest(name, CALLBACKS)}"
            )
    callbacks = [CALLBACKS[name] for name in config.train.callbacks]

    names = ["on_evaluation", *(f"the callback {name}" for name in config.train.callbacks)]

    def call_all(step: int, metrics: dict[str, float]) -> str:
        ends = [call(step, metrics) for call in (on_evaluation, *callbacks)]  # all are called
        whys = [
            end if isinstance(end, str) else f"{name} returned True"
            for name, end in zip(names, ends, strict=True)
            if end
        ]
        return " and ".join(whys)

    return call_all


def open_runs(
    config: ConfigDict, stack: contextlib.ExitStack, permissions: Permissions
) -> tuple[list[MemberProgress], States, bool]:
    """Opens the run, or its members, where the last checkpoints are.

    Returns:
      The runs, their states by position, and whether the first of them was restored.
    """
    if config.train.members == 1:
        run = stack.enter_context(contextlib.closing(Run(config, permissions=permissions)))
        state, resumed = run.restore_or_start()
        return [_opened(run, state, resumed)], {0: state}, resumed
    all_members: list[MemberProgress] = []
    states, any_resumed = {}, []
    for position, lr_scale in enumerate(rates(config)):
        first = all_members[0].run if all_members else None
        own = member_config(config, position, first.order.examples if first else None)
        Path(own.workdir).mkdir(parents=True, exist_ok=True)
        run = Run(own, like=first, lr_scale=lr_scale, permissions=permissions)
        stack.enter_context(contextlib.closing(run))
        states[position], resumed = run.restore_or_start()
        any_resumed.append(resumed)
        all_members.append(_opened(run, states[position], resumed))
    _write_common_config(config, all_members[0].run, permissions)
    return all_members, states, any_resumed[0]


def _opened(run: Run, state: State, resumed: bool) -> MemberProgress:
    changes = run.write_changes(state) if resumed else {}
    step = int(state.step)
    latest = step if resumed else None
    return MemberProgress(run, step, changes, best=best_kept(run), latest=latest)


def loop(
    all_members: list[MemberProgress],
    states: States,
    console: Console,
    on_evaluation: OnEvaluation = lambda step, result: False,
    began: float | None = None,
) -> tuple[States, int]:
    """Trains to the end of the last phase, or to a signal.

    Args:
      all_members: The runs.
      states: Their states, by position; they are used up.
      console: Where progress is printed.
      on_evaluation: Called after each evaluation; it may end a run.
      began: The `time.monotonic()` from which the time to the first step counts; None: now.

    Returns:
      The new states, and the signal that ended training; 0 if none did.
    """
    began = time.monotonic() if began is None else began
    signal = 0
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.push(functools.partial(_tell_faults, all_members, console))
        for position in range(len(all_members[0].run.phases)):
            early = next((member.early for member in all_members if not member.ended), "")
            states = _begin_phase(all_members, states, position)
            training = {i: member for i, member in enumerate(all_members) if member.trains}
            if not training:
                continue
            for member in training.values():
                if member.run.lead and not member.loggers:
                    member.loggers = loggers.open_loggers(
                        member.run.config, member.step, member.changes
                    )
                    for logger in member.loggers:
                        stack.enter_context(contextlib.closing(logger))
                    if member.step == 0:
                        _show_pictures(member)
            lead = next(iter(training.values())).run
            phase = lead.phase_of(states[next(iter(training))])
            if position:
                text = f"Phase {position + 1} of {len(lead.phases)} begins at step "
                text += f"{phase.plan.begin:,}" + (f", for {early}" if early else "")
                console.print(f"{text}.", highlight=False, soft_wrap=True)
            trained = {i: states.pop(i) for i in training}
            trained, signal = _train_phase(
                training, trained, phase, interrupts, console, on_evaluation, began
            )
            states |= trained
            if signal:
                break
            began = time.monotonic()
        for member in all_members:
            for logger in member.loggers:
                logger.ended(member.ending(signal))
    return states, signal


def _tell_faults(
    all_members: list[MemberProgress], console: Console, kind: object, error: Any, trace: object
) -> None:
    """Tells the loggers what went wrong, where an exception ends training; prints what is kept."""
    if error is None:
        return
    for i, member in enumerate(all_members):
        why = str(error).partition("\n")[0] or type(error).__name__
        ending = member.ending(0, member.fault or why)
        for logger in member.loggers:
            with contextlib.suppress(OSError, UserError):  # a full disk may be the very fault
                logger.ended(ending)
        name = f"member {i}: " if len(all_members) > 1 else ""
        console.print(f"{name}Ended at step {ending.step:,}. {ending.kept}", highlight=False)


def _begin_phase(all_members: list[MemberProgress], states: States, position: int) -> States:
    """Moves every run that has finished the phase before on to the one at `position`."""
    states = dict(states)
    for i, member in enumerate(all_members):
        run = member.run
        current = run.phase_of(states[i])
        if current.position < position and not (member.fault or member.ended):
            states[i] = run.begin_phase(position, states[i])
            current = run.phase_of(states[i])
        member.waits = current.position != position or not current.goes_on(states[i])
        held = jax.device_get(states[i].patience)
        member.early = member.early if member.ended else _out_of_patience(run, current, held)
    return states


def _out_of_patience(run: Run, phase: Phase, held: Patience) -> str:
    """Returns that a phase is out of patience, as a clause; "" if it is not."""
    if not patience.exhausted(held, phase.config.train.patience):
        return ""
    has_first = len(run.phases) > len(run.config.train.restarts) + 1
    key = "train" if phase.position or not has_first else "finetune.first"
    count = int(held.since_best)
    return (
        f"{count} evaluation{'s' * (count > 1)} in a row brought no gain in "
        f"{describe(run.config.checkpoint.best).title} (config.{key}.patience)"
    )


def _train_phase(
    all_members: dict[int, MemberProgress],
    states: States,
    phase: Phase,
    interrupts: Interrupts,
    console: Console,
    on_evaluation: OnEvaluation,
    began: float,
) -> tuple[States, int]:
    """Trains to the end of a phase, or of everybody's patience, or to a signal, as `loop` does."""
    lead, plan = next(iter(all_members.values())).run, phase.plan
    alone = len(all_members) == 1 and lead.config.train.members == 1
    start = min(member.step for member in all_members.values())
    signal = 0
    with contextlib.ExitStack() as stack:
        line = ProgressLine(console, lead.end_of(phase), start)
        stack.enter_context(contextlib.closing(line))
        for i, member in all_members.items():
            own = itertools.dropwhile(
                lambda call, step=member.step: call.first < step,  # type: ignore[misc]
                plan.calls(start),
            )
            loader = member.run.loader("train", phase, states[i])
            member.batches = loader.training(own, member.run.order)
            stack.enter_context(contextlib.closing(member.batches))
            member.meter = Meter()
        patiences = {i: jax.device_get(state.patience) for i, state in states.items()}
        dispatcher = members.choose({i: m.run for i, m in all_members.items()}, states, phase)
        packed = dispatcher.pack(states)
        states.clear()  # they are used up by the first step

        for call in plan.calls(start):
            # A member may be ahead of the others where a kill parted them.
            moving = {i: m for i, m in all_members.items() if m.trains and m.step == call.first}
            if not moving:
                if not any(member.trains for member in all_members.values()):
                    break
                continue
            batches = {i: next(member.batches) for i, member in moving.items()}
            packed, metrics = dispatcher.step(packed, batches)
            step = call.first + call.steps
            # Several processes must agree, which costs a round trip: not at each step.
            ask = plan.logs(step) or jax.process_count() == 1
            signal = interrupts.agreed() if ask else 0

            shown: list[dict[str, float]] = []
            for i, member in moving.items():
                member.step = step
                with _divergence_stops(member, alone):
                    member.meter.add(call.first, metrics[i])
                    if call.first == start:
                        member.meter.flush()
                        member.meter.restart_clock()
                    values = member.meter.values()
                    if plan.logs(step) or signal:
                        # Raises if a loss is not finite, and nothing is saved then.
                        values = member.meter.take()
                        log(member, phase, patiences[i], values)
                    shown.append(values)
            if call.first == start:
                seconds = time.monotonic() - began
                of_all = "" if alone else "of all "
                console.print(f"First step {of_all}after {seconds:.1f} s.", highlight=False)
                line.restart_clock(step)
            if shown:
                means = {name: float(np.mean([v[name] for v in shown])) for name in shown[0]}
                means["images_per_s"] *= len(shown)
                line.show(step, lead.order.position(step) / lead.order.examples, means)

            if not (plan.evaluates(step) or plan.saves(step) or signal):
                continue
            for i, member in moving.items():
                if member.fault:
                    continue
                run = member.run
                state, result, improved = dispatcher.state(packed, i), None, False
                with _divergence_stops(member, alone):
                    if plan.evaluates(step):
                        result = evaluate_watched(member, state, phase)
                        value = result.get(patience.watched(lead.config), math.nan)
                        held = patiences[i] = patience.update(patiences[i], value, lead.config)
                        placed = meshes.replicate(lead.mesh, patiences[i])
                        packed = dispatcher.with_patience(packed, i, placed)
                        state = state.replace(patience=placed)
                        improved = not math.isnan(value) and int(held.since_best) == 0
                        member.early = _out_of_patience(run, phase, held)
                        member.waits = bool(member.early)
                        if why := on_evaluation(step, result):
                            member.ended = True
                            member.early = (
                                why if isinstance(why, str) else "a callback returned True"
                            )
                    saves = plan.saves(step) or improved or not member.trains or bool(signal)
                    # After the evaluation, whose verdict is part of the state.
                    if saves:
                        member.save(state, result)
                    if result is not None:
                        name = "" if alone else f"member {i}"
                        member.best = print_evaluation(
                            console, run.config, step, result, member.best, saves, name
                        )
            if signal:
                break
        return {i: dispatcher.state(packed, i) for i in all_members}, signal


@contextlib.contextmanager
def _divergence_stops(member: MemberProgress, alone: bool) -> Iterator[None]:
    """Lets a divergence stop that member; a run that trains alone ends with the exception."""
    try:
        yield
    except UserError as error:
        if alone:
            raise
        member.fault = str(error)


def log(member: MemberProgress, phase: Phase, held: Patience, values: dict[str, float]) -> None:
    """Writes the means since the last log line, and the learning rate of the last step."""
    run, step = member.run, member.step
    scale = float(held.lr_scale * jax.device_get(run.values.lr_scale))
    rate = float(jax.device_get(phase.schedule(step - 1 - phase.plan.begin))) * scale
    line = {f"train/{name}": value for name, value in values.items()} | {"train/lr": rate}
    for logger in member.loggers:
        logger.scalars(step, line)


def evaluate_watched(member: MemberProgress, state: State, phase: Phase) -> dict[str, float]:
    """Evaluates on `eval.split`; returns the headline metrics.

    Those under an augmentation of `eval.also` have its name before theirs: "blur(1)/accuracy".
    """
    run, step, split = member.run, member.step, member.run.config.eval.split
    measured = run.predict(split, phase, state).measure(resamples=0)
    result = dict(measured.values)
    for view in run.also:
        augmented = run.predict(split, phase, state, view).measure(resamples=0)
        result |= {f"{view.line}/{name}": value for name, value in augmented.values.items()}
    loggers.evaluated(member.loggers, step, split, measured, state.best_variables["params"])
    for logger in member.loggers:
        logger.scalars(step, {f"{split}/{name}": value for name, value in result.items()})
    return result


def _show_pictures(member: MemberProgress) -> None:
    """Shows the first step's pictures to the loggers; `bcjax preview` draws them augmented."""
    run = member.run
    store = DiskStore(run.prepared.examples("train"), InputTransform.from_config(run.config.data))
    pictures = store.read(run.order(0)[:_SHOWN])["image"]
    for logger in member.loggers:
        logger.image(0, "train/pictures", np.concatenate(pictures, axis=1))


def _print_stopped(all_members: list[MemberProgress], signal: int, console: Console) -> None:
    first = all_members[0]
    if len(all_members) > 1:
        console.print(f"Stopped by signal {signal}: the same command goes on from there.")
        return
    text = f"Stopped by signal {signal}: step {first.step} is saved in {first.run.workdir}."
    console.print(f"{text} {first.ending(signal).kept}", highlight=False, soft_wrap=True)
    console.print("The same command goes on from there.")


# The end of a run.


def evaluate_best(run: Run, state: State, told: Told = lambda doing: None) -> Outcome:
    """Evaluates the best checkpoint on the final split, if that split has pictures."""
    step, best = int(state.step), run.checkpoints.best()
    if not run.prepared.size(run.config.eval.final_split):
        return Outcome(run.workdir, step, best, None)
    final, _ = evaluate_best_checkpoint(run, state, told)
    return Outcome(run.workdir, step, best, final)


def evaluate_members(
    config: ConfigDict, all_members: list[MemberProgress], states: States, told: Told
) -> Evaluation | None:
    """Evaluates the best checkpoint of each member, and all members together."""
    split = config.eval.final_split
    results: dict[Path, tuple[Evaluation, Answers]] = {}
    for i, member in enumerate(all_members):
        run = member.run
        if run.prepared.size(split) and run.checkpoints.best() is not None:
            results[run.workdir] = evaluate_best_checkpoint(run, states[i], told)
    if not results:
        return None
    told("final evaluation: all members together")
    final, answers = member_summary.evaluate_together(config, results)
    if all_members[0].run.lead:
        final = evaluations.write(final, answers, Path(config.workdir), split)
    return final


def evaluate_best_checkpoint(run: Run, state: State, told: Told) -> tuple[Evaluation, Answers]:
    """Evaluates the final split with the best checkpoint, which is calibrated on the way."""
    best = run.checkpoints.best()
    if best is not None and best != int(state.step):
        state = run.restore(best)
    phase = run.phase_of(state)
    final, answers = evaluate_final(
        run.workdir,
        run.config,
        run.prepared,
        int(state.step),
        lambda split, view: run.predict(split, phase, state, view),
        run.also,
        writes=run.lead,
        told=told,
    )
    if run.lead:
        loggers.archive(run.config)
    return final, answers


def _write_common_config(config: ConfigDict, first: Run, permissions: Permissions) -> None:
    """Writes the config of all members to their common folder."""
    changes = {f"train.{key}": config.train[key] for key in ("members", "vary", "lrs")}
    changes["workdir"] = config.workdir
    if config.train.vary == "fold":
        changes["data.folds"] = config.data.folds
    common = configs.replaced(first.config, changes)
    run_dir = RunDir(config.workdir)
    if run_dir.exists():
        # What the members have written of earlier changes is not asked for.
        asked = configs.replaced(common, dict.fromkeys(resuming.WRITTEN, ()))
        resuming.agreed(asked, run_dir, first.prepared, permissions)
        if not configs.differences(configs.load(run_dir.path), common):
            return
    if first.lead:
        write_pictures_and_config(common, first.prepared)
