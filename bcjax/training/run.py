"""A run: everything that stays the same while it trains, made from its config."""

import copy
import dataclasses
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.augment import policy as policies
from bcjax.config import ImageSize
from bcjax.data.ancestry import Ancestry
from bcjax.data.order import Order
from bcjax.data.preparation import prepare
from bcjax.data.prepared import PreparedSet
from bcjax.data.store import choose_store
from bcjax.engine import checkpoint, dispatch, losses, network, patience, program, weights
from bcjax.engine import optimizer as optimizers
from bcjax.engine import plan as plans
from bcjax.engine.dispatch import Batch, Hyperparameters
from bcjax.engine.loader import (
    Loader,
    SplitLoaders,
    View,
    bytes_needed,
    order_of,
    predict_split,
    whole_batches,
)
from bcjax.engine.phases import Phase
from bcjax.engine.plan import Plan
from bcjax.engine.program import Program
from bcjax.engine.state import State
from bcjax.engine.trainable import uses_batch_statistics
from bcjax.engine.weights import ImportedWeights
from bcjax.evaluation import augmented_view
from bcjax.evaluation.answers import Answers
from bcjax.runtime import compilation, environment, files, peers, plugins
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Changes
from bcjax.training import resuming
from bcjax.training.resuming import NOTHING_CHANGES, Permissions

log = logging.getLogger("bcjax")


