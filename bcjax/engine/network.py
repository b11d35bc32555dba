"""A network from its config, restored from a run, or written as one.

A trained network is rebuilt from its run alone: nobody retypes a name, a class or a constant.
"""

import dataclasses
import logging
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
from bcjax.config import ImageSize
from bcjax.data.ancestry import Ancestry
from bcjax.data.decode import read_file
from bcjax.data.input_transform import InputTransform, reference_sha256
from bcjax.engine import checkpoint, patience, published
from bcjax.engine.checkpoint import Checkpoints
from bcjax.engine.state import State, Variables
from bcjax.runtime import jax_settings, program_cache
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

log = logging.getLogger("bcjax")

# Options of networks that the config's `model` branch sets.
OPTIONS = (
    "widths", "depths", "kernel_size", "squeeze", "hidden", "dropout", "drop_path", "norm",
    "convention", "epsilon", "alpha", "small_stem", "remat",
)  # fmt: skip


def build(config: ConfigDict, classes: int) -> nn.Module:
    """Returns the network that the config's `model` branch describes.

    Raises:
      UserError: For an unknown model, or an option that it does not have.
    """
    stated = {name: config.model[name] for name in OPTIONS}
    # None and False leave a network as it is, and not every network knows each option.
    options = {k: value for k, value in stated.items() if not (value is None or value is False)}
    return models.create(config.model.name, classes=classes, dtype=config.model.dtype, **options)


def resolve(config: ConfigDict) -> ConfigDict:
    """Returns the config, completed with how the network wants its pictures where it states none.

    Raises:
      UserError: If `data.stain_reference` cannot be read.
    """
    changes: dict[str, Any] = {
        "data.resize": config.data.resize or "squash",
        "data.crop_fraction": config.data.crop_fraction or 1.0,
    }
    if config.model.name in models.MODELS:
        entry = models.MODELS[config.model.name]
        changes["model.mean"] = config.model.mean or per_channel(entry.mean, config)
        changes["model.std"] = config.model.std or per_channel(entry.std, config)
    if config.data.stain_reference:  # absolute, so that it is found from any folder
        changes["data.stain_reference"] = str(Path(config.data.stain_reference).absolute())
    config = configs.replaced(config, changes)
    if config.data.stain_reference:
        # Reads it: no run begins that could not be evaluated.
        InputTransform.from_config(config.data)
        sha256 = reference_sha256(read_file(Path(config.data.stain_reference)))
        config = configs.replaced(config, {"data.stain_sha256": sha256})
    return config


def per_channel(rgb: Sequence[float], config: ConfigDict) -> tuple[float, ...]:
    """Returns the values of R, G and B; for a network of one channel their average."""
    return tuple(rgb) if config.model.channels == 3 else (sum(rgb) / 3,)


@dataclasses.dataclass(frozen=True)
class RestoredNetwork:
    """A network as it was at one checkpoint of a run.

    Attributes:
      config: The config that it was trained with.
      classes: The class names, in the order of the logits.
      model: The linen module.
      variables: Its parameters and batch statistics (their averages, if the run kept any).
      step: The step of the checkpoint.
    """

    config: ConfigDict
    classes: tuple[str, ...]
    model: nn.Module
    variables: Variables
    step: int


@jax_settings.fixed()
def load(workdir: Path, which: str, mesh: Mesh) -> RestoredNetwork:
    """Restores a network from a checkpoint of a run.

    Args:
      workdir: The run's folder.
      which: "best", "latest" or a step.
      mesh: The devices on which the variables are replicated.

    Raises:
      UserError: If there is no run or no such checkpoint, or it is damaged or not finite.
    """
    config = configs.load(workdir)
    step = find_step(workdir, which)
    if published.is_here(workdir):
        classes = published.classes(workdir)
        model, shapes = _built(config, classes, mesh)
        return RestoredNetwork(config, classes, model, published.read(workdir, shapes), step)
    checkpoints = open_checkpoints(workdir, config)
    checkpoints.check(step)
    with checkpoints.faults_named(step):
        classes = tuple(checkpoints.about(step)["classes"])
    model, shapes = _built(config, classes, mesh)
    with checkpoints.faults_named(step):
        read = checkpoints.restore_variables(step, {"ema": shapes} if config.optim.ema else shapes)
    return RestoredNetwork(config, classes, model, read.get("ema", read), step)


