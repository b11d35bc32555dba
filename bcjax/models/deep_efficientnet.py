"""Two small EfficientNets that were published for blood cells, one of them only in outline.

DeepEfficientNet: published are the stem, the expansions, widths and depths, the squeeze to a
quarter, both rates, and that the classifier reads the 80 channels of the last stage; 3x3 kernels
are ours. It has 303,164 parameters for 8 classes: the published 1.84 million belong to no layout
that was published.

EfficientNetLite, of the same work: published are inverted residuals without attention, the widths
16, 24, 40, 80, 112, ... and 0.55 million parameters for 8 classes. Ours are the five stages, their
depths and kernels, chosen to have 550,632, and Google's lite's ReLU6.
"""

import functools

from flax import linen as nn

from bcjax.models.entry import Entry
from bcjax.models.mbconv_net import Layout, MBConvNet, Row

DEEP = Layout(
    rows=(
        Row(expansion=1, width=16, depth=1, stride=1),
        Row(expansion=6, width=24, depth=2, stride=2),
        Row(expansion=6, width=40, depth=2, stride=2),
        Row(expansion=6, width=80, depth=3, stride=2),
    ),
    activation=nn.silu,
    squeeze=True,
    top=0,
)

LITE = Layout(
    rows=(
        Row(expansion=1, width=16, depth=1, stride=1),
        Row(expansion=6, width=24, depth=2, stride=2),
        Row(expansion=6, width=40, depth=2, stride=2, size=5),
        Row(expansion=6, width=80, depth=3, stride=2, size=5),
        Row(expansion=6, width=112, depth=2, stride=1, size=5),
    ),
    activation=nn.relu6,
    squeeze=False,
    top=0,
)


def _entry(layout: Layout, dropout: float, drop_path: float, parameters: int, macs: int) -> Entry:
    return Entry(
        functools.partial(MBConvNet, layout=layout, dropout=dropout, drop_path=drop_path),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=layout.stages,
        paper="Sharif, perfect-cell-classification, 2025, after Tan and Le, 1905.11946",
    )


ENTRIES = {
    "deep_efficientnet": _entry(DEEP, 0.3, 0.2, 383_516, 152_576_832),
    "cell_efficientnet_lite": _entry(LITE, 0.2, 0.0, 662_728, 214_347_840),
}
