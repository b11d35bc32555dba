"""How PyTorch's libraries name the tensors of the networks before ResNet.

The libraries are torchvision and timm. Layers in a Sequential are numbered, activations, pools and
dropouts among them.
"""

import functools
from collections.abc import Mapping, Sequence

from bcjax.models.pretrained.naming import IMAGENET, Naming, Tensors, torch_naming

_FLATTENED = "params/head/dense1/kernel"


def _rows_last(tensors: Tensors, *, side: int, channels: int) -> Tensors:
    """Reorders dense rows: PyTorch flattens a square map by channels, we by pixels.

    Timm keeps the dense layer as a convolution of the whole map, (side, side, channels, units).
    """
    dense = tensors.get(_FLATTENED)
    if dense is None or dense.size % (side * side * channels):
        return tensors
    if dense.ndim == 2 and len(dense) == side * side * channels:
        dense = dense.reshape(channels, side, side, -1).transpose(1, 2, 0, 3)
    if dense.shape[:3] != (side, side, channels):
        return tensors
    return {**tensors, _FLATTENED: dense.reshape(side * side * channels, -1)}


ALEXNET = (
    torch_naming(
        "torchvision",
        {
            "features.0": "stage1/conv",
            "features.3": "stage2/conv",
            "features.6": "stage3/conv",
            "features.8": "stage4/conv",
            "features.10": "stage5/conv",
            "classifier.1": "head/dense1",
            "classifier.4": "head/dense2",
            "classifier.6": "head/logits",
        },
        finish=functools.partial(_rows_last, side=6, channels=256),
    ),
)


def vgg(depths: Sequence[int], *, normalised: bool) -> tuple[Naming, ...]:
    """Returns the namings of a VGG.

    Args:
      depths: The number of convolutions in each stage.
      normalised: Whether there is a batch norm behind each of them.
    """
    return tuple(
        torch_naming(
            source,
            {**_vgg_features(depths, normalised), **head},
            finish=functools.partial(_rows_last, side=7, channels=512),
        )
        for source, head in _VGG_HEADS.items()
    )


_VGG_HEADS = {
    "torchvision": {
        "classifier.0": "head/dense1",
        "classifier.3": "head/dense2",
        "classifier.6": "head/logits",
    },
    "timm": {
        "pre_logits.fc1": "head/dense1",
        "pre_logits.fc2": "head/dense2",
        "head.fc": "head/logits",
    },
}


def _vgg_features(depths: Sequence[int], normalised: bool) -> Mapping[str, str]:
    names, at = {}, 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            names[f"features.{at}"] = f"stage{stage}/conv{i}"
            if normalised:
                names[f"features.{at + 1}"] = f"stage{stage}/norm{i}"
            at += 3 if normalised else 2
        at += 1  # the pool
    return names


_GOOGLENET_UNITS = {
    "conv1": "stem/unit1",
    "conv2": "stem/unit2",
    "conv3": "stem/unit3",
    "inception{stage:3}{block:a}.branch1": "stage{stage}/block{block}/branch1",
    "inception{stage:3}{block:a}.branch2.0": "stage{stage}/block{block}/reduce2",
    "inception{stage:3}{block:a}.branch2.1": "stage{stage}/block{block}/branch2",
    "inception{stage:3}{block:a}.branch3.0": "stage{stage}/block{block}/reduce3",
    "inception{stage:3}{block:a}.branch3.1": "stage{stage}/block{block}/branch3",
    "inception{stage:3}{block:a}.branch4.1": "stage{stage}/block{block}/branch4",
}

GOOGLENET = (
    torch_naming(
        "torchvision",
        {f"{theirs}.conv": f"{ours}/conv" for theirs, ours in _GOOGLENET_UNITS.items()}
        | {f"{theirs}.bn": f"{ours}/norm" for theirs, ours in _GOOGLENET_UNITS.items()}
        | {"fc": "head/logits", "aux{rest:*}": ""},
        # Its weights were made by Google: torchvision's "transform_input" gives them these.
        settings={**IMAGENET, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)
