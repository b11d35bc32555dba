"""A trained network, rebuilt from its workdir: nobody retypes a name, a class or a constant."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax import models
from bcjax.data.input_transform import InputTransform
from bcjax.engine.checkpoint import Checkpoints
from bcjax.engine.state import Variables
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

# Options of networks that the config's `model` branch sets.
_OPTIONS = (
    "hidden", "dropout", "drop_path", "norm", "convention", "epsilon", "alpha", "small_stem",
    "remat",
)  # fmt: skip


def build(config: ConfigDict, classes: int) -> nn.Module:
    """Returns the network that the config's `model` branch describes.

    Raises:
      UserError: For an unknown model, or an option that it does not have.
    """
    asked = {name: config.model[name] for name in _OPTIONS}
    # None and False leave a network as it is, and not every network knows each option.
    options = {k: value for k, value in asked.items() if not (value is None or value is False)}
    return models.create(config.model.name, classes=classes, dtype=config.model.dtype, **options)


def resolve(config: ConfigDict) -> None:
    """Writes how the network wants its pictures into the config, where that does not say.

    Raises:
      UserError: If pictures cannot be made so, for want of `data.stain_reference`.
    """
    if config.model.name in models.MODELS:
        entry = models.MODELS[config.model.name]
        config.model.mean = config.model.mean or per_channel(entry.mean, config)
        config.model.std = config.model.std or per_channel(entry.std, config)
    config.data.resize = config.data.resize or "squash"
    config.data.crop_fraction = config.data.crop_fraction or 1.0
    if config.data.stain_reference:
        # To be found from any folder, and no run begins that could not be evaluated.
        config.data.stain_reference = str(Path(config.data.stain_reference).absolute())
        InputTransform.from_config(config.data)


def per_channel(rgb: Sequence[float], config: ConfigDict) -> tuple[float, ...]:
    """Returns what holds for R, G and B; for grey pictures their average."""
    return tuple(rgb) if config.model.channels == 3 else (sum(rgb) / 3,)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network as it stood at one checkpoint of a run.

    Attributes:
      config: What it was trained with.
      classes: Names, in the order of the logits.
      model: The linen module.
      variables: Its parameters and statistics (their averages, if the run kept any).
      step: Of the checkpoint.
    """

    config: ConfigDict
    classes: tuple[str, ...]
    model: nn.Module
    variables: Variables
    step: int


def load(workdir: Path, which: str, mesh: Mesh) -> Trained:
    """Reads a network from the checkpoints of a run.

    Args:
      workdir: The run's folder.
      which: "best", "latest" or a step.
      mesh: Where the variables go; they are replicated.

    Raises:
      UserError: If there is no run, no checkpoint or not that one.
    """
    config = configs.load(workdir)
    checkpoints = open_checkpoints(workdir, config)
    step = _find(checkpoints, workdir, which)
    classes = tuple(checkpoints.about(step)["classes"])
    model = build(config, len(classes))
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=meshes.replicated(mesh)),
        _variable_shapes(model, config.data.image_size, config.model.channels),
    )
    read = checkpoints.restore_variables(step, {"ema": abstract} if config.optim.ema else abstract)
    return Trained(config, classes, model, read.get("ema", read), step)


def open_checkpoints(workdir: Path, config: ConfigDict) -> Checkpoints:
    """Opens the checkpoints of a run for reading, be it going on or ended."""
    return Checkpoints(
        workdir, keep=config.checkpoint.keep, metric=config.checkpoint.best, read_only=True
    )


def _find(checkpoints: Checkpoints, workdir: Path, which: str) -> int:
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{workdir} holds no checkpoint yet: train first, or wait for one.")
    if which == "latest":
        return steps[-1]
    if which == "best":
        best = checkpoints.best()
        return steps[-1] if best is None else best
    if not which.isdigit() or int(which) not in steps:
        held = ", ".join(map(str, steps))
        raise UserError(
            f"{workdir} holds no checkpoint {which!r}: choose best, latest or one of {held}."
        )
    return int(which)


def _variable_shapes(model: nn.Module, image_size: int, channels: int) -> dict[str, Any]:
    def init() -> dict[str, Any]:
        pictures = jnp.zeros((1, image_size, image_size, channels))
        return {"batch_stats": {}} | dict(model.init(jax.random.key(0), pictures, train=False))

    return jax.eval_shape(init)
