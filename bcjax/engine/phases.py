"""The phases of a run: each with its length, schedule, optimizer, patience, and what trains in it.

Steps, the order of the pictures and the checkpoints go on from one to the next.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import optax
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.engine import dispatch, layer_decay, optim, steps, trainable
from bcjax.engine import frozen as freezing
from bcjax.engine import plan as plans
from bcjax.engine import state as states
from bcjax.engine.dispatch import TrainCall
from bcjax.engine.frozen import Frozen
from bcjax.engine.patience import Mode
from bcjax.engine.plan import Plan
from bcjax.engine.state import State


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Attributes:
      position: Among the phases of the run, from 0.
      config: The run's, with what holds in this phase in the place of what holds in the last.
      plan: What happens at which step, if it began at step 0.
      rates: What the learning rate of each parameter is multiplied by; 0: it is frozen.
      frozen: What does not train.
      schedule: The learning rate of each of its steps, counted from its beginning.
      begin: From the state at the end of the phase before to that at the start of this one.
      abstract: The state within it.
      call: `dispatch.several(steps.train_step(...))`, pure.
      train_call: The same, as training calls it.
    """

    position: int
    config: ConfigDict
    plan: Plan
    rates: dict[str, float]
    frozen: Frozen
    schedule: optax.Schedule
    begin: Callable[[State], State]
    abstract: State
    call: Callable
    train_call: TrainCall

    @property
    def caches_features(self) -> bool:
        """Whether each picture has the same features in all of its steps."""
        augmented = any(configs.flatten(self.config.augment).values())
        return self.frozen.backbone and not augmented


def create(
    config: ConfigDict,
    model: nn.Module,
    init: Callable[[int], State],
    recipe: steps.Recipe,
    mesh: Mesh,
    *,
    examples: int,
    steps_per_call: int,
    mode: Mode,
) -> tuple[Phase, ...]:
    """Returns the phases of a run, in turn; nothing is computed yet.

    Args:
      config: The run's.
      model: Its network.
      init: Makes the state before the first phase, of a seed.
      recipe: What its steps do.
      mesh: Where they run.
      examples: Training pictures.
      steps_per_call: In one dispatch, where the config leaves it open.
      mode: Whether more or less of the watched metric is better.

    Raises:
      UserError: If a phase would train nothing, or its optimizer or schedule is refused.
    """
    layers = trainable.layers(lambda: init(0).variables)
    paths = tuple(itertools.chain(*layers))

    def phase(position: int, config: ConfigDict) -> Phase:
        trains = trainable.select(config.finetune.trainable, layers)
        frozen = freezing.all_but(trains, paths)
        scales = layer_decay.scales(paths, config.finetune.layer_decay)
        plan = plans.resolve(config, examples, steps_per_call)
        lengths = {"total_steps": plan.length, "warmup_steps": plan.warmup}
        optimizer = optim.create(config.optim, **lengths)
        if config.finetune.layer_decay < 1:
            optimizer = optax.chain(optimizer, layer_decay.scale_by_layer(scales))
        begin = functools.partial(
            states.begin, phase=position, optimizer=optimizer, mode=mode, frozen=frozen
        )
        abstract = states.shapes(lambda: begin(init(0)), mesh, config.mesh.fsdp_min_size)
        call = dispatch.several(steps.train_step(model, optimizer, recipe, frozen))
        return Phase(
            position=position,
            config=config,
            plan=plan,
            rates={path: scales[path] * (path not in frozen.parameters) for path in paths},
            frozen=frozen,
            schedule=optim.schedule(config.optim, **lengths),
            begin=begin,
            abstract=abstract,
            call=call,
            train_call=TrainCall(call, mesh, abstract),
        )

    return tuple(phase(position, each) for position, each in enumerate(_configs(config)))


def _configs(config: ConfigDict) -> list[ConfigDict]:
    """Returns the config of each phase."""
    own = config.finetune.first
    if not configs.resolve_length(own.length, examples=1, batch_size=1):
        return [config]
    first = config.copy_and_resolve_references()
    first.finetune.trainable = own.trainable
    first.train.update({"length": own.length, "patience": own.patience})
    first.optim.update(
        {
            "lr": own.lr or config.optim.lr,
            "schedule": own.schedule or config.optim.schedule,
            "warmup": own.warmup,
        }
    )
    return [first, config]
