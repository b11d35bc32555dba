"""The table of families: which libraries publish weights for which networks."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from bcjax.models import vgg
from bcjax.models.pretrained import keras_names, torch_names, torch_plain_names
from bcjax.models.pretrained.naming import Naming, Tensors


class Family(NamedTuple):
    """A family of networks for which libraries publish weights.

    Attributes:
      name: The name of the family.
      networks: A regular expression for the names of its networks in the table.
      namings: How libraries name the tensors; of two that fit equally well, the first counts.
    """

    name: str
    networks: str
    namings: Sequence[Naming]


# The first family whose expression matches a network's name counts.
FAMILIES = (
    Family("AlexNet", r"alexnet", torch_plain_names.ALEXNET),
    *(
        Family(
            "VGG",
            f"vgg{layers}{'_bn' * normalised}",
            (
                *torch_plain_names.vgg(depths, normalised=normalised),
                *([] if normalised else keras_names.VGG),
            ),
        )
        for layers, depths in vgg.DEPTHS.items()
        for normalised in (False, True)
    ),
    Family("GoogLeNet", r"googlenet", torch_plain_names.GOOGLENET),
    Family("ViT", r"vit_\w+", torch_names.VIT),
    Family("ResNet", r"resnet\d+", (*torch_names.RESNET, *keras_names.RESNET)),
    Family("ConvNeXt", r"convnext_\w+", (*torch_names.CONVNEXT, *keras_names.CONVNEXT)),
    Family(
        "EfficientNet",
        r"efficientnet_b[567]",
        (*torch_names.EFFICIENTNET_B5_UP, *keras_names.EFFICIENTNET),
    ),
    Family(
        "EfficientNet", r"efficientnet_\w+", (*torch_names.EFFICIENTNET, *keras_names.EFFICIENTNET)
    ),
    Family(
        "MobileNetV1", r"mobilenet_v1\w*", (*torch_names.MOBILENET_V1, *keras_names.MOBILENET_V1)
    ),
    Family(
        "MobileNetV2", r"mobilenet_v2\w*", (*torch_names.MOBILENET_V2, *keras_names.MOBILENET_V2)
    ),
)


def namings(model: str) -> Sequence[Naming]:
    """Returns the namings for a network, by its name; () if no library publishes its weights."""
    return next((f.namings for f in FAMILIES if re.fullmatch(f.networks, model)), ())


def best(namings: Sequence[Naming], tensors: Tensors) -> Naming | None:
    """Returns the naming that knows most of the tensors; None if none knows half of them."""

    def known(naming: Naming) -> int:
        return sum(naming.place(name) is not None for name in naming.prepare(tensors))

    found = max(namings, key=known, default=None)
    return found if found and 2 * known(found) >= len(tensors) else None


def recognised(tensors: Tensors) -> str:
    """Returns whose weights the tensors seem to be, such as "ResNet of timm"; "" if unknown."""
    for family in FAMILIES:
        if naming := best(family.namings, tensors):
            return f"{family.name} of {naming.source}"
    return ""
