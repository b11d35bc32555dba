"""All that is compiled for a run: one program for all that differ in seed, rate or weights."""

import dataclasses
from collections.abc import Callable

from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax.augment.policy import Policy
from bcjax.engine import dispatch, network, phases, steps
from bcjax.engine import state as states
from bcjax.engine.patience import Mode
from bcjax.engine.phases import Phase
from bcjax.engine.state import State
from bcjax.metrics.names import sign
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Program:
    """What a run is computed by; nothing is compiled before it is called.

    Attributes:
      mode: Whether more or less of the watched metric is better.
      phases: Each with its schedule, its optimizer and its compiled step.
      start: From a seed to the state at the beginning of the first phase.
      predict: Compiled `steps.predict_step(...)`.
      backbone: Compiled `steps.features_step(...)`.
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
      config: Resolved.
      policy: How its pictures are augmented.
      mesh: Where it runs.
      classes: Number of logits.
      examples: Training pictures in an epoch.

    Raises:
      UserError: If network, optimizer, phases or loss are refused.
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
        predict=dispatch.compile_predict(steps.predict_step(*pixels), mesh),
        backbone=dispatch.compile_predict(steps.features_step(*pixels), mesh),
    )


def _recipe(config: ConfigDict, policy: Policy) -> steps.Recipe:
    """Returns what the training step does beside network and optimizer.

    Raises:
      UserError: If the loss cannot take the labels.
    """
    focal = config.train.loss == "focal"
    if focal and (policy.mixes or config.train.label_smoothing):
        what = "augment.ops mixes pictures" if policy.mixes else "train.label_smoothing spreads it"
        raise UserError(
            f"config.train.loss is 'focal', which needs one label for each picture, but {what}: "
            "leave that out, or use cross_entropy."
        )
    return steps.Recipe(
        mean=config.model.mean,
        std=config.model.std,
        policy=policy,
        dtype=config.model.dtype,
        focal=config.train.focal_gamma if focal else None,
        label_smoothing=config.train.label_smoothing,
        accumulate=config.optim.accumulate,
        ema=config.optim.ema,
        l1=config.model.l1,
        l2=config.model.l2,
    )