class Run:
    """Everything that a run consists of except its state, which is passed in and returned.

    Attributes:
      config: The resolved config, as it is written to the run's folder.
      workdir: The folder of the run.
      lead: Whether this process is the one that writes logs.
      mesh: The devices.
      prepared: The pictures and their splits.
      classes: The class names, in the order of the logits.
      store: Where decoded pictures live: "disk", "host" or "device".
      store_reason: Why they live there, in a few words.
      order: The order in which training sees the pictures.
      also: The augmentations under which `eval.split` and `eval.final_split` are evaluated, too.
      program: The jitted functions.
      phases: The phases of the run, in turn.
      values: The hyperparameters that the jitted functions take as arguments.
      weights_notes: What was changed in the weights that the run starts from, in sentences.
      checkpoints: The checkpoints on disk.
    """

    config: ConfigDict

    def __init__(
        self,
        config: ConfigDict,
        like: "Run | None" = None,
        lr_scale: float = 1.0,
        permissions: Permissions = NOTHING_CHANGES,
    ):
        """Prepares the pictures, resolves the config and claims the run's folder.

        Args:
          config: The config; it is not changed.
          like: A run that differs in seed, fold, learning rate and folder at most: its program, and
            its pictures if they are the same, are shared.
          lr_scale: A factor on the learning rate.
          permissions: What may change in a run that goes on.

        Raises:
          UserError: If the config is not possible, or the folder holds another run.
        """
        self.workdir = Path(config.workdir)
        self.lead = jax.process_index() == 0
        self.mesh: Mesh = like.mesh if like else meshes.create(config.mesh.fsdp)
        at_once = config.train.batch_size // config.optim.accumulate
        meshes.check_batch(self.mesh, at_once)
        meshes.check_memory(self.mesh, at_once, ImageSize.of(config.data.image_size or 0))

        # The pictures.
        same = like if like and like.config.data.fold == config.data.fold else None
        self.prepared: PreparedSet = same.prepared if same else prepare(config.data)
        held = f"{self.prepared.digest} {self.prepared.pixels}"
        peers.compare({"the pictures, or their splits": held})
        self.classes = self.prepared.classes
        _check_splits(config, self.prepared)
        used = sorted({"train", config.eval.split, config.eval.final_split})
        self.store, self.store_reason = choose_store(
            config.data.store,
            bytes_needed(self.prepared, used, ImageSize.of(config.data.image_size)),
            meshes.device_memory(),
        )

        # The network, and how it learns.
        policy = policies.build(config.augment.ops)
        self.also = augmented_view.parse(config.eval.also)
        self.config, self._weights = resolve(config, self.prepared)
        run_dir = RunDir(self.workdir)
        goes_on = run_dir.exists()
        if goes_on:
            self.config = resuming.agreed(self.config, run_dir, self.prepared, permissions)
        self.order: Order = order_of(self.config, self.prepared)
        sizes = {"classes": len(self.classes), "examples": self.order.examples}
        self.program: Program = (
            like.program if like else program.build(self.config, policy, self.mesh, **sizes)
        )
        self.phases: tuple[Phase, ...] = self.program.phases
        if not like:
            _warn_of_single_pictures(self.config, self.phases, len(self.classes))
        balanced = self.config.train.class_weights == "balanced"
        counts = np.array(self.prepared.counts["train"])
        class_weights = losses.balanced_weights(counts) if balanced else None
        values = Hyperparameters(config.seed, lr_scale, class_weights, policy.numbers)
        self.values = dispatch.place(self.mesh, values)

        # Only from here on is the folder written to: everything above may be refused.
        if self.lead:
            self._write_ancestry(goes_on)  # first: the folder is no run before its config is there
        if not goes_on and self.lead:
            write_pictures_and_config(self.config, self.prepared)
        self.weights_notes = self._weights.notes if self._weights else ()
        if self._weights and self.lead:
            weights.write_origin(self._weights, self.workdir)
        self.checkpoints = checkpoint.Checkpoints(
            self.workdir, keep=self.config.checkpoint.keep, metric=patience.watched(self.config)
        )
        self._compiler = compilation.BackgroundCompiler()
        self._loaders: SplitLoaders = (
            same._loaders
            if same
            else SplitLoaders(self.prepared, self.store, self.config.data, self.mesh)
        )
        self._features: tuple[int, dict[str, Loader]] = (0, {})  # of a phase, by split

    def _write_ancestry(self, goes_on: bool) -> None:
        """Writes which pictures made the network, before any of them does."""
        if goes_on:
            known = Ancestry.read(self.workdir, self.prepared)
        else:
            known = self._weights.ancestry if self._weights else Ancestry()
        name, chosen_on = str(self.config.workdir), self.config.eval.split
        known.trained_on(self.prepared, name, chosen_on).write(self.workdir)

    def close(self) -> None:
        """Waits for the checkpoint that is being written, and compiles no more ahead."""
        self._compiler.give_up()
        self.checkpoints.close()

    def write_changes(self, state: State) -> Changes:
        """Writes the config of a run that goes on with other settings than it had.

        Args:
          state: The state of the checkpoint from which it goes on.

        Returns:
          The settings that differ from those of the checkpoint.

        Raises:
          UserError: If it was to become longer, but its patience is at an end.
        """
        changes = configs.differences(configs.load(self.workdir), self.config)
        phase = self.phase_of(state)
        out_of_patience = patience.exhausted(state.patience, phase.config.train.patience)
        if "train.length" in changes and phase.position == len(self.phases) - 1 and out_of_patience:
            raise UserError(
                f"The run in {self.workdir} ended at step {int(state.step)}, after "
                f"{int(state.patience.since_best)} evaluations without gain "
                "(config.train.patience): allow it more with --change "
                "--config.train.patience=NUMBER, or say --extend=restart."
            )
        if self.lead and changes:
            configs.save(self.config, RunDir(self.workdir).config)
        page = self.checkpoints.about(int(state.step))
        return configs.differences(configs.from_dict(page["config"]), self.config)

    # The state.

    def restore_or_start(self) -> tuple[State, bool]:
        """Returns the state of the latest checkpoint, or of step 0, and whether it was restored."""
        restored = self.checkpoints.restore_latest([phase.abstract for phase in self.phases])
        if restored is not None:
            return restored, True
        if self._weights is None:  # which may be refused below
            self.compile_ahead(self.phases[0], 0)
        state = self.program.start(self.config.seed)
        return weights.initial_state(state, self.config, self.classes, self._weights), False

    def restore(self, step: int) -> State:
        """Returns the state of one of the run's checkpoints, in whichever phase it was saved."""
        return self.checkpoints.restore(step, [phase.abstract for phase in self.phases])

    def phase_of(self, state: State) -> Phase:
        """Returns the phase that a state is in."""
        return self.phases[int(jax.device_get(state.phase))].begun(int(jax.device_get(state.began)))

    def begin_phase(self, position: int, state: State) -> State:
        """Returns the state at the start of a phase, from that at the end of the previous one."""
        phase = self.phases[position]
        begin = jax.jit(
            phase.begin,
            donate_argnums=0,
            out_shardings=jax.tree.map(lambda leaf: leaf.sharding, phase.abstract),
        )
        return begin(state.replace(opt_state=()))

    def with_plan(self, phase: Phase, plan: Plan) -> "Run":
        """Returns this run with another plan of one phase; everything else is shared."""
        new = copy.copy(self)
        new.phases = tuple(
            dataclasses.replace(each, plan=plan) if each.position == phase.position else each
            for each in self.phases
        )
        return new

    def end_of(self, phase: Phase) -> int:
        """Returns the last step of the run, if patience ends no phase from this one on early."""
        return phase.plan.end + sum(p.plan.length for p in self.phases[phase.position + 1 :])

    # What is done with it.

    def compile_ahead(self, phase: Phase, step: int) -> None:
        """Starts to compile the programs of a phase while its pictures are decoded.

        Args:
          phase: The phase.
          step: The step at which training goes on.
        """
        if phase.caches_features:  # their shape is not known yet
            return
        call = phase.train_call
        first_calls = itertools.islice(phase.plan.calls(step), 1000)  # there may be a billion
        for steps in {call.together(each.steps) for each in first_calls}:
            shapes = self._loaders.abstract("train", steps, self.config.train.batch_size)
            self._compiler.compile(
                ("train", steps), call.program, phase.abstract, *shapes, self.values
            )
        split = self.config.eval.split
        batch_size = min(self.eval_batch_size, self.prepared.size(split))
        shapes = self._loaders.abstract(
            split, dispatch.per_call(), whole_batches(self.mesh, batch_size), masked=True
        )
        variables = phase.abstract.best_variables
        self._compiler.compile("predict", self.program.predict, variables, *shapes)

    def wait_for_programs(self) -> None:
        """Waits until nothing is compiled or written any more, as one who times a run must."""
        self._compiler.wait_for_all()

    def train(self, phase: Phase, state: State, batch: Batch) -> tuple[State, Array]:
        """Takes the steps of a call; returns the new state and their metrics, (steps, metrics)."""
        self._compiler.wait(("train", phase.train_call.together(len(batch["index"]))))
        stored = self.loader("train", phase, state).stored
        return phase.train_call(state, batch, stored, self.values)

    def loader(self, split: str, phase: Phase, state: State) -> Loader:
        """Returns the loader of a split: of its pictures, or of features where those are cached.

        Features are computed once in a phase, whose backbone is frozen.
        """
        again = split in ("train", self.config.eval.split)
        if not (again and phase.caches_features):
            return self._loaders.pictures(split)
        if self._features[0] != phase.position:
            self._features = (phase.position, {})
        features = self._features[1]
        if split not in features:
            features[split] = self._loaders.features(
                split, self.program.backbone, state.variables, self.eval_batch_size
            )
        return features[split]

    @property
    def eval_batch_size(self) -> int:
        """Pictures in an evaluation batch."""
        return int(self.config.eval.batch_size or self.config.train.batch_size)

    def predict(self, split: str, phase: Phase, state: State, view: View | None = None) -> Answers:
        """Runs the network, with its averaged variables if there are any, over a split.

        Args:
          split: The split.
          phase: The phase of the state.
          state: The state.
          view: Changes the pictures before the network sees them; None: they are as they are.

        Raises:
          UserError: If a logit is not finite.
        """
        loader = self._loaders.pictures(split) if view else self.loader(split, phase, state)
        self._compiler.wait("predict")
        variables, batch_size = state.best_variables, self.eval_batch_size
        logits, labels = predict_split(
            self.program.predict, variables, loader, self.mesh, batch_size, view
        )
        return Answers.of_split(self.prepared, split, logits, labels)


