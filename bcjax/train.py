"""The training loop, from a config to an evaluated checkpoint. Reads top to bottom."""

import contextlib
import dataclasses
import itertools
import time
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.console import Console

from bcjax import cautions, checkpoint, patience, summary, writers
from bcjax import evaluate as evaluation
from bcjax import mesh as meshes
from bcjax.interrupt import EXIT_STATUS, Interrupts
from bcjax.meter import Meter
from bcjax.run import Run
from bcjax.workdir import locked


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      step: Steps taken.
      best: The step whose checkpoint is the best; None if none was evaluated.
      final: The best checkpoint's evaluation on `eval.final_split`; None if there was none.
      signal: What interrupted the run; 0 if it came to its end.
    """

    step: int
    best: int | None
    final: evaluation.Result | None
    signal: int = 0

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS.get(self.signal, 0)


def train(config: ConfigDict, console: Console) -> Outcome:
    """Trains, or goes on training, the run that `config` describes.

    The same config with the same workdir goes on where the last checkpoint stands, and ends with
    the same parameters as a run that was never interrupted.

    Raises:
      UserError: For whatever the user can mend; nothing that was written before is lost.
    """
    began = time.monotonic()
    meshes.initialize(config.mesh)
    lead = jax.process_index() == 0
    console.quiet = not lead  # for the caller too, who prints the result
    with contextlib.ExitStack() as stack:
        if lead:
            stack.enter_context(locked(Path(config.workdir)))
        run = stack.enter_context(contextlib.closing(Run(config)))
        summary.show(run, console)
        start = run.step
        signal = _loop(run, console, began)
        run.checkpoints.wait()
        if signal:
            said = f"Stopped by signal {signal}: step {run.step} is saved in {run.workdir}."
            console.print(said, highlight=False, soft_wrap=True)
            console.print("The same command goes on from there.")
            return Outcome(run.step, run.checkpoints.best(), None, signal)
        if run.step == start:
            console.print(f"Step {start} is already the end of this run.")
        return _finish(run)


def _loop(run: Run, console: Console, began: float) -> int:
    """Trains to the end of the last phase, or to a signal, which is returned (0: none)."""
    left = run.phases_left()
    if not (ahead := next(left, None)):
        return 0
    with contextlib.ExitStack() as stack:
        outputs = writers.open_writers(run.workdir, run.step) if run.lead else []
        for output in outputs:
            stack.enter_context(contextlib.closing(output))
        interrupts = stack.enter_context(Interrupts())
        for phase in itertools.chain([ahead], left):
            if phase.position:
                said = f"Phase {phase.position + 1} of {len(run.phases)} begins at step "
                console.print(f"{said}{run.plan.begin:,}.", highlight=False)
            if signal := _phase(run, outputs, interrupts, console, began):
                return signal
            began = time.monotonic()
    return 0


def _phase(
    run: Run,
    outputs: list[writers.Writer],
    interrupts: Interrupts,
    console: Console,
    began: float,
) -> int:
    """Trains to the end of a phase, to the end of its patience, or to a signal."""
    config, plan = run.phase.config, run.plan
    start = run.step
    calls = list(plan.calls(start))
    feed = run.feed("train")
    meter = Meter()
    with contextlib.ExitStack() as stack:
        line = writers.ProgressLine(console, run.end, start)
        stack.enter_context(contextlib.closing(line))
        batches = feed.training(calls, run.order)
        stack.enter_context(contextlib.closing(batches))

        for call, batch in zip(calls, batches, strict=True):
            run.state, metrics = run.phase.train_call(run.state, batch, feed.pictures)
            meter.add(call.first, metrics)
            step = call.first + call.steps
            if call.first == start:
                meter.flush()
                meter.restart_clock()
                console.print(
                    f"First step after {time.monotonic() - began:.1f} s.", highlight=False
                )
                line.restart_clock(step)

            # Several processes must agree, which costs a round trip: not at each step.
            ask = plan.logs(step) or jax.process_count() == 1
            signal = interrupts.agreed() if ask else 0
            values = meter.values()
            if plan.logs(step) or signal:
                values = meter.take()  # raises if the loss is not finite: nothing is saved then
                _log(run, outputs, step, values)
            line.show(step, step * config.train.batch_size / run.order.examples, values)

            result, improved, stop = None, False, False
            if plan.evaluates(step):
                result = _watch(run, outputs, step)
                improved = int(jax.device_get(run.state.patience.since_best)) == 0
                stop = patience.exhausted(run.state.patience, config.train.patience)
            # After the evaluation, whose verdict is part of the state.
            if plan.saves(step) or improved or stop or signal:
                page = checkpoint.about_page(run.config, run.classes, result)
                run.checkpoints.save(run.state, page)
            if stop or signal:
                return signal
    return 0


def _log(run: Run, outputs: list[writers.Writer], step: int, values: dict[str, float]) -> None:
    """Writes the means since the last log line, and the learning rate that led here."""
    scale = float(jax.device_get(run.state.patience.lr_scale))
    rate = float(jax.device_get(run.phase.schedule(step - 1 - run.plan.begin))) * scale
    line = {f"train/{name}": value for name, value in values.items()} | {"train/lr": rate}
    for output in outputs:
        output.write(step, line)


def _watch(run: Run, outputs: list[writers.Writer], step: int) -> dict[str, float]:
    """Evaluates on `eval.split`; the verdict goes into the state's patience."""
    config, split = run.config, run.config.eval.split
    answers = run.answers(split, run.state.best_variables)
    result = evaluation.headline(evaluation.measure(answers, resamples=0))
    for output in outputs:
        output.write(step, {f"{split}/{name}": value for name, value in result.items()})
    updated = patience.update(
        jax.device_get(run.state.patience),
        result.get(config.checkpoint.best, float("nan")),
        mode=run.mode,
        min_delta=config.train.min_delta,
        plateau_factor=config.optim.plateau.factor,
        plateau_patience=config.optim.plateau.patience,
        min_scale=config.optim.plateau.min_scale,
    )
    run.state = run.state.replace(patience=meshes.everywhere(run.mesh, updated))
    return result


def _finish(run: Run) -> Outcome:
    """Goes back to the best checkpoint and evaluates it on the final split."""
    split, best = run.config.eval.final_split, run.checkpoints.best()
    step = run.step
    if best is not None and best != step:
        run.go_back(best)
    if not run.prepared.size(split):
        return Outcome(step, best, None)
    answers = run.answers(split, run.state.best_variables)
    about = {"split": split, "checkpoint": run.step, "source": run.config.data.source}
    about |= evaluation.warned(run.prepared) | {"cautions": cautions.of_split(run.config, split)}
    final = about | evaluation.measure(answers, resamples=run.config.eval.resamples)
    if run.lead:
        evaluation.write(final, answers, run.workdir, split)
    return Outcome(step, best, final)
