"""Everything that a run is made of, from its config: pictures, program, state."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.augment import policy as policies
from bcjax.data.preparation import prepare
from bcjax.data.prepared import PreparedSet
from bcjax.data.store import choose_store
from bcjax.engine import checkpoint, dispatch, losses, network, program, saving, starting
from bcjax.engine import state as states
from bcjax.engine.dispatch import Batch, Numbers
from bcjax.engine.feed import Feed, bytes_needed, order_of, whole_batches
from bcjax.engine.feeds import Feeds
from bcjax.engine.forward import predictions
from bcjax.engine.patience import exhausted
from bcjax.engine.phases import Phase
from bcjax.engine.program import Program
from bcjax.evaluation.answers import Answers
from bcjax.runtime import compilation, files
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir, TrainedOn


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
      order: In which training sees them.
      program: All that is compiled.
      numbers: What the program is given for this run.
      phase: The one in which `state` is.
      plan: What happens at which step of that phase.
      weights_notes: What was done to the weights that it now starts from.
      checkpoints: On disk.
      resumed: Whether `state` was read from one.
      state: Where the run stands.
    """

    config: ConfigDict
    state: states.State

    def __init__(self, config: ConfigDict, like: "Run | None" = None, rate: float = 1.0):
        """Builds the run that `config` describes.

        Args:
          config: Where it leaves something open, that is resolved in it.
          like: A run that differs in seed, fold and workdir alone: what can be shared is.
          rate: Times every update.

        Raises:
          UserError: For whatever the user can mend.
        """
        self.workdir = Path(config.workdir)
        self.lead = jax.process_index() == 0
        self.mesh: Mesh = like.mesh if like else meshes.create(config.mesh.fsdp)
        meshes.check_batch(self.mesh, config.train.batch_size // config.optim.accumulate)

        # The pictures.
        same = like if like and like.config.data.fold == config.data.fold else None
        self.prepared: PreparedSet = same.prepared if same else prepare(config.data)
        self.classes = self.prepared.classes
        _check_splits(config, self.prepared)
        used = sorted({"train", config.eval.split, config.eval.final_split})
        self.store, self.why_store = choose_store(
            config.data.store,
            bytes_needed(self.prepared, used, config.data.image_size),
            meshes.device_memory(),
        )

        self.order = order_of(config, self.prepared)

        # The network, and how it learns.
        policy = policies.build(config.augment.ops)
        imported = starting.decide(config, self.workdir, self.classes)
        network.resolve(config)
        config.data.classes = self.prepared.source_classes  # of which rules may have dropped some
        if Path(config.data.source).exists():  # to be found from any folder
            config.data.source = str(Path(config.data.source).absolute())
        self.config = config
        sizes = {"classes": len(self.classes), "examples": self.order.examples}
        self.program: Program = (
            like.program if like else program.build(config, policy, self.mesh, **sizes)
        )
        numbers = Numbers(config.seed, rate, _class_weights(config, self.prepared), policy.numbers)
        self.numbers = dispatch.place(self.mesh, numbers)

        # Where it stands. Only here is the workdir written to: all that is above may be refused.
        settle(config, self.workdir, self.prepared, self.lead)
        self.weights_notes = imported.notes if imported else ()
        if imported and self.lead:
            saving.record(imported, self.workdir)
        self.checkpoints = checkpoint.Checkpoints(
            self.workdir, keep=config.checkpoint.keep, metric=config.checkpoint.best
        )
        restored = self.checkpoints.restore_latest([phase.abstract for phase in self.phases])
        self.resumed = restored is not None
        if restored is None:
            restored = self.program.start(config.seed)
            restored = starting.begin(restored, config, self.classes, imported)
        self._stand(restored)
        self._ahead = compilation.Ahead()
        self._feeds: Feeds = (
            same._feeds if same else Feeds(self.prepared, self.store, config.data, self.mesh)
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """In turn."""
        return self.program.phases

    def compile_ahead(self) -> None:
        """Begins to compile what this phase will call, while its pictures are decoded."""
        if self.phase.caches_features:  # of a shape that is not known yet
            return
        call, state = self.phase.train_call, self.phase.abstract
        for steps in {call.together(each.steps) for each in self.plan.calls(self.step)}:
            shapes = self._feeds.abstract("train", steps, self.config.train.batch_size)
            self._ahead.compile(("train", steps), call.jitted, state, *shapes, self.numbers)
        split = self.config.eval.split
        batch_size = min(self._eval_batch_size, self.prepared.size(split))
        shapes = self._feeds.abstract(
            split, dispatch.per_call(), whole_batches(self.mesh, batch_size), masked=True
        )
        self._ahead.compile("predict", self.program.predict, state.best_variables, *shapes)

    def train(self, batch: Batch) -> jax.Array:
        """Takes the steps of a call; returns what they report, (steps, metrics)."""
        pictures = self.feed("train").pictures
        self._ahead.wait(("train", self.phase.train_call.together(len(batch["index"]))))
        self.state, metrics = self.phase.train_call(self.state, batch, pictures, self.numbers)
        return metrics

    def close(self) -> None:
        """Waits for the checkpoint that is being written."""
        self.checkpoints.close()

    @property
    def step(self) -> int:
        """Steps taken; waits for the devices."""
        return int(jax.device_get(self.state.step))

    @property
    def end(self) -> int:
        """The last step of the run, if no patience ends a phase before."""
        following = self.phases[self.phase.position + 1 :]
        return self.plan.end + sum(phase.plan.length for phase in following)

    @property
    def goes_on(self) -> bool:
        """Whether this phase is neither at its end nor out of patience."""
        allowed = self.phase.config.train.patience
        return self.step < self.plan.end and not exhausted(self.state.patience, allowed)

    def phases_left(self) -> Iterator[Phase]:
        """Yields this phase, unless it is at its end, and each one after it, once it has begun."""
        while True:
            if self.goes_on:
                yield self.phase
            if self.phase is self.phases[-1]:
                return
            self.begin_next_phase()

    def begin_next_phase(self) -> None:
        """Goes on to the phase after this one."""
        following = self.phases[self.phase.position + 1]
        begin = jax.jit(
            following.begin,
            donate_argnums=0,
            out_shardings=jax.tree.map(lambda leaf: leaf.sharding, following.abstract),
        )
        self._stand(begin(self.state.replace(opt_state=())))

    def go_back(self, step: int) -> None:
        """Stands at another checkpoint of the run, be it of an earlier phase."""
        abstracts = [phase.abstract for phase in self.phases]
        self._stand(self.checkpoints.restore(step, abstracts))

    def _stand(self, state: states.State) -> None:
        self.state = state
        self.phase: Phase = self.phases[int(jax.device_get(state.phase))]
        self.plan = dataclasses.replace(self.phase.plan, begin=int(jax.device_get(state.began)))
        self._features: dict[str, Feed] = {}  # of another state they would be others

    def feed(self, split: str) -> Feed:
        """Returns a split's feed, of pictures or of features, made when it is first asked for."""
        again = split in ("train", self.config.eval.split)
        if not (again and self.phase.caches_features):
            return self._feeds.pictures(split)
        if split not in self._features:
            self._features[split] = self._feeds.features(
                split, self.program.backbone, self.state.variables, self._eval_batch_size
            )
        return self._features[split]

    @property
    def _eval_batch_size(self) -> int:
        return int(self.config.eval.batch_size or self.config.train.batch_size)

    def answers(self, split: str, variables: states.Variables) -> Answers:
        """Answers one of this run's splits with variables of its network.

        Raises:
          UserError: If an answer is not finite.
        """
        feed = self.feed(split)
        self._ahead.wait("predict")
        predicted = predictions(
            self.program.predict, variables, feed, self.mesh, self._eval_batch_size
        )
        return Answers.of_split(self.prepared, split, *predicted)


def _class_weights(config: ConfigDict, prepared: PreparedSet) -> np.ndarray | None:
    if config.train.class_weights == "none":
        return None
    return losses.class_weights(np.array(prepared.counts["train"]), config.train.class_weights)


def settle(config: ConfigDict, workdir: Path, prepared: PreparedSet, lead: bool) -> None:
    """Writes the resolved config to the workdir, or checks it against the one that is there.

    Raises:
      UserError: If the workdir holds a run of another model, other classes, other pictures, or
        with any other difference that would make it another run.
    """
    run_dir = RunDir(workdir)
    if run_dir.exists():
        different = configs.differences(configs.load(workdir), config)
        trained_on = run_dir.trained_on()
        if trained_on and trained_on.digest != prepared.digest:
            different.append("the pictures, or their splits")
        if different:
            raise UserError(
                f"{workdir} holds another run, which differs in {'; '.join(different)}: give "
                "another --workdir, or the same settings to go on with it."
            )
    elif lead:
        trained_on = TrainedOn(str(prepared.path), prepared.digest, prepared.counts)
        files.write_json(run_dir.pictures, dataclasses.asdict(trained_on))
        configs.save(config, run_dir.config)


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