def check(config: ConfigDict, prepared: PreparedSet) -> None:
    """Checks, without a device, what a run that begins is refused for.

    Args:
      config: The config of the run.
      prepared: The pictures that it describes.

    Raises:
      UserError: If there are too few pictures, the weights do not fit, or a length is not possible.
    """
    _check_splits(config, prepared)
    config, _ = resolve(configs.replaced(config, {"workdir": None}), prepared)
    network.build(config, len(prepared.classes))
    plan = plans.resolve(config, order_of(config, prepared).examples, steps_per_call=1)
    optimizers.create(config.optim, total_steps=plan.length, warmup_steps=plan.warmup)


def resolve(config: ConfigDict, prepared: PreparedSet) -> tuple[ConfigDict, ImportedWeights | None]:
    """Returns the complete config of a run, and the weights that it starts from.

    Args:
      config: The config; it is not changed.
      prepared: The pictures that it describes.

    Returns:
      The config with everything that the weights, the network and the pictures decide written into
      it; and the weights, None if there are none or the run resumes.

    Raises:
      UserError: If the weights cannot be read or do not fit the network.
    """
    changes: dict[str, object] = {"data.classes": prepared.source_classes}
    # Absolute paths, so that the run is usable from any folder.
    if Path(config.data.source).exists():
        changes["data.source"] = str(Path(config.data.source).absolute())
    if config.model.weights:
        changes["model.weights"] = str(Path(config.model.weights).absolute())
    workdir = Path(config.workdir) if config.workdir else None
    if config.optim.correct_averages is None:  # a run goes on as it began
        saved = configs.load(workdir) if workdir and RunDir(workdir).exists() else config
        changes["optim.correct_averages"] = saved.optim.correct_averages is not False
    config = configs.replaced(config, changes)
    settings, imported = weights.settings_of_run(config, workdir, prepared.classes)
    stated = configs.flatten(config)
    needed = {key: value for key, value in settings.items() if stated[key] is None}
    return network.resolve(configs.replaced(config, needed)), imported


