"""Everything that is compiled for a run; runs that differ in seed or learning rate share it."""

import dataclasses
from collections.abc import Callable

from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax.augment.policy import Policy
from bcjax.engine import dispatch, losses, network, phases
from bcjax.engine import state as states
from bcjax.engine.patience import Mode
from bcjax.engine.phases import Phase
from bcjax.engine.state import State
from bcjax.engine.step import Recipe, features_step, predict_step
from bcjax.metrics.names import sign
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Program:
    """The jitted functions of a run; each is compiled at its first call.

    Attributes:
      mode: Whether more or less of the watched metric is better.
      phases: The phases, each with its schedule, its optimizer and its training step.
      start: Makes the state at the beginning of the first phase from a seed.
      predict: `step.predict_step(...)`, jitted.
      backbone: `step.features_step(...)`, jitted.
    """

    mode: Mode
    phases: tuple[Phase, ...]
    start: Callable[[int], State]
    predict: Callable
    backbone: Callable


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
    mode: Mode = "max" if sign(config.checkpoint.best) > 0 else "min"
    init = states.initializer(
        model,
        image_size=config.data.image_size,
        ema=config.optim.ema > 0,
        mode=mode,
        channels=config.model.channels,
        mesh=mesh,
    )
    made = phases.create(
        config,
        model,
        init,
        _recipe(config, policy),
        mesh,
        examples=examples,
        steps_per_call=dispatch.per_call(),
        mode=mode,
    )
    first = made[0]
    pixels = (model, config.model.mean, config.model.std)
    return Program(
        mode=mode,
        phases=made,
        start=states.compile_init(lambda seed: first.begin(init(seed)), first.abstract),
        predict=dispatch.compile_predict(predict_step(*pixels), mesh),
        backbone=dispatch.compile_predict(features_step(*pixels), mesh),
    )


def _recipe(config: ConfigDict, policy: Policy) -> Recipe:
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
    return Recipe(
        mean=config.model.mean,
        std=config.model.std,
        policy=policy,
        dtype=config.model.dtype,
        loss=losses.REGISTERED.get(config.train.loss),
        focal=config.train.focal_gamma if focal else None,
        label_smoothing=config.train.label_smoothing,
        accumulate=config.optim.accumulate,
        ema=config.optim.ema,
        l1=config.model.l1,
        l2=config.model.l2,
    )
