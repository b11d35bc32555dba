"""Weights whose names say nothing, in the order of the layers, batch norm folded into convolutions.

So inference engines keep them: a kernel (HWIO, or IO) and a bias for each layer.
"""

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from bcjax.models.pretrained.convert import BACKGROUND, Fitting
from bcjax.models.pretrained.expected import Expected
from bcjax.models.pretrained.layout import Tensors
from bcjax.runtime.errors import UserError

_NOTE = (
    "Batch norm was folded into the convolutions: each norm adds its bias and nothing else, and "
    "stays as it is in training (norm=frozen-batch)."
)


# Of TensorFlow's networks for ImageNet, known by their background class.
_TENSORFLOW = {
    "convention": "tf", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "resize": "crop",
    "crop_fraction": 0.875, "input_size": 224,
}  # fmt: skip


def settings(tensors: Tensors) -> dict[str, Any]:
    """Returns what such weights want; see `importing.SETTINGS`."""
    outputs = list(tensors.values())[-1].shape[-1:]
    return {"norm": "frozen-batch"} | (_TENSORFLOW if outputs == (BACKGROUND,) else {})


def placed(tensors: Tensors, expected: Expected, model: str, source: str) -> Fitting:
    """Gives the arrays our paths, in the order in which a picture meets the network's layers.

    Raises:
      UserError: If there are more or fewer layers than the network has.
    """
    kernels = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    biases = dict(zip(kernels, _followers(tensors, kernels), strict=True))
    layers = [path for path in expected.shapes if path.endswith("/kernel")]
    if len(kernels) != len(layers) or len(kernels) + len(set(biases.values()) - {""}) < len(
        tensors
    ):
        raise UserError(
            f"{source} has {len(kernels)} layers in a row, {model} has {len(layers)}: name the "
            "network that it was made for."
        )
    fitting = Fitting(source, {}, {}, [_NOTE], [])
    for name, layer in zip(kernels, layers, strict=True):
        _place(fitting, tensors, layer, name)
        if bias := biases[name]:
            own = layer.replace("/kernel", "/bias")
            if own in expected.shapes:
                _place(fitting, tensors, own, bias)
            else:
                _place_norm(fitting, tensors, _norm_after(layer, expected), bias, expected)
    return fitting


def _followers(tensors: Tensors, kernels: list[str]) -> list[str]:
    """For each kernel the name of the vector that stands behind it; "" where there is none."""
    names = list(tensors)
    behind = [names[i + 1 : i + 2] for i in map(names.index, kernels)]
    return [name[0] if name and tensors[name[0]].ndim == 1 else "" for name in behind]


def _norm_after(kernel: str, expected: Expected) -> str:
    """The path of the normalisation behind a convolution, "stem/norm"."""
    parameters = list(expected.shapes)
    behind = parameters[parameters.index(kernel) + 1]
    return str(PurePosixPath(behind).parent).removeprefix("params/")


def _place(fitting: Fitting, tensors: Tensors, path: str, name: str) -> None:
    fitting.tensors[path] = tensors[name]
    fitting.names[path] = name


def _place_norm(
    fitting: Fitting, tensors: Tensors, norm: str, bias: str, expected: Expected
) -> None:
    """Has a norm add the bias: (x - 0) / sqrt((1 - epsilon) + epsilon) * 1 + bias."""
    _place(fitting, tensors, f"params/{norm}/bias", bias)
    one = np.ones_like(tensors[bias])
    epsilon = expected.epsilons.get(norm, 0.0)
    fitting.tensors[f"params/{norm}/scale"] = one
    fitting.tensors[f"batch_stats/{norm}/mean"] = 0 * one
    fitting.tensors[f"batch_stats/{norm}/var"] = one * np.float32(1 - epsilon)
