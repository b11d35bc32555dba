"""Several runs that train in one program, each one in a folder of its own.

They differ in seed, in learning rate or in the fold that is held out. Each is what it would have
been alone: it has its own order, its own keys, its own checkpoints, and every command takes its
folder (`WORKDIR/member-0`, ...) for that of any run.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from bcjax.config.members import member_config, rates
from bcjax.engine import checkpoint, patience
from bcjax.engine.dispatch import Batch
from bcjax.evaluation import evaluation as evaluations
from bcjax.evaluation import member_summary
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.signals import Interrupts
from bcjax.training import loggers as writers
from bcjax.training import summary, together
from bcjax.training.loop import Outcome, answer_at_best, log, watch
from bcjax.training.meter import Meter
from bcjax.training.run import Run, settle


@dataclasses.dataclass
class Member:
    """One of the runs, and how far it is.

    Attributes:
      position: Among them, from 0.
      run: With its own folder.
      step: Taken.
      stopped: Whether it takes no more in this phase.
      fault: Why it takes no more at all; "": it may.
    """

    position: int
    run: Run
    step: int = 0
    stopped: bool = False
    fault: str = ""
    meter: Meter = dataclasses.field(default_factory=Meter)
    outputs: list[writers.Writer] = dataclasses.field(default_factory=list)
    batches: Iterator[Batch] = dataclasses.field(default_factory=lambda: iter(()))

    def moves(self, first: int) -> bool:
        """Whether it takes the call that begins at step `first`: it may be ahead, or stopped."""
        return not (self.stopped or self.fault) and self.step == first


def train(config: ConfigDict, console: Console) -> Outcome:
    """Trains, or goes on training, the members that `config` describes.

    A member whose loss is not finite stops, and is named; the others go on. So do they where one is
    out of patience.

    Returns:
      Steps of the first, and what all of them answer together to `eval.final_split`: see
      `member_summary.evaluate_members`.

    Raises:
      UserError: For whatever the user can mend; nothing that was written before is lost.
    """
    began = time.monotonic()
    writers.check(config.track)
    meshes.initialize(config.mesh)
    lead = jax.process_index() == 0
    console.quiet = not lead
    with contextlib.ExitStack() as stack:
        if lead:
            stack.enter_context(RunDir(Path(config.workdir)).lock())
        members = list(_open(config, stack))
        first = members[0].run
        _settle(config, first)
        summary.show(first, console)
        console.print(f"members     {len(members)}, which differ in {config.train.vary}")
        interrupts = stack.enter_context(Interrupts())
        for position in range(len(first.phases)):
            if signal := _phase(members, position, interrupts, console, began):
                for member in members:
                    member.run.checkpoints.wait()
                console.print(f"Stopped by signal {signal}: the same command goes on from there.")
                return Outcome(members[0].step, None, None, signal)
        for member in members:
            member.run.checkpoints.wait()
            if member.fault:
                console.print(f"member {member.position} stopped: {member.fault}", highlight=False)
        if all(member.fault for member in members):
            raise UserError(members[0].fault)
        return Outcome(members[0].step, None, _finish(config, members))


def _open(config: ConfigDict, stack: contextlib.ExitStack) -> Iterator[Member]:
    """Yields the members, each where its last checkpoint stands."""
    first: Run | None = None
    for position, rate in enumerate(rates(config)):
        own = member_config(config, position, first.order.examples if first else None)
        Path(own.workdir).mkdir(parents=True, exist_ok=True)
        run = stack.enter_context(contextlib.closing(Run(own, like=first, rate=rate)))
        member = Member(position, run, step=run.step)
        if run.lead:
            member.outputs = writers.open_writers(run.config, run.step)
            for output in member.outputs:
                stack.enter_context(contextlib.closing(output))
        first = first or run
        yield member


def _settle(config: ConfigDict, first: Run) -> None:
    """Writes the config of all of them to their common folder."""
    common = first.config.copy_and_resolve_references()
    common.workdir = config.workdir
    common.train.update({key: config.train[key] for key in ("members", "vary", "lrs")})
    if config.train.vary == "fold":
        common.data.folds = config.data.folds
    settle(common, Path(config.workdir), first.prepared, first.lead)


def _phase(
    members: list[Member], position: int, interrupts: Interrupts, console: Console, began: float
) -> int:
    """Trains the members to the end of a phase, or to a signal, which is returned (0: none)."""
    for member in members:
        if member.run.phase.position < position and not member.fault:
            member.run.begin_next_phase()
        member.stopped = member.run.phase.position != position or not member.run.goes_on
    going = [member for member in members if not (member.stopped or member.fault)]
    if not going:
        return 0
    lead, start = going[0].run, min(member.step for member in going)
    plan, config = lead.plan, lead.phase.config
    all_at = together.choose({member.position: member.run for member in going})
    calls = list(plan.calls(start))
    with contextlib.ExitStack() as stack:
        line = writers.ProgressLine(console, lead.end, start)
        stack.enter_context(contextlib.closing(line))
        for member in going:
            own = [call for call in calls if call.first >= member.step]
            batches = member.run.feed("train").training(own, member.run.order)
            member.batches = stack.enter_context(contextlib.closing(batches))
            member.meter = Meter()

        for call in calls:
            moving = [member for member in going if member.moves(call.first)]
            if not moving:
                continue
            reported = all_at({member.position: next(member.batches) for member in moving})
            step = call.first + call.steps
            signal = interrupts.agreed() if plan.logs(step) or jax.process_count() == 1 else 0
            shown = []
            for member in moving:
                member.step = step
                with _faults(member):
                    member.meter.add(call.first, reported[member.position])
                    if call.first == start:
                        member.meter.flush()
                        member.meter.restart_clock()
                    values = member.meter.values()
                    if plan.logs(step) or signal:
                        values = member.meter.take()
                        log(member.run, member.outputs, step, values)
                    shown.append(values)
                if not member.fault and (plan.evaluates(step) or plan.saves(step) or signal):
                    run = all_at.lend(member.position)
                    with _faults(member):
                        member.stopped = _stand_still(member, run, step, save=bool(signal))
                    all_at.take_back(member.position)
            if call.first == start:
                took = time.monotonic() - began
                console.print(f"First step of all after {took:.1f} s.", highlight=False)
                line.restart_clock(step)
            if shown:
                means = {name: float(np.mean([v[name] for v in shown])) for name in shown[0]}
                means["images_per_s"] *= len(shown)
                line.show(step, step * config.train.batch_size / lead.order.examples, means)
            if signal:
                return signal
    for member in going:
        all_at.lend(member.position)
    return 0


def _finish(config: ConfigDict, members: list[Member]) -> Evaluation | None:
    """Evaluates each at its best, and all together."""
    split = config.eval.final_split
    found: dict[Path, tuple[Evaluation, Answers]] = {}
    for run in (member.run for member in members):
        if run.prepared.size(split) and run.checkpoints.best() is not None:
            found[run.workdir] = answer_at_best(run)
    if not found:
        return None
    final, whole = member_summary.evaluate_together(config, found)
    if members[0].run.lead:
        final = evaluations.write(final, whole, Path(config.workdir), split)
    return final


def _stand_still(member: Member, run: Run, step: int, *, save: bool) -> bool:
    """Evaluates and saves what is due at a step; returns whether the member is out of patience."""
    result, improved, stop = None, False, False
    if run.plan.evaluates(step):
        result = watch(run, member.outputs, step)
        improved = int(jax.device_get(run.state.patience.since_best)) == 0
        stop = patience.exhausted(run.state.patience, run.phase.config.train.patience)
    if run.plan.saves(step) or improved or stop or save:
        page = checkpoint.about_page(run.config, run.classes, result)
        run.checkpoints.save(run.state, page)
    return stop


@contextlib.contextmanager
def _faults(member: Member) -> Iterator[None]:
    """Lets a member's divergence stop that member alone."""
    try:
        yield
    except UserError as error:
        member.fault = str(error)
