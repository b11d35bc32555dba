"""Weights without names, as inference engines keep them, in the order of a network's layers.

There is a kernel (HWIO, or IO) and a bias for each layer, with batch norm folded into the
convolutions.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from bcjax.models.pretrained import convert
from bcjax.models.pretrained.convert import Fitting, NetworkTensors
from bcjax.models.pretrained.naming import Tensors
from bcjax.runtime.errors import UserError

_NOTE = (
    "Batch norm was folded into the convolutions: each norm adds its bias and nothing else, and "
    "stays as it is in training (norm=frozen-batch)."
)


# The settings of TensorFlow's networks for ImageNet, recognised by their background class.
_TENSORFLOW = {
    "convention": "tf", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "resize": "crop",
    "crop_fraction": 0.875, "input_size": 224,
}  # fmt: skip


def settings(tensors: Tensors) -> dict[str, Any]:
    """Returns the settings that weights in the order of layers want; see `Naming.settings`."""
    outputs = list(tensors.values())[-1].shape[-1:]
    return {"norm": "frozen-batch"} | (_TENSORFLOW if outputs == (convert.BACKGROUND,) else {})


def place(
    tensors: Tensors, expected: NetworkTensors, model: str, source: str, *, keep: bool
) -> Fitting:
    """Gives arrays without names our paths, in the order in which a picture meets the layers.

    A classifier with more or fewer layers than the network's is left out, unless it is to be kept.

    Raises:
      UserError: There are more or fewer layers than in the network, or vectors of no layer.
    """
    kernels = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    biases = dict(zip(kernels, _followers(tensors, kernels), strict=True))
    if loose := [name for name in tensors if name not in {*kernels, *biases.values()}]:
        raise UserError(
            f"{source} has {len(loose)} arrays in a row that are no kernel or bias of a layer "
            f"({loose[0]}, ...): fold batch norms into their convolutions, or save all arrays "
            "under their names."
        )
    layers = [path for path in expected.shapes if path.endswith("/kernel")]
    published = _published_in_order(tensors, biases)
    fitting = Fitting(source, {}, {}, [_NOTE], [], published)
    if len(kernels) != len(layers):
        layers = [path for path in layers if not path.startswith("params/head/")]
        head = [tensors[name].shape for name in kernels[len(layers) :]]
        dense = all(len(shape) == 2 or shape[:2] == (1, 1) for shape in head)
        if keep or len(kernels) < len(layers) or not dense:
            mend = convert.network_mend(published, model)
            if head and dense:
                mend = convert.hidden_mend(tuple(shape[-1] for shape in head[:-1]))
            if len(kernels) == len(layers):
                mend = f"it has no classifier to keep: set {convert.DROP}"
            expects = sum(path.endswith("/kernel") for path in expected.shapes)
            raise UserError(
                f"{source} has {len(kernels)} layers in a row, {model} has {expects}: {mend}."
            )
        if head:
            fitting.notes.append("The classifier was dropped: a new one learns.")
    placed = dict(zip(kernels, layers, strict=False))
    turned = {
        tensors[name].transpose(2, 3, 1, 0).shape == expected.shapes[layer]
        for name, layer in placed.items()
        if tensors[name].shape != expected.shapes[layer] and tensors[name].ndim == 4
    }
    if turned == {True}:
        raise UserError(
            f"The kernels in {source} are (outputs, inputs, height, width), as PyTorch has them: "
            "turn them to (height, width, inputs, outputs), or save a state dict with its names."
        )
    for name, layer in placed.items():
        _place(fitting, tensors, layer, name)
        if bias := biases[name]:
            own = layer.replace("/kernel", "/bias")
            if own in expected.shapes:
                _place(fitting, tensors, own, bias)
            else:
                _place_norm(fitting, tensors, _norm_after(layer, expected), bias, expected)
    return fitting


def _published_in_order(tensors: Tensors, biases: Mapping[str, str]) -> str:
    """Returns the network of the table that has as many parameters; "" if there is none."""
    sizes = [
        (tensors[kernel].size, tensors[bias].size if bias else 0) for kernel, bias in biases.items()
    ]
    if not sizes:
        return ""
    *others, last = sizes
    # A folded batch norm leaves one of its two vectors.
    return convert.network_of_size(
        sum(kernel + 2 * bias for kernel, bias in others) + sum(last), *last
    )


def _followers(tensors: Tensors, kernels: list[str]) -> list[str]:
    """Returns for each kernel the name of the vector after it; "" if there is none."""
    names = list(tensors)
    behind = [names[i + 1 : i + 2] for i in map(names.index, kernels)]
    return [name[0] if name and tensors[name[0]].ndim == 1 else "" for name in behind]


def _norm_after(kernel: str, expected: NetworkTensors) -> str:
    """Returns the path of the normalisation after a convolution, such as "stem/norm"."""
    parameters = list(expected.shapes)
    behind = parameters[parameters.index(kernel) + 1]
    return str(PurePosixPath(behind).parent).removeprefix("params/")


def _place(fitting: Fitting, tensors: Tensors, path: str, name: str) -> None:
    fitting.tensors[path] = tensors[name]
    fitting.names[path] = name


def _place_norm(
    fitting: Fitting, tensors: Tensors, norm: str, bias: str, expected: NetworkTensors
) -> None:
    """Makes a norm add the bias: (x - 0) / sqrt((1 - epsilon) + epsilon) * 1 + bias."""
    _place(fitting, tensors, f"params/{norm}/bias", bias)
    one = np.ones_like(tensors[bias])
    epsilon = expected.epsilons.get(norm, 0.0)
    fitting.tensors[f"params/{norm}/scale"] = one
    fitting.tensors[f"batch_stats/{norm}/mean"] = 0 * one
    fitting.tensors[f"batch_stats/{norm}/var"] = one * np.float32(1 - epsilon)
