"""The training loop, from a config to an evaluated checkpoint. Reads top to bottom."""

import contextlib
import dataclasses
import json
import logging
import os
import time
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from bcjax import checkpoint, losses, network, optim, patience, steps, writers
from bcjax import config as configs
from bcjax import evaluate as evaluation
from bcjax import mesh as meshes
from bcjax import plan as plans
from bcjax import state as states
from bcjax.data import prepare
from bcjax.data.prepared import Prepared
from bcjax.data.store import choose
from bcjax.errors import UserError
from bcjax.feed import Feed, bytes_needed, platform
from bcjax.interrupt import EXIT_STATUS, Interrupts
from bcjax.meter import Meter
from bcjax.patience import Mode
from bcjax.workdir import locked

log = logging.getLogger("bcjax")


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
    with locked(Path(config.workdir)) if lead else contextlib.nullcontext():
        run = Run(config, console if lead else Console(quiet=True), lead)
        with contextlib.closing(run):
            return run.loop(began)


class Run:
    """Everything that a run is made of; `loop` is the story."""

    def __init__(self, config: ConfigDict, console: Console, lead: bool):
        self.console = console
        self.lead = lead
        self.workdir = Path(config.workdir)
        self.mesh = meshes.create(config.mesh.fsdp)
        meshes.check_batch(self.mesh, config.train.batch_size // config.optim.accumulate)

        # The pictures.
        prepared = prepare.ensure(config.data)
        self.classes = prepared.classes
        _check_splits(config, prepared)
        splits = [s for s in ("train", config.eval.split, config.eval.final_split) if s]
        self.store, why = choose(
            config.data.store,
            bytes_needed(prepared, sorted(set(splits)), config.data.image_size),
            meshes.device_memory(),
        )

        # The network, and how it learns.
        network.resolve(config)
        config.data.classes = prepared.classes
        self.config = settle(config, self.workdir, prepared, lead)
        accelerated = jax.default_backend() != "cpu"
        self.plan = plans.resolve(config, prepared.size("train"), 8 if accelerated else 1)
        self.schedule = optim.schedule(config.optim, self.plan.total, self.plan.warmup)
        model = network.build(config, len(self.classes))
        optimizer = optim.create(
            config.optim, total_steps=self.plan.total, warmup_steps=self.plan.warmup
        )
        self.mode: Mode = "min" if config.checkpoint.best == "log_loss" else "max"
        init = states.initializer(
            model,
            optimizer,
            image_size=config.data.image_size,
            seed=config.seed,
            ema=config.optim.ema > 0,
            mode=self.mode,
        )
        self.abstract = states.shapes(init, self.mesh, config.mesh.fsdp_min_size)

        # Where it stands.
        self.checkpoints = checkpoint.Checkpoints(
            self.workdir, keep=config.checkpoint.keep, metric=config.checkpoint.best
        )
        restored = self.checkpoints.restore_latest(self.abstract)
        self.state = states.create(init, self.abstract) if restored is None else restored
        self.summarise(prepared, why, resumed=restored is not None)

        # What runs on the devices.
        step = steps.train_step(model, optimizer, recipe(config, prepared))
        self.train_call = steps.compile_train(steps.several(step), self.mesh, self.abstract)
        self.predict = steps.compile_predict(
            steps.predict_step(model, config.model.mean, config.model.std), self.mesh
        )
        self._prepared = prepared
        self._feeds: dict[str, Feed] = {}

    def close(self) -> None:
        self.checkpoints.close()

    def feed(self, split: str) -> Feed:
        """Returns a split's feed; its pictures are decoded when it is first asked for."""
        if split not in self._feeds:
            data = self.config.data
            self._feeds[split] = Feed(self._prepared, split, self.store, data, self.mesh)
        return self._feeds[split]

    def loop(self, began: float) -> Outcome:
        """Trains to the end, to the end of patience, or to a signal."""
        config, plan = self.config, self.plan
        start = step = int(jax.device_get(self.state.step))
        feed = self.feed("train")
        calls = list(plan.calls(step))
        outputs = writers.open_writers(self.workdir, step) if self.lead else []
        line = writers.ProgressLine(self.console, plan.total, step)
        meter = Meter()
        signal = 0
        batches = feed.training(calls, config.train.batch_size, config.seed)
        with Interrupts() as interrupts, contextlib.closing(batches):
            for call in calls:
                if patience.exhausted(self.state.patience, config.train.patience):
                    break
                batch = next(batches)
                self.state, metrics = self.train_call(self.state, batch, feed.pictures)
                meter.add(call.first, metrics)
                step = call.first + call.steps
                if call is calls[0]:
                    meter.flush()
                    self.say(f"First step after {time.monotonic() - began:.1f} s.")
                    line.restart_clock(step)

                values = meter.values()
                # Several processes must agree, which costs a round trip: not at each step.
                if plan.logs(step) or jax.process_count() == 1:
                    signal = interrupts.agreed()
                if plan.logs(step) or signal:
                    values = meter.take()  # raises if the loss is not finite: nothing is saved
                    self.log(outputs, step, values)
                line.show(step, step * config.train.batch_size / feed.examples, values)

                result = None
                if plan.evaluates(step):
                    result = self.evaluate_now(outputs, step)
                improved = result and int(jax.device_get(self.state.patience.since_best)) == 0
                # After the evaluation, whose verdict is part of the state.
                if plan.saves(step) or improved or signal:
                    page = checkpoint.about_page(config, self.classes, result)
                    self.checkpoints.save(self.state, page)
                if signal:
                    break
        line.close()
        for output in outputs:
            output.close()
        self.checkpoints.wait()
        if signal:
            self.say(f"Stopped by signal {signal}: step {step} is saved in {self.workdir}.")
            self.say("The same command goes on from there.")
            return Outcome(step, self.checkpoints.best(), None, signal)
        if start == step:
            self.say(f"Step {step} is already the end of this run.")
        return self.finish(step)

    def log(self, outputs: list[writers.Writer], step: int, values: dict[str, float]) -> None:
        """Writes a log line; `lr` is what the step that led here took."""
        scale = float(jax.device_get(self.state.patience.lr_scale))
        rate = float(jax.device_get(self.schedule(step - 1))) * scale
        write(outputs, step, {f"train/{k}": v for k, v in values.items()} | {"train/lr": rate})

    def evaluate_now(self, outputs: list[writers.Writer], step: int) -> dict[str, float]:
        """Evaluates on `eval.split`; the verdict goes into the state's patience."""
        split, config = self.config.eval.split, self.config
        result = evaluation.headline(self.evaluate(split, self.state.best_variables, resamples=0))
        write(outputs, step, {f"{split}/{name}": value for name, value in result.items()})
        updated = patience.update(
            jax.device_get(self.state.patience),
            result.get(config.checkpoint.best, float("nan")),
            mode=self.mode,
            min_delta=config.train.min_delta,
            plateau_factor=config.optim.plateau.factor,
            plateau_patience=config.optim.plateau.patience,
            min_scale=config.optim.plateau.min_scale,
        )
        self.state = self.state.replace(patience=meshes.everywhere(self.mesh, updated))
        return result

    def evaluate(
        self, split: str, variables: states.Variables, *, resamples: int
    ) -> evaluation.Result:
        return evaluation.evaluate(
            self.predict,
            variables,
            self.feed(split),
            self.mesh,
            classes=self.classes,
            batch_size=self.config.eval.batch_size or self.config.train.batch_size,
            resamples=resamples,
        )

    def finish(self, step: int) -> Outcome:
        """Evaluates the best checkpoint on the final split."""
        split, best = self.config.eval.final_split, self.checkpoints.best()
        if not self._prepared.size(split):
            self.say(f"There is no {split} split: nothing more to evaluate.")
            return Outcome(step, best, None)
        state = self.state
        if best is not None and best != step:
            state = self.checkpoints.restore(best, self.abstract)
        final = self.evaluate(split, state.best_variables, resamples=self.config.eval.resamples)
        final |= {"split": split, "checkpoint": best if best is not None else step}
        if self.lead:
            evaluation.write(final, self.workdir, split)
        return Outcome(step, best, final)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def summarise(self, prepared: Prepared, why: str, resumed: bool) -> None:
        """Says what is about to happen, and where."""
        config, plan = self.config, self.plan
        shape = " x ".join(f"{axis} {size}" for axis, size in self.mesh.shape.items())
        self.say(f"devices     {platform()} in {jax.process_count()} process(es), mesh {shape}")
        self.say(
            f"pictures    {prepared.path}, {config.data.image_size} px, {self.store} store ({why})"
        )
        for note in prepared.notes:
            self.say(f"            {note}")
        counts = prepared.counts
        width = max(len(name) for name in self.classes)
        self.say(f"            {'':<{width}}" + "".join(f"{split:>8}" for split in counts))
        for label, name in enumerate(self.classes):
            row = "".join(f"{counts[split][label]:>8,}" for split in counts)
            self.say(f"            {name:<{width}}{row}")
        size = states.parameter_count(self.abstract)
        self.say(f"model       {config.model.name}, {size:,} parameters, {config.model.dtype}")
        self.say(
            f"run         {plan.total:,} steps of {config.train.batch_size} pictures "
            f"({config.train.length}), {plan.steps_per_call} per call, {config.optim.name}"
        )
        step = int(jax.device_get(self.state.step))
        self.say(f"written to  {self.workdir}" + (f", resumed at step {step:,}" if resumed else ""))


def recipe(config: ConfigDict, prepared: Prepared) -> steps.Recipe:
    """Returns what the training step does beside network and optimizer."""
    weights = None
    if config.train.class_weights != "none":
        weights = losses.class_weights(
            np.array(prepared.counts["train"]), config.train.class_weights
        )
    return steps.Recipe(
        mean=config.model.mean,
        std=config.model.std,
        seed=config.seed,
        flip=config.augment.flip,
        turn=config.augment.turn,
        label_smoothing=config.train.label_smoothing,
        class_weights=weights,
        accumulate=config.optim.accumulate,
        ema=config.optim.ema,
    )


def settle(config: ConfigDict, workdir: Path, prepared: Prepared, lead: bool) -> ConfigDict:
    """Writes the resolved config to the workdir, or checks it against the one that is there.

    Raises:
      UserError: If the workdir holds a run of another model, other classes, other pictures, or
        with any other difference that would make it another run.
    """
    pictures = {"path": str(prepared.path), "digest": prepared.digest, "counts": prepared.counts}
    page = workdir / "pictures.json"
    if (workdir / "config.json").exists():
        different = configs.differences(configs.load(workdir), config)
        if page.exists() and json.loads(page.read_text())["digest"] != prepared.digest:
            different.append("the pictures, or their splits")
        if different:
            raise UserError(
                f"{workdir} holds another run, which differs in {'; '.join(different)}: give "
                "another --workdir, or the same settings to go on with it."
            )
    elif lead:
        partial = page.with_suffix(".partial")
        partial.write_text(json.dumps(pictures, indent=2) + "\n")
        os.replace(partial, page)
        configs.save(config, workdir / "config.json")
    return config


def write(
    outputs: list[writers.Writer], step: int, values: dict[str, float], **more: float
) -> None:
    for output in outputs:
        output.write(step, values | more)


def _check_splits(config: ConfigDict, prepared: Prepared) -> None:
    examples, batch = prepared.size("train"), config.train.batch_size
    if batch > examples:
        raise UserError(
            f"config.train.batch_size is {batch}, more than the {examples} training pictures: "
            "use a smaller batch."
        )
    if not prepared.size(config.eval.split):
        raise UserError(
            f"There is no {config.eval.split} split to watch: set config.data.val_fraction, or "
            "config.eval.split."
        )
