"""MobileNetV1 and MobileNetV2, with any width multiplier."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models.layers import Convention, Stage
from bcjax.models.mbconv import (
    ConvNorm,
    MBConvLayout,
    MBConvNet,
    MBConvRow,
    convention_layers,
    depthwise_init,
)
from bcjax.models.network import NetworkInfo, StagedClassifier
from bcjax.models.norm import NormKind

Layer = Callable[..., Any]

# The width and the number of blocks of each stage: Table 1 of MobileNetV1's paper.
V1_ROWS = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))


class Separable(nn.Module):
    """A depthwise 3x3 and a 1x1 convolution, each with its normalisation and ReLU6."""

    width: int
    stride: int
    conv: Layer
    norm: Layer
    convention: Convention

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        inputs, padding = x.shape[-1], None
        if self.stride > 1 and self.convention == "keras":
            # Keras pads an odd side at its end alone, where "SAME" would pad both ends. It takes no
            # picture so small that a side of 1 is left to halve; here that is padded as "SAME".
            edges = [(0 if side > 1 else 1, 1) for side in x.shape[1:3]]
            x, padding = jnp.pad(x, ((0, 0), *edges, (0, 0))), 0
        x = self.conv(
            inputs,
            3,
            self.stride,
            groups=inputs,
            padding=padding,
            kernel_init=depthwise_init,
            name="depthwise_conv",
        )(x)
        x = self.norm(activation=nn.relu6, name="depthwise_norm")(x, train)
        x = self.conv(self.width, 1, name="pointwise_conv")(x)
        return self.norm(activation=nn.relu6, name="pointwise_norm")(x, train)


class MobileNetV1(StagedClassifier, kw_only=True):
    """Howard et al., MobileNets: Efficient Convolutional Neural Networks, arXiv:1704.04861.

    A small stem has stride 1, not 2.

    Attributes:
      rows: The width and the number of blocks of each stage; all but the first halve the picture.
      alpha: The width multiplier; widths are rounded down, but to no less than 8.
      norm: The kind of normalisation.
      convention: "tf" for the published arithmetic; "keras" for that of Keras, which differs at odd
        sides; "torch" for that of timm.
      epsilon: The number added to the variance; None: 1e-3 in the convention of tf, 1e-5 in that of
        torch.
    """

    rows: tuple[tuple[int, int], ...]
    alpha: float = 1.0
    dropout: float = 0.001
    norm: NormKind = "batch"
    convention: Convention = "tf"
    epsilon: float | None = None

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """Returns the pooled vector that the classifier reads, in `dtype`."""
        layers = convention_layers(self.convention, self.norm, self.epsilon, self.dtype)
        kind = nn.remat(Separable, static_argnums=(2,)) if self.remat else Separable
        block = functools.partial(kind, convention=self.convention, **layers)
        stride = 1 if self.small_stem else 2
        stem = ConvNorm(self._widened(32), 3, stride, nn.relu6, name="stem", **layers)
        x = stem(images.astype(self.dtype), train)
        for i, (width, depth) in enumerate(self.rows):
            strides = (1 if i == 0 else 2, *[1] * (depth - 1))
            blocks = [functools.partial(block, self._widened(width), stride) for stride in strides]
            x = Stage(blocks, name=f"stage{i + 1}")(x, train)
        return x.mean(axis=(1, 2))

    def _widened(self, width: int) -> int:
        return max(8, int(width * self.alpha))


def _v1_info(alpha: float, parameters: int, macs: int) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(MobileNetV1, rows=V1_ROWS, alpha=alpha),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Howard et al., MobileNets, 2017, 1704.04861",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


# Table 2 of MobileNetV2's paper. Its momentum of batch norm, 0.997, suits runs of a million steps;
# ours is EfficientNet's.
V2 = MBConvLayout(
    rows=(
        MBConvRow(expansion=1, width=16, depth=1, stride=1),
        MBConvRow(expansion=6, width=24, depth=2, stride=2),
        MBConvRow(expansion=6, width=32, depth=3, stride=2),
        MBConvRow(expansion=6, width=64, depth=4, stride=2),
        MBConvRow(expansion=6, width=96, depth=3, stride=1),
        MBConvRow(expansion=6, width=160, depth=3, stride=2),
        MBConvRow(expansion=6, width=320, depth=1, stride=1),
    ),
    activation=nn.relu6,
)


def _v2_info(alpha: float, parameters: int, macs: int) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(MBConvNet, layout=V2, alpha=alpha),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=V2.stages,
        paper="Sandler et al., MobileNetV2: Inverted Residuals, CVPR 2018, 1801.04381",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


NETWORKS = {
    "mobilenet_v1": _v1_info(1.0, 4_231_976, 568_740_352),
    "mobilenet_v1_025": _v1_info(0.25, 470_072, 41_030_272),
    "mobilenet_v1_050": _v1_info(0.5, 1_331_592, 149_497_088),
    "mobilenet_v1_075": _v1_info(0.75, 2_585_560, 325_400_448),
    "mobilenet_v1_100": _v1_info(1.0, 4_231_976, 568_740_352),
    "mobilenet_v2": _v2_info(1.0, 3_504_872, 300_774_272),
    "mobilenet_v2_035": _v2_info(0.35, 1_677_128, 59_285_808),
    "mobilenet_v2_050": _v2_info(0.5, 1_968_680, 97_131_840),
    "mobilenet_v2_075": _v2_info(0.75, 2_636_424, 209_069_792),
    "mobilenet_v2_100": _v2_info(1.0, 3_504_872, 300_774_272),
    "mobilenet_v2_130": _v2_info(1.3, 5_386_792, 509_374_560),
    "mobilenet_v2_140": _v2_info(1.4, 6_108_776, 582_195_824),
}
