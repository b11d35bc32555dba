"""The phases of a run, each with its own length, schedule, optimizer, patience and frozen layers.

The step, the order of the pictures and the checkpoints run on from one phase to the next.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.engine import dispatch, schedules
from bcjax.engine import optimizer as optimizers
from bcjax.engine import patience as patiences
from bcjax.engine import plan as plans
from bcjax.engine import state as states
from bcjax.engine.dispatch import TrainCall
from bcjax.engine.plan import Plan
from bcjax.engine.state import State
from bcjax.engine.step import Recipe, train_step
from bcjax.engine.trainable import (
    Frozen,
    freeze_all_but,
    layers_of,
    learning_rate_scales,
    scale_by_path,
    select,
)
from bcjax.runtime import program_cache
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Attributes:
      position: The number of the phase, counted from 0.
      config: The config of the run, with the settings of this phase in place of the last one's.
      plan: What happens at which step; its `begin` is 0 until the phase has begun (see `begun`).
      lr_scales: The factor on the learning rate of each parameter, by path; 0: it is frozen.
      frozen: The parameters that do not train.
      schedule: The learning rate of each step, counted from the beginning of the phase.
      begin: Makes the state at the start of this phase from the state at the end of the previous.
      abstract: The state in this phase, as shapes with shardings.
      call: The pure function of several steps, `dispatch.several(step.train_step(...))`.
      train_call: The same function, compiled.
    """

    position: int
    config: ConfigDict
    plan: Plan
    lr_scales: dict[str, float]
    frozen: Frozen
    schedule: optax.Schedule
    begin: Callable[[State], State]
    abstract: State
    call: Callable
    train_call: TrainCall

    def begun(self, step: int) -> "Phase":
        """Returns the phase as it is once it has begun at a step of the run."""
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, begin=step))

    def goes_on(self, state: State) -> bool:
        """Whether the phase is neither at its end nor out of patience; waits for the devices."""
        step, allowed = int(jax.device_get(state.step)), self.config.train.patience
        return step < self.plan.end and not patiences.exhausted(state.patience, allowed)

    @property
    def caches_features(self) -> bool:
        """Whether a picture has the same features in every step, so that they are computed once."""
        augmented = any(configs.flatten(self.config.augment).values())
        return self.frozen.backbone and not augmented


def create(
    config: ConfigDict,
    model: nn.Module,
    init: Callable[[int], State],
    recipe: Recipe,
    mesh: Mesh,
    *,
    examples: int,
    about: Mapping[str, Any],
) -> tuple[Phase, ...]:
    """Returns the phases of a run in turn; nothing is computed yet.

    Args:
      config: The resolved config of the run.
      model: The network.
      init: Makes the state before the first phase from a seed.
      recipe: How a training step works.
      mesh: The devices that the steps run on.
      examples: Training pictures in an epoch.
      about: What the run's programs are made from, see `CachedProgram`.

    Raises:
      UserError: If a phase would train nothing, or its optimizer or schedule is refused.
    """
    # The network is traced once for all phases.
    layers, variables = program_cache.kept(
        {**about, "gives": "layers"}, lambda: layers_of(lambda: init(0).variables)
    )
    paths = tuple(itertools.chain(*layers))

    def frozen_in(config: ConfigDict) -> Frozen:
        return freeze_all_but(select(config.finetune.trainable, layers), paths)

    def phase(position: int, config: ConfigDict, before: ConfigDict) -> Phase:
        frozen = frozen_in(config)
        scales = learning_rate_scales(paths, config.finetune.layer_decay)
        plan = plans.resolve(config, examples, dispatch.per_call())
        lengths = {"total_steps": plan.length, "warmup_steps": plan.warmup}
        optimizer = optimizers.create(config.optim, **lengths)
        if config.finetune.layer_decay < 1:
            optimizer = optax.chain(optimizer, scale_by_path(scales))

        def begin(state: State) -> State:
            return states.begin(state, position, optimizer, config.checkpoint.best, frozen)

        abstract = states.shapes(
            lambda variables: begin(states.initial(variables, config)),
            mesh,
            config.mesh.fsdp_min_size,
            variables,
        )
        step = train_step(model, optimizer, recipe, frozen, waited=frozen_in(before))
        call = dispatch.several(step)
        return Phase(
            position=position,
            config=config,
            plan=plan,
            lr_scales={path: scales[path] * (path not in frozen.parameters) for path in paths},
            frozen=frozen,
            schedule=schedules.create(config.optim, **lengths),
            begin=begin,
            abstract=abstract,
            call=call,
            train_call=TrainCall(call, mesh, abstract, {**about, "phase": position}),
        )

    first, *later = _configs(config, examples)
    try:
        begins = phase(0, first, first)
    except UserError as error:
        if not later:
            raise
        raise UserError(f"Of the phase that config.finetune.first describes: {error}") from error
    pairs = enumerate(itertools.pairwise((first, *later)), 1)
    return (begins, *(phase(position, each, before) for position, (before, each) in pairs))


def _configs(config: ConfigDict, examples: int) -> list[ConfigDict]:
    """Returns the config of each phase: the first of fine-tuning, and one for each schedule."""
    ends = (*config.train.restarts, plans.resolve(config, examples, 1).length)
    begins = (0, *config.train.restarts)
    if any(begin >= end for begin, end in zip(begins, ends, strict=True)):
        raise UserError(
            f"config.train.restarts is {config.train.restarts}: give rising steps, all before the "
            f"end of the run at step {ends[-1]}."
        )
    parts = [config]
    if config.train.restarts:
        lengths = [end - begin for begin, end in zip(begins, ends, strict=True)]
        parts = [configs.replaced(config, {"train.length": f"{n} steps"}) for n in lengths]
    own = config.finetune.first
    if not configs.resolve_length(own.length, examples=1, batch_size=1):
        return parts
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
    return [first, *parts]
