"""Everything that a run is made of, from its config: pictures, network, state, compiled steps."""

import json
import os
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from bcjax import checkpoint, losses, network, optim, steps
from bcjax import config as configs
from bcjax import evaluate as evaluation
from bcjax import mesh as meshes
from bcjax import plan as plans
from bcjax import state as states
from bcjax.data import prepare
from bcjax.data.prepared import Prepared
from bcjax.data.store import choose
from bcjax.errors import UserError
from bcjax.feed import Feed, bytes_needed
from bcjax.patience import Mode

# Steps per dispatch where the config leaves it open. On a CPU a step is long beside its dispatch.
_STEPS_PER_CALL = {"cpu": 1}
_STEPS_PER_CALL_ELSEWHERE = 8


class Run:
    """A run that stands at its last checkpoint, or at its beginning.

    Attributes:
      config: Resolved: as it is written to the workdir.
      workdir: Where everything is written.
      lead: Whether this process is the one that writes logs.
      mesh: The devices.
      prepared: The pictures.
      classes: Their names, in the order of the logits.
      store: Where decoded pictures live: "disk", "host" or "device".
      why_store: Why there, in a few words.
      plan: What happens at which step.
      schedule: The learning rate of each step.
      mode: Whether more or less of the watched metric is better.
      checkpoints: On disk.
      resumed: Whether `state` was read from one.
      state: Where the run stands.
      train_call: Compiled `steps.several(steps.train_step(...))`.
      predict: Compiled `steps.predict_step(...)`.
    """

    def __init__(self, config: ConfigDict):
        """Builds the run that `config` describes.

        Raises:
          UserError: For whatever the user can mend.
        """
        self.workdir = Path(config.workdir)
        self.lead = jax.process_index() == 0
        self.mesh = meshes.create(config.mesh.fsdp)
        meshes.check_batch(self.mesh, config.train.batch_size // config.optim.accumulate)

        # The pictures.
        self.prepared = prepare.ensure(config.data)
        self.classes = self.prepared.classes
        _check_splits(config, self.prepared)
        used = sorted({"train", config.eval.split, config.eval.final_split})
        self.store, self.why_store = choose(
            config.data.store,
            bytes_needed(self.prepared, used, config.data.image_size),
            meshes.device_memory(),
        )

        # The network, and how it learns.
        network.resolve(config)
        config.data.classes = self.classes
        if Path(config.data.source).exists():  # to be found from any folder
            config.data.source = str(Path(config.data.source).absolute())
        self.config = config
        per_call = _STEPS_PER_CALL.get(jax.default_backend(), _STEPS_PER_CALL_ELSEWHERE)
        self.plan = plans.resolve(config, self.prepared.size("train"), per_call)
        lengths = {"total_steps": self.plan.total, "warmup_steps": self.plan.warmup}
        self.schedule = optim.schedule(config.optim, **lengths)
        model = network.build(config, len(self.classes))
        optimizer = optim.create(config.optim, **lengths)
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

        # Where it stands. Only here is the workdir written to: all that is above may be refused.
        _settle(config, self.workdir, self.prepared, self.lead)
        self.checkpoints = checkpoint.Checkpoints(
            self.workdir, keep=config.checkpoint.keep, metric=config.checkpoint.best
        )
        restored = self.checkpoints.restore_latest(self.abstract)
        self.resumed = restored is not None
        self.state = states.create(init, self.abstract) if restored is None else restored

        # What runs on the devices.
        step = steps.train_step(model, optimizer, _recipe(config, self.prepared))
        self.train_call = steps.compile_train(steps.several(step), self.mesh, self.abstract)
        self.predict = steps.compile_predict(
            steps.predict_step(model, config.model.mean, config.model.std), self.mesh
        )
        self._feeds: dict[str, Feed] = {}

    def close(self) -> None:
        """Waits for the checkpoint that is being written."""
        self.checkpoints.close()

    @property
    def step(self) -> int:
        """Steps taken; waits for the devices."""
        return int(jax.device_get(self.state.step))

    def feed(self, split: str) -> Feed:
        """Returns a split's feed; its pictures are decoded when it is first asked for."""
        if split not in self._feeds:
            data = self.config.data
            self._feeds[split] = Feed(self.prepared, split, self.store, data, self.mesh)
        return self._feeds[split]

    def evaluate(
        self, split: str, variables: states.Variables, *, resamples: int
    ) -> evaluation.Result:
        """Evaluates variables of this run's network on one of its splits."""
        return evaluation.evaluate(
            self.predict,
            variables,
            self.feed(split),
            self.mesh,
            classes=self.classes,
            batch_size=self.config.eval.batch_size or self.config.train.batch_size,
            resamples=resamples,
        )


def _recipe(config: ConfigDict, prepared: Prepared) -> steps.Recipe:
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


def _settle(config: ConfigDict, workdir: Path, prepared: Prepared, lead: bool) -> None:
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
