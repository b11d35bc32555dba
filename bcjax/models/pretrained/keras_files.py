"""Reads what Keras saved, using h5py alone and without building anything that a file describes.

Three kinds of file, all HDF5 inside:

- `.weights.h5`: layers/conv2d_3/vars/0. Layers are named by class and number, variables by number;
  the layer's own name is an attribute since Keras 3.6, and missing before.
- `.keras`: a zip of such a file and of config.json, which has the names in every version.
- `.h5`, legacy: conv1_conv/conv1_conv/kernel:0, or the same inside a group `model_weights`.
"""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np

from bcjax.models.pretrained.naming import Tensors
from bcjax.runtime.errors import UserError

_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"  # inside a `.keras`

# The order in which Keras 3 numbers the variables of a layer, by class.
_VARIABLES = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "layer_normalization": ("gamma", "beta"),
    "layer_scale": ("gamma",),
    "normalization": ("mean", "variance", "count"),
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
}

# Other names in TensorFlow and Keras for the depthwise kernel, and for what has no name.
_RENAMED = {"depthwise_kernel": "kernel", "Variable": "gamma", "variable": "gamma"}


def read(path: Path) -> Tensors:
    """Reads the variables of a model's layers.

    Returns:
      The variables by layer and name, such as "conv1_conv/kernel", whatever model the layer is
      nested in. A layer that the file does not name is called by its place, such as
      "layers/functional/layers/conv2d_3/kernel".

    Raises:
      UserError: The file is not from Keras 2 or 3, is not whole, or keeps its numbers elsewhere.
    """
    names: Mapping[str, str] = {}
    source: Path | io.BytesIO = path
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = dict(_names(json.loads(archive.read(_CONFIG)), ""))
                source = io.BytesIO(archive.read(_WEIGHTS))
        with h5py.File(source, "r") as file:
            root = file.get("model_weights", file)
            legacy = any(name.startswith("layer_names") for name in root.attrs)
            tensors = dict(_legacy(root, path) if legacy else _keras3(file, names, path))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a .keras archive that bcjax knows ({error.args[0]}): "
            "save the weights with model.save_weights('name.weights.h5')."
        ) from error
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise UserError(f"{path} is not a whole file of Keras: fetch or save it again.") from error
    if not tensors:
        raise UserError(
            f"{path} is HDF5, but holds no layers as Keras 2 and 3 save them: "
            "save the weights with model.save_weights('name.weights.h5')."
        )
    return tensors


def _keras3(
    file: h5py.File, names: Mapping[str, str], path: Path
) -> Iterator[tuple[str, np.ndarray]]:
    layers: dict[str, dict[str, h5py.Dataset]] = {}
    for at, dataset in _datasets(file):
        # Besides the layers of models there are the optimizer and the seeds of dropouts.
        place = at.replace("_layer_checkpoint_dependencies/", "layers/")  # TensorFlow 2.13
        if found := re.fullmatch(r"((?:.*/)?layers/[^/]+)/vars/(\d+)", place):
            layers.setdefault(found[1], {})[found[2]] = dataset
    for place, variables in layers.items():
        name = next(iter(variables.values())).parent.attrs.get("name", names.get(place, place))
        kind = re.sub(r"_\d+$", "", place.rpartition("/")[2])
        known = _VARIABLES.get(kind, ())
        for number, dataset in variables.items():
            # An unusual layer, such as a batch norm without gamma, keeps the numbers as names.
            whole = len(variables) in ({1, 2} if known[:1] == ("kernel",) else {len(known)})
            yield f"{name}/{known[int(number)] if whole else number}", _array(dataset, path)


def _names(model: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yields the place in the file and the name of each layer of a model's config."""
    count: Counter[str] = Counter()
    for layer in model["config"].get("layers", []):
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", layer["class_name"])
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        place = f"{path}layers/{kind}_{count[kind]}".removesuffix("_0")
        count[kind] += 1
        yield place, layer["config"]["name"]
        yield from _names(layer, f"{place}/")


def _legacy(root: h5py.Group, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    for layer, group in root.items():
        datasets = [(*at.rpartition("/"), dataset) for at, dataset in _datasets(group)]
        # A model inside the model has a group of its own, with its layers in it.
        nested = len({above for above, *_ in datasets}) > 1
        for above, _, variable, dataset in datasets:
            name = above.rpartition("/")[2] if nested else layer
            variable = re.sub(r"(_\d+)?(:0)?$", "", variable)
            yield f"{name}/{_RENAMED.get(variable, variable)}", _array(dataset, path)


def _datasets(group: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    """Returns all arrays in a group; links, which may lead out of the file, are not followed."""
    found: list[tuple[str, h5py.Dataset]] = []
    group.visititems(lambda at, o: found.append((at, o)) if isinstance(o, h5py.Dataset) else None)
    return found


def _array(dataset: h5py.Dataset, path: Path) -> np.ndarray:
    """Reads an array, float32 if it is bfloat16, which HDF5 does not know."""
    if dataset.external or dataset.is_virtual:
        raise UserError(f"{path} keeps {dataset.name} in another file: save all of it in one.")
    array = np.asarray(dataset)
    if dataset.attrs.get("dtype") == "bfloat16":
        return array.view(ml_dtypes.bfloat16).astype(np.float32)
    return array