def _built(config: ConfigDict, classes: Sequence[str], mesh: Mesh) -> tuple[nn.Module, Variables]:
    """Returns a network, and its variables as shapes that are replicated over a mesh."""
    model = build(config, len(classes))
    shapes = variable_shapes(model, ImageSize.of(config.data.image_size), config.model.channels)
    sharding = meshes.replicated_sharding(mesh)
    return model, jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def open_checkpoints(workdir: Path, config: ConfigDict) -> Checkpoints:
    """Opens the checkpoints of a run for reading, whether it has ended or not."""
    return Checkpoints(
        workdir, keep=config.checkpoint.keep, metric=patience.watched(config), read_only=True
    )


def find_step(workdir: Path, which: str) -> int:
    """Returns the step of a checkpoint of a run.

    Args:
      workdir: The run's folder.
      which: "best", "latest" or a step.

    Raises:
      UserError: If there is no run or no such checkpoint.
    """
    if published.is_here(workdir):
        step = published.step(workdir)
        if which not in ("best", "latest", str(step)):
            raise UserError(f"{workdir} holds checkpoint {step} alone, not {which!r}.")
        return step
    checkpoints = open_checkpoints(workdir, configs.load(workdir))
    steps = checkpoints.steps()
    if not steps and (members := RunDir(workdir).members()):
        raise UserError(
            f"{workdir} holds {len(members)} members, where one network is needed: name one of "
            f"them, such as {members[0]}."
        )
    if not steps:
        raise UserError(f"{workdir} holds no checkpoint yet: train first, or wait for one.")
    if which == "latest":
        return steps[-1]
    if which == "best":
        best = checkpoints.best()
        if best is None and steps[-1]:  # a network that was written at step 0 is the only one
            log.warning(
                "No evaluation during training has chosen a best checkpoint of %s, for there was "
                "none or its metric was undefined: the latest, %d, is taken.",
                workdir, steps[-1],
            )  # fmt: skip
        return steps[-1] if best is None else best
    if not which.isdigit() or int(which) not in steps:
        held = ", ".join(map(str, steps))
        raise UserError(
            f"{workdir} holds no checkpoint {which!r}: choose best, latest or one of {held}."
        )
    return int(which)


def variable_shapes(model: nn.Module, size: ImageSize, channels: int) -> Variables:
    """Returns shapes and dtypes of a network's parameters and batch statistics, computing none."""

    def init() -> dict[str, Any]:
        pictures = jnp.zeros((1, *size, channels))
        return {"batch_stats": {}} | dict(model.init(jax.random.key(0), pictures, train=False))

    about = {"model": model, "size": [size.height, size.width], "channels": channels}
    return program_cache.kept(about, lambda: jax.eval_shape(init))


@jax_settings.fixed()
def write_run(
    config: ConfigDict,
    variables: Variables,
    classes: Sequence[str],
    workdir: Path,
    ancestry: Ancestry | None = None,
) -> None:
    """Writes a network as a run at step 0: its checkpoint and config.json.

    Args:
      config: A resolved config; it is written without averages (`optim.ema`).
      variables: Parameters and batch statistics of the network.
      classes: The class names, in the order of the logits.
      workdir: The folder; it is made where it is missing.
      ancestry: The pictures that made the network. None: they are not known, which evaluations of
        it will say.
    """
    config = configs.replaced(config, {"optim.ema": 0.0})
    workdir.mkdir(parents=True, exist_ok=True)
    if ancestry:
        ancestry.write(workdir)
    zero = jnp.zeros((), jnp.int32)
    state = State(
        step=zero,
        phase=zero,
        began=zero,
        params=jax.tree.map(jnp.asarray, variables["params"]),
        batch_stats=jax.tree.map(jnp.asarray, variables["batch_stats"]),
        opt_state=(),
        ema={},
        patience=jax.tree.map(jnp.asarray, patience.init(config.checkpoint.best)),
    )
    checkpoints = Checkpoints(workdir, keep=1, metric=config.checkpoint.best)
    checkpoints.save(state, checkpoint.about_page(config, classes, None))
    checkpoints.close()
    configs.save(config, RunDir(workdir).config)  # last: without it the folder is no run


def check_free(workdir: Path) -> None:
    """Raises UserError if a folder holds anything."""
    if workdir.exists() and (workdir.is_file() or any(workdir.iterdir())):
        raise UserError(f"{workdir} is not empty: give another folder, or delete it.")
