"""Everything that is compiled for a run; runs that differ in seed or learning rate share it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.augment import policy as policies
from bcjax.augment.policy import Policy
from bcjax.engine import dispatch, losses, network, phases
from bcjax.engine import state as states
from bcjax.engine.dispatch import Batch, Hyperparameters
from bcjax.engine.phases import Phase
from bcjax.engine.state import State, Variables
from bcjax.engine.step import Recipe, mean_loss, predict_step, step_key
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError
from bcjax.runtime.program_cache import CachedProgram


@dataclasses.dataclass(frozen=True)
class Program:
    """The jitted functions of a run; each is compiled at its first call.

    Attributes:
      phases: The phases, each with its schedule, its optimizer and its training step.
      start: Makes the state at the beginning of the first phase from a seed.
      predict: `step.predict_step(...)`, jitted.
      backbone: `step.predict_step(..., "features")`, jitted.
    """

    phases: tuple[Phase, ...]
    start: Callable[[int], State]
    predict: CachedProgram
    backbone: CachedProgram


def build(
    config: ConfigDict, policy: Policy, mesh: Mesh, *, classes: int, examples: int
) -> Program:
    """Returns the program of the run that a resolved config describes.

    Args:
      config: A resolved config.
      policy: The augmentation policy.
      mesh: The devices that the run uses.
      classes: The number of classes.
      examples: Training pictures in an epoch.

    Raises:
      UserError: If the network, the optimizer, a phase or the loss is not possible.
    """
    model = network.build(config, classes)
    init = states.initializer(model, config, mesh)
    pixels = (model, config.model.mean, config.model.std)
    about = {"pixels": pixels}
    whole = about | {"config": _about_config(config), "examples": examples}
    made = phases.create(
        config, model, init, recipe(config, policy), mesh, examples=examples, about=whole
    )
    first = made[0]

    def start(seed: Array) -> State:
        return first.begin(init(seed))

    return Program(
        phases=made,
        start=states.compile_init(start, first.abstract, whole | {"gives": "start"}),
        predict=dispatch.compile_predict(predict_step(*pixels), mesh, about),
        backbone=dispatch.compile_predict(
            predict_step(*pixels, "features"), mesh, about | {"gives": "features"}
        ),
    )


# These say where things are, and what does not reach a device.
_IN_NO_PROGRAM = ("workdir", "data.source", "data.cache_dir", "data.tfds_dir", "seed", "track.")


def _about_config(config: ConfigDict) -> dict[str, Any]:
    leaves = configs.flatten(config).items()
    return {key: value for key, value in leaves if not key.startswith(_IN_NO_PROGRAM)}


def training_loss(model: nn.Module, config: ConfigDict) -> Callable:
    """Returns the loss that `bcjax.train` minimises, for a training loop of your own.

    The function is `(params, state, batch) -> (loss, batch_stats)`, to be differentiated with
    `has_aux=True`: it augments and normalises a batch of `training_batches`, and returns the mean
    loss at these parameters and the new batch statistics.

    Args:
      model: The network.
      config: A resolved config.

    Raises:
      UserError: As `recipe`.
    """
    policy = policies.build(config.augment.ops)
    values = Hyperparameters(config.seed, augment=policy.numbers)
    loss_of = mean_loss(model, recipe(config, policy))

    @jax_settings.fixed()
    def loss(params: Variables, state: State, batch: Batch) -> tuple[Array, Variables]:
        key = step_key(config.seed, state.step)
        ages = (state.step, state.step - state.began)
        value, (batch_stats, _) = loss_of(
            params, {}, state.batch_stats, key, batch, {}, values, ages
        )
        return value, batch_stats

    return loss


def recipe(config: ConfigDict, policy: Policy) -> Recipe:
    """Returns how the training step works, apart from the network and the optimizer.

    Raises:
      UserError: If the loss cannot take mixed or smoothed labels.
    """
    focal = config.train.loss == "focal"
    if focal and (policy.mixes or config.train.label_smoothing):
        what = "augment.ops mixes pictures" if policy.mixes else "train.label_smoothing spreads it"
        raise UserError(
            f"config.train.loss is 'focal', which needs one label for each picture, but {what}: "
            "leave that out, or use cross_entropy."
        )
    corrects = config.optim.correct_averages is not False
    return Recipe(
        mean=config.model.mean,
        std=config.model.std,
        policy=policy,
        dtype=config.model.dtype,
        loss=losses.REGISTERED.get(config.train.loss, optax.softmax_cross_entropy),
        focal=config.train.focal_gamma if focal else None,
        label_smoothing=config.train.label_smoothing,
        accumulate=config.optim.accumulate,
        ema=config.optim.ema,
        correct_ema=corrects,
        # Weights that are imported bring the statistics of all their layers.
        correct_statistics=corrects and not config.model.weights,
        l1=config.model.l1,
        l2=config.model.l2,
    )