def write_pictures_and_config(config: ConfigDict, prepared: PreparedSet) -> None:
    """Writes what makes the config's workdir the folder of a run."""
    run_dir = RunDir(config.workdir)
    files.write_json(run_dir.pictures, dataclasses.asdict(prepared.as_trained_on()))
    configs.save(config, run_dir.config)


# Where things are on a host: the pictures themselves are compared, and the workdir is tried.
_OF_A_HOST = {
    "workdir", "data.source", "data.cache_dir", "data.tfds_dir", "mesh.coordinator",
    "mesh.process_id",
}  # fmt: skip


def check_same_everywhere(config: ConfigDict, permissions: Permissions) -> None:
    """Checks that all processes of the job were given the same config, flags, code and packages.

    Raises:
      UserError: In all processes, naming what differs, and in which of them.
    """
    leaves = configs.flatten(config).items()
    facts = {f"config.{key}": value for key, value in leaves if key not in _OF_A_HOST}
    facts |= {f"--{name}": value for name, value in dataclasses.asdict(permissions).items()}
    facts |= {f"the version of {name}": v for name, v in environment.versions().items()}
    code = {"bcjax": environment.code_digest("bcjax")} | plugins.code_digests(config.imports)
    facts |= {f"the source code of {package}": digest for package, digest in code.items()}
    peers.compare(facts)


def _warn_of_single_pictures(config: ConfigDict, phases: Sequence[Phase], classes: int) -> None:
    """Warns where batch norm gets one picture at a time, of which it learns no usable averages."""
    batch, parts = config.train.batch_size, config.optim.accumulate
    if batch > parts:
        return
    model = network.build(config, classes)
    shape = (1, *ImageSize.of(config.data.image_size), config.model.channels)
    if any(uses_batch_statistics(model, phase.frozen, shape) for phase in phases):
        divided = f" in config.optim.accumulate = {parts} micro-batches" if parts > 1 else ""
        log.warning(
            "Batch norm sees one picture at a time (config.train.batch_size = %d%s), so its "
            "running averages do not fit what the network learns, and its answers may be no better "
            "than chance: give larger batches, or another config.model.norm: group or layer, or "
            "frozen-batch with published weights.",
            batch, divided,
        )  # fmt: skip


def _check_splits(config: ConfigDict, prepared: PreparedSet) -> None:
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
