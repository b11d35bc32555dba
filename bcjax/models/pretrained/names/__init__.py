"""The table of layouts: which libraries' names are known for which networks."""

import re
from collections.abc import Sequence

from bcjax.models.pretrained.layout import Layout, Tensors
from bcjax.models.pretrained.names import (
    alexnet_torch,
    convnext_keras,
    convnext_torch,
    efficientnet_keras,
    efficientnet_torch,
    mobilenet_v1_keras,
    mobilenet_v1_torch,
    mobilenet_v2_keras,
    mobilenet_v2_torch,
    resnet_keras,
    resnet_torch,
)

# Families, the names of their networks, and the layouts that weights for them come in; the first
# that fits.
_FAMILIES: tuple[tuple[str, str, Sequence[Layout]], ...] = (
    ("AlexNet", r"alexnet", alexnet_torch.LAYOUTS),
    ("ResNet", r"resnet\d+", (*resnet_torch.LAYOUTS, *resnet_keras.LAYOUTS)),
    ("ConvNeXt", r"convnext_\w+", (*convnext_torch.LAYOUTS, *convnext_keras.LAYOUTS)),
    (
        "EfficientNet",
        r"efficientnet_b[567]",
        (*efficientnet_torch.LAYOUTS_B5_UP, *efficientnet_keras.LAYOUTS),
    ),
    (
        "EfficientNet",
        r"efficientnet_\w+",
        (*efficientnet_torch.LAYOUTS, *efficientnet_keras.LAYOUTS),
    ),
    ("MobileNetV1", r"mobilenet_v1\w*", (*mobilenet_v1_torch.LAYOUTS, *mobilenet_v1_keras.LAYOUTS)),
    ("MobileNetV2", r"mobilenet_v2\w*", (*mobilenet_v2_torch.LAYOUTS, *mobilenet_v2_keras.LAYOUTS)),
)


def of(model: str) -> Sequence[Layout]:
    """Returns the layouts of a network, by its name; () if no library publishes weights for it."""
    return next((known for _, names, known in _FAMILIES if re.fullmatch(names, model)), ())


def best(layouts: Sequence[Layout], tensors: Tensors) -> Layout | None:
    """Returns the layout that knows most of the tensors' names; None if none knows half of them."""

    def known(layout: Layout) -> int:
        return sum(layout.place(name) is not None for name in layout.prepare(tensors))

    found = max(layouts, key=known, default=None)
    return found if found and 2 * known(found) >= len(tensors) else None


def recognised(tensors: Tensors) -> str:
    """Says whose weights the tensors seem to be, "ResNet of timm"; "" if nobody's that is known."""
    for family, _, layouts in _FAMILIES:
        if layout := best(layouts, tensors):
            return f"{family} of {layout.source}"
    return ""
