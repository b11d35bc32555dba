"""The training loop, from a config to an evaluated checkpoint. Reads top to bottom."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from bcjax.data.input_transform import InputTransform
from bcjax.data.store import DiskStore
from bcjax.engine import checkpoint, patience
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import evaluate_final
from bcjax.runtime import mesh as meshes
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.signals import EXIT_STATUS, Interrupts
from bcjax.training import loggers as writers
from bcjax.training import summary
from bcjax.training.meter import Meter
from bcjax.training.run import Run

_SHOWN = 16  # pictures of the first step that writers are shown

# Told of each evaluation, by step and headline metrics; True ends the run, its checkpoint saved.
# Where there are several processes, all must say the same.
OnEvaluation = Callable[[int, dict[str, float]], bool]


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
    final: Evaluation | None
    signal: int = 0

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS.get(self.signal, 0)


def train(
    config: ConfigDict, console: Console, on_evaluation: OnEvaluation = lambda step, result: False
) -> Outcome:
    """Trains, or goes on training, the run that `config` describes.

    The same config with the same workdir goes on where the last checkpoint stands, and ends with
    the same parameters as a run that was never interrupted.

    Raises:
      UserError: For whatever the user can mend; nothing that was written before is lost.
    """
    began = time.monotonic()
    writers.check(config.track)
    meshes.initialize(config.mesh)
    lead = jax.process_index() == 0
    console.quiet = not lead  # for the caller too, who prints the result
    with contextlib.ExitStack() as stack:
        if lead:
            stack.enter_context(RunDir(Path(config.workdir)).lock())
        run = stack.enter_context(contextlib.closing(Run(config)))
        run.compile_ahead()
        summary.show(run, console)
        start = run.step
        signal = loop(run, console, on_evaluation, began)
        run.checkpoints.wait()
        if signal:
            said = f"Stopped by signal {signal}: step {run.step} is saved in {run.workdir}."
            console.print(said, highlight=False, soft_wrap=True)
            console.print("The same command goes on from there.")
            return Outcome(run.step, run.checkpoints.best(), None, signal)
        if run.step == start:
            console.print(f"Step {start} is already the end of this run.")
        return finish(run)


def loop(run: Run, console: Console, on_evaluation: OnEvaluation, began: float) -> int:
    """Trains to its end, or to a signal, which is returned (0: none)."""
    left = run.phases_left()
    if not (ahead := next(left, None)):
        return 0
    with contextlib.ExitStack() as stack:
        outputs = writers.open_writers(run.config, run.step) if run.lead else []
        for output in outputs:
            stack.enter_context(contextlib.closing(output))
        if run.step == 0:
            _show(run, outputs)
        interrupts = stack.enter_context(Interrupts())
        for phase in itertools.chain([ahead], left):
            if phase.position:
                said = f"Phase {phase.position + 1} of {len(run.phases)} begins at step "
                console.print(f"{said}{run.plan.begin:,}.", highlight=False)
            signal, told = _phase(run, outputs, interrupts, console, on_evaluation, began)
            if signal or told:
                return signal
            began = time.monotonic()
    return 0


def _phase(
    run: Run,
    outputs: list[writers.Writer],
    interrupts: Interrupts,
    console: Console,
    on_evaluation: OnEvaluation,
    began: float,
) -> tuple[int, bool]:
    """Trains to the end of a phase, or of its patience, or of the run.

    Returns:
      The signal that ended the run (0: none), and whether `on_evaluation` ended it.
    """
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
            metrics = run.train(batch)
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
                log(run, outputs, step, values)
            line.show(step, step * config.train.batch_size / run.order.examples, values)

            result, improved, stop, told = None, False, False, False
            if plan.evaluates(step):
                result = watch(run, outputs, step)
                improved = int(jax.device_get(run.state.patience.since_best)) == 0
                stop = patience.exhausted(run.state.patience, config.train.patience)
                told = on_evaluation(step, result)
            # After the evaluation, whose verdict is part of the state.
            if plan.saves(step) or improved or stop or told or signal:
                page = checkpoint.about_page(run.config, run.classes, result)
                run.checkpoints.save(run.state, page)
            if stop or told or signal:
                return signal, told
    return 0, False


def _show(run: Run, outputs: list[writers.Writer]) -> None:
    """Shows pictures of the first step as they enter it; `bcjax preview` draws them augmented."""
    store = DiskStore(run.prepared.examples("train"), InputTransform.from_config(run.config.data))
    pictures = store.read(run.order(0)[:_SHOWN])["image"]
    for output in outputs:
        output.show(0, "train/pictures", np.concatenate(pictures, axis=1))


def log(run: Run, outputs: list[writers.Writer], step: int, values: dict[str, float]) -> None:
    """Writes the means since the last log line, and the learning rate that led here."""
    scale = float(jax.device_get(run.state.patience.lr_scale * run.numbers.rate))
    rate = float(jax.device_get(run.phase.schedule(step - 1 - run.plan.begin))) * scale
    line = {f"train/{name}": value for name, value in values.items()} | {"train/lr": rate}
    for output in outputs:
        output.write(step, line)


def watch(run: Run, outputs: list[writers.Writer], step: int) -> dict[str, float]:
    """Evaluates on `eval.split`; the verdict goes into the state's patience."""
    config, split = run.config, run.config.eval.split
    answers = run.answers(split, run.state.best_variables)
    measured = answers.measure(resamples=0)
    result = measured.values
    writers.evaluated(outputs, step, split, measured, run.state.best_variables["params"])
    for output in outputs:
        output.write(step, {f"{split}/{name}": value for name, value in result.items()})
    updated = patience.update(
        jax.device_get(run.state.patience),
        result.get(config.checkpoint.best, float("nan")),
        mode=run.program.mode,
        min_delta=config.train.min_delta,
        plateau_factor=config.optim.plateau.factor,
        plateau_patience=config.optim.plateau.patience,
        min_scale=config.optim.plateau.min_scale,
    )
    run.state = run.state.replace(patience=meshes.everywhere(run.mesh, updated))
    return result


def finish(run: Run) -> Outcome:
    """Evaluates the best checkpoint on the final split, if there are such pictures."""
    step, best = run.step, run.checkpoints.best()
    if not run.prepared.size(run.config.eval.final_split):
        return Outcome(step, best, None)
    final, _ = answer_at_best(run)
    return Outcome(step, best, final)


def answer_at_best(run: Run) -> tuple[Evaluation, Answers]:
    """Goes back to the best checkpoint; evaluates the final split with it, and calibrates it."""
    best = run.checkpoints.best()
    if best is not None and best != run.step:
        run.go_back(best)
    final, answers = evaluate_final(
        run.workdir,
        run.config,
        run.prepared,
        run.step,
        lambda split: run.answers(split, run.state.best_variables),
        writes=run.lead,
    )
    if run.lead:
        writers.archive(run.config)
    return final, answers
