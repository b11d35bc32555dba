"""MobileNetV2, with any width multiplier."""

import functools

from flax import linen as nn

from bcjax.models.entry import Entry
from bcjax.models.mbconv_net import Layout, MBConvNet, Row

# Table 2 of the paper. Its batch norm's momentum, 0.997, is that of runs of a million steps; ours
# is EfficientNet's.
LAYOUT = Layout(
    rows=(
        Row(expansion=1, width=16, depth=1, stride=1),
        Row(expansion=6, width=24, depth=2, stride=2),
        Row(expansion=6, width=32, depth=3, stride=2),
        Row(expansion=6, width=64, depth=4, stride=2),
        Row(expansion=6, width=96, depth=3, stride=1),
        Row(expansion=6, width=160, depth=3, stride=2),
        Row(expansion=6, width=320, depth=1, stride=1),
    ),
    activation=nn.relu6,
    squeeze=False,
)


def _entry(alpha: float, parameters: int, macs: int) -> Entry:
    return Entry(
        functools.partial(MBConvNet, layout=LAYOUT, alpha=alpha),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=LAYOUT.stages,
        paper="Sandler et al., MobileNetV2: Inverted Residuals, CVPR 2018, 1801.04381",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


ENTRIES = {
    "mobilenet_v2": _entry(1.0, 3_504_872, 300_774_272),
    "mobilenet_v2_035": _entry(0.35, 1_677_128, 59_285_808),
    "mobilenet_v2_050": _entry(0.5, 1_968_680, 97_131_840),
    "mobilenet_v2_075": _entry(0.75, 2_636_424, 209_069_792),
    "mobilenet_v2_100": _entry(1.0, 3_504_872, 300_774_272),
    "mobilenet_v2_130": _entry(1.3, 5_386_792, 509_374_560),
    "mobilenet_v2_140": _entry(1.4, 6_108_776, 582_195_824),
}
