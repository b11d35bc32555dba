"""A network without its run, in the layout of Hugging Face: model.safetensors and config.json.

The folder is what `bcjax export --format=safetensors` writes. `bcjax.load` and `model.weights` read
it as they read the folder of a run: it has one checkpoint, whose step config.json names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bcjax.config import ImageSize
from bcjax.engine.state import Variables
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

FILE = "model.safetensors"
_OURS = "bcjax"  # the key of config.json that holds what is not Hugging Face's


def is_here(folder: Path) -> bool:
    """Whether a folder holds a published network of bcjax, and no run."""
    run = RunDir(folder)
    if run.checkpoints.exists() or not ((folder / FILE).exists() and run.config.exists()):
        return False
    return _OURS in files.read_json(run.config)


def write(
    folder: Path, config: ConfigDict, classes: tuple[str, ...], variables: Variables, step: int
) -> None:
    """Writes a network.

    Args:
      folder: An empty folder.
      config: The config that it was trained with.
      classes: The class names, in the order of the logits.
      variables: Its parameters and batch statistics.
      step: The checkpoint's step.
    """
    size = ImageSize.of(config.data.image_size)
    tensors = traverse_util.flatten_dict(dict(jax.device_get(variables)), sep="/")
    save_file({name: np.ascontiguousarray(each) for name, each in tensors.items()}, folder / FILE)
    page = {
        "architectures": [config.model.name],
        "model_type": "bcjax",
        "image_size": size.height if size.height == size.width else [size.height, size.width],
        "num_channels": config.model.channels,
        "id2label": {str(place): name for place, name in enumerate(classes)},
        "label2id": {name: place for place, name in enumerate(classes)},
        _OURS: {"step": step, "config": config.to_dict()},
    }
    files.write_json(RunDir(folder).config, page, default=list)


def step(folder: Path) -> int:
    """Returns the step of the checkpoint that was published."""
    return int(files.read_json(RunDir(folder).config)[_OURS]["step"])


def classes(folder: Path) -> tuple[str, ...]:
    """Returns the class names, in the order of the logits."""
    names: Mapping[str, str] = files.read_json(RunDir(folder).config)["id2label"]
    return tuple(names[key] for key in sorted(names, key=int))


def read(folder: Path, shapes: Variables) -> Variables:
    """Reads parameters and batch statistics.

    Args:
      folder: The folder.
      shapes: What the network has, as shapes with dtypes and shardings.

    Raises:
      UserError: If the file is not whole, holds other arrays, or one is not finite.
    """
    path = folder / FILE
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not whole ({error}): fetch or export it again.") from error
    wanted = traverse_util.flatten_dict(dict(shapes), sep="/")
    for name in sorted(wanted.keys() | tensors.keys()):
        there, here = _shape(tensors.get(name)), _shape(wanted.get(name))
        if there != here:
            raise UserError(
                f"{path} holds another network than {RunDir(folder).config} describes: {name} is "
                f"{there} in it, not {here}. Export it again."
            )
        if not np.isfinite(tensors[name]).all():
            raise UserError(f"{path} is of a network that diverged, for {name} is not finite.")
    placed = {
        name: jax.device_put(tensors[name].astype(leaf.dtype), leaf.sharding)
        for name, leaf in wanted.items()
    }
    return traverse_util.unflatten_dict(placed, sep="/")


def _shape(array: Any) -> str:
    return "missing" if array is None else f"of shape {tuple(array.shape)}"
