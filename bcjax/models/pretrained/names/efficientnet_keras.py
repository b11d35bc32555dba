"""EfficientNet's variables in Keras applications."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bcjax.models.efficientnet import B0, deepened
from bcjax.models.network import IMAGENET_STD
from bcjax.models.pretrained.layout import Tensors, unneeded
from bcjax.models.pretrained.names.keras import application, layer

_NORMALISATION = r".*normalization(_\d+)?/(mean|variance|count)"

_PARTS = {
    "expand_conv": "expand_conv",
    "expand_bn": "expand_norm",
    "dwconv": "depthwise_conv",
    "bn": "depthwise_norm",
    "se_reduce": "se/reduce",
    "se_expand": "se/expand",
    "project_conv": "project_conv",
    "project_bn": "project_norm",
}


def _part(stage: int, block: str, part: str) -> str:
    return f"stage{stage}/block{ord(block) - ord('a') + 1}/{_PARTS[part]}"


def _layers(*depths: int) -> Iterator[tuple[str, str]]:
    names = ["stem_conv", "stem_bn"]
    for i, depth in enumerate(depths, 1):
        # Nothing is expanded in the first stage.
        parts = [part for part in _PARTS if i > 1 or not part.startswith("expand")]
        names += [f"block{i}{chr(ord('a') + j)}_{part}" for j in range(depth) for part in parts]
    for name in [*names, "top_conv", "top_bn"]:
        norm, depthwise = name.endswith("bn"), name.endswith("dwconv")
        kind = "batch_normalization" if norm else "depthwise_conv2d" if depthwise else "conv2d"
        yield kind, name


_DEPTHS = [
    [row.depth for row in deepened(B0, factor).rows]
    for factor in (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)
]


def _normalisation(tensors: Tensors) -> Mapping[str, Any]:
    """Reads mean and deviation of the layer that normalises, if they are not ImageNet's."""
    found = {
        name.rpartition("/")[2]: tensor.ravel().astype(float)
        for name, tensor in tensors.items()
        if re.fullmatch(_NORMALISATION, name)
    }
    # ImageNet's weights have the deviation where the variance belongs, and a layer that corrects
    # it: https://github.com/tensorflow/tensorflow/issues/49930.
    if not {"mean", "variance"} <= found.keys():
        return {}
    if np.allclose(found["variance"], IMAGENET_STD, atol=1e-3):
        return {}
    std = np.maximum(np.sqrt(found["variance"]), 1e-7)
    return {"mean": tuple(found["mean"].tolist()), "std": tuple(std.tolist())}


LAYOUTS = (
    application(
        rules=(
            layer("stem_conv", "stem/conv"),
            layer("stem_bn", "stem/norm"),
            layer(rf"block(\d)([a-z])_({'|'.join(_PARTS)})", _part),
            layer("top_conv", "top/conv"),
            layer("top_bn", "top/norm"),
            unneeded(_NORMALISATION),
        ),
        networks=(_layers(*depths) for depths in _DEPTHS),
        settings_in=_normalisation,
    ),
)
