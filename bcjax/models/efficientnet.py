"""EfficientNet B0 to B7 and lite0 to lite4, and two small ones that were made for blood cells."""

import dataclasses
import functools
import math

from flax import linen as nn

from bcjax.models.layers import Convention
from bcjax.models.mbconv import MBConvLayout, MBConvNet, MBConvRow
from bcjax.models.network import IMAGENET_MEAN, IMAGENET_STD, NetworkInfo

# Table 1 of the paper.
B0 = MBConvLayout(
    rows=(
        MBConvRow(expansion=1, width=16, depth=1, stride=1),
        MBConvRow(expansion=6, width=24, depth=2, stride=2),
        MBConvRow(expansion=6, width=40, depth=2, stride=2, size=5),
        MBConvRow(expansion=6, width=80, depth=3, stride=2),
        MBConvRow(expansion=6, width=112, depth=3, stride=1, size=5),
        MBConvRow(expansion=6, width=192, depth=4, stride=2, size=5),
        MBConvRow(expansion=6, width=320, depth=1, stride=1),
    ),
    activation=nn.silu,
    squeeze=(1, 2, 3, 4, 5, 6, 7),
)

# Without the parts that are slow on phones and microcontrollers.
LITE0 = dataclasses.replace(B0, activation=nn.relu6, squeeze=(), fixed_ends=True)


# DeepEfficientNet was published for blood cells, in outline: the stem, the expansions, widths and
# depths, squeeze-and-excitation in the last two stages and to a quarter, both rates, and that the
# classifier reads the 80 channels of the last stage. The kernels are those of B0's first stages. It
# has 306,010 parameters for 8 classes. 1.84 million were published, six times as many: what was
# published of the layout leaves no place for the rest.
DEEP = MBConvLayout(
    rows=(
        MBConvRow(expansion=1, width=16, depth=1, stride=1),
        MBConvRow(expansion=6, width=24, depth=2, stride=2),
        MBConvRow(expansion=6, width=40, depth=2, stride=2, size=5),
        MBConvRow(expansion=6, width=80, depth=3, stride=2),
    ),
    activation=nn.silu,
    squeeze=(3, 4),
    top=0,
)

# EfficientNetLite, of the same work: published are inverted residuals without attention, the widths
# 16, 24, 40, 80, 112, ... and 0.55 million parameters for 8 classes. The five stages, their depths
# and kernels, chosen to give 550,632 parameters, and the ReLU6 of Google's lite are our choice.
CELL_LITE = MBConvLayout(
    rows=(
        MBConvRow(expansion=1, width=16, depth=1, stride=1),
        MBConvRow(expansion=6, width=24, depth=2, stride=2),
        MBConvRow(expansion=6, width=40, depth=2, stride=2, size=5),
        MBConvRow(expansion=6, width=80, depth=3, stride=2, size=5),
        MBConvRow(expansion=6, width=112, depth=2, stride=1, size=5),
    ),
    activation=nn.relu6,
    top=0,
)


class CellEfficientNet(MBConvNet, kw_only=True):
    """A network that was made for blood cells, in PyTorch, and is taken apart in experiments.

    Attributes:
      squeeze: The stages whose blocks have squeeze-and-excitation, counted from 1; None: those of
        the layout.
      kernel_size: The side of all depthwise kernels, odd; None: as in the layout.
    """

    convention: Convention = "torch"
    squeeze: tuple[int, ...] | None = None
    kernel_size: int | None = None

    def own_layout(self) -> MBConvLayout:
        rows, squeeze = self.layout.rows, self.squeeze
        if self.kernel_size:
            rows = tuple(dataclasses.replace(row, size=self.kernel_size) for row in rows)
        squeeze = self.layout.squeeze if squeeze is None else squeeze
        return dataclasses.replace(self.layout, rows=rows, squeeze=squeeze)


def deepened(layout: MBConvLayout, depth: float) -> MBConvLayout:
    """Returns the layout with `depth` times as many blocks, rounded up; fixed ends keep theirs."""
    first, *between, last = (
        dataclasses.replace(row, depth=math.ceil(row.depth * depth)) for row in layout.rows
    )
    if layout.fixed_ends:
        first, last = layout.rows[0], layout.rows[-1]
    return dataclasses.replace(layout, rows=(first, *between, last))


def _info(
    width: float,
    depth: float,
    size: int,
    dropout: float,
    parameters: int,
    macs: int,
    lite: bool = False,
) -> NetworkInfo:
    """Describes one compound scaling: multipliers of width and depth, and the pictures' side."""
    layout = deepened(LITE0 if lite else B0, depth)
    return NetworkInfo(
        functools.partial(MBConvNet, layout=layout, alpha=width, dropout=dropout, drop_path=0.2),
        input_size=size,
        parameters=parameters,
        macs=macs,
        stages=layout.stages,
        paper="Tan and Le, EfficientNet: Rethinking Model Scaling, ICML 2019, 1905.11946",
        mean=(127 / 255,) * 3 if lite else IMAGENET_MEAN,
        std=(128 / 255,) * 3 if lite else IMAGENET_STD,
    )


def _cell_info(
    layout: MBConvLayout, dropout: float, drop_path: float, parameters: int, macs: int
) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(CellEfficientNet, layout=layout, dropout=dropout, drop_path=drop_path),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=layout.stages,
        paper="Sharif, perfect-cell-classification, 2025, after Tan and Le, 1905.11946",
    )


NETWORKS = {
    "efficientnet_b0": _info(1.0, 1.0, 224, 0.2, 5_288_548, 385_814_752),
    "efficientnet_b1": _info(1.0, 1.1, 240, 0.2, 7_794_184, 686_802_832),
    "efficientnet_b2": _info(1.1, 1.2, 260, 0.3, 9_109_994, 993_561_872),
    "efficientnet_b3": _info(1.2, 1.4, 300, 0.3, 12_233_232, 1_827_141_392),
    "efficientnet_b4": _info(1.4, 1.8, 380, 0.4, 19_341_616, 4_393_771_024),
    "efficientnet_b5": _info(1.6, 2.2, 456, 0.4, 30_389_784, 10_266_384_752),
    "efficientnet_b6": _info(1.8, 2.6, 528, 0.5, 43_040_704, 19_067_593_536),
    "efficientnet_b7": _info(2.0, 3.1, 600, 0.5, 66_347_960, 37_745_884_192),
    "efficientnet_lite0": _info(1.0, 1.0, 224, 0.2, 4_652_008, 385_187_552, lite=True),
    "efficientnet_lite1": _info(1.0, 1.1, 240, 0.2, 5_416_680, 600_185_232, lite=True),
    "efficientnet_lite2": _info(1.1, 1.2, 260, 0.3, 6_092_072, 859_736_272, lite=True),
    "efficientnet_lite3": _info(1.2, 1.4, 280, 0.3, 8_197_096, 1_383_321_872, lite=True),
    "efficientnet_lite4": _info(1.4, 1.8, 300, 0.3, 13_006_568, 2_553_034_336, lite=True),
    "deep_efficientnet": _cell_info(DEEP, 0.3, 0.2, 386_362, 157_390_720),
    "cell_efficientnet_lite": _cell_info(CELL_LITE, 0.2, 0.0, 662_728, 214_347_840),
}
