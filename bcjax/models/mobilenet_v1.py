"""MobileNetV1, with any width multiplier."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.conv import Conv, Convention
from bcjax.models.entry import Entry
from bcjax.models.head import Head
from bcjax.models.mbconv import ConvNorm, depthwise_init
from bcjax.models.norm import Kind, Norm

Layer = Callable[..., Any]

# Width and blocks of each stage: Table 1 of the paper.
ROWS = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))


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
            # Keras pads an odd side at its end too, where "SAME" would pad both. It takes no
            # picture so small that a side of 1 is left to halve; that is padded as "SAME" does.
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
        x = nn.relu6(self.norm(name="depthwise_norm")(x, train))
        x = self.conv(self.width, 1, name="pointwise_conv")(x)
        return nn.relu6(self.norm(name="pointwise_norm")(x, train))


class Stage(nn.Module):
    """Blocks of one width, the first of which may halve the picture."""

    block: Layer
    width: int
    stride: int
    depth: int

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        for i in range(self.depth):
            x = self.block(self.width, self.stride if i == 0 else 1, name=f"block{i + 1}")(x, train)
        return x


class MobileNetV1(nn.Module):
    """Howard et al., MobileNets: Efficient Convolutional Neural Networks, arXiv:1704.04861.

    Attributes:
      classes: Number of logits.
      rows: Width and blocks of each stage; all but the first stage halve the picture.
      alpha: Width multiplier; widths are rounded down, to no less than 8.
      hidden: Units of the classifier's hidden layers.
      dropout: Rate before each of the classifier's layers, in [0, 1).
      norm: Kind of normalisation.
      convention: "tf", as published; "keras": that of Keras, which differs at odd sides; "torch":
        that of timm.
      epsilon: Of the normalisation; None: 1e-3 in the convention of tf, 1e-5 in that of torch.
      small_stem: A stem of stride 1, for pictures of 28 to 64 px.
      remat: Recompute each block in the backward pass instead of keeping what is inside it.
      dtype: Of the computation; parameters, statistics and logits are float32.
    """

    classes: int
    rows: tuple[tuple[int, int], ...]
    alpha: float = 1.0
    hidden: tuple[int, ...] = ()
    dropout: float = 0.001
    norm: Kind = "batch"
    convention: Convention = "tf"
    epsilon: float | None = None
    small_stem: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.head = Head(self.classes, self.hidden, self.dropout, dtype=self.dtype)

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """The pooled vector that the classifier reads, in `dtype`."""
        epsilon, momentum = (1e-5, 0.9) if self.convention == "torch" else (1e-3, 0.99)
        epsilon = epsilon if self.epsilon is None else self.epsilon
        layers: dict[str, Any] = {
            "conv": functools.partial(Conv, convention=self.convention, dtype=self.dtype),
            "norm": functools.partial(Norm, self.norm, epsilon, momentum, self.dtype),
        }
        kind = nn.remat(Separable, static_argnums=(2,)) if self.remat else Separable
        block = functools.partial(kind, convention=self.convention, **layers)
        stride = 1 if self.small_stem else 2
        stem = ConvNorm(self._widened(32), 3, stride, nn.relu6, name="stem", **layers)
        x = stem(images.astype(self.dtype), train)
        for i, (width, depth) in enumerate(self.rows):
            stride = 1 if i == 0 else 2
            stage = Stage(block, self._widened(width), stride, depth, name=f"stage{i + 1}")
            x = stage(x, train)
        return x.mean(axis=(1, 2))

    def classify(
        self, features: Float[Array, "B width"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32."""
        return self.head(features, train)

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32. `train` needs a `dropout` key where the rate is not zero."""
        return self.classify(self.features(images, train), train)

    def _widened(self, width: int) -> int:
        return max(8, int(width * self.alpha))


def _entry(alpha: float, parameters: int, macs: int) -> Entry:
    return Entry(
        functools.partial(MobileNetV1, rows=ROWS, alpha=alpha),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Howard et al., MobileNets, 2017, 1704.04861",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


ENTRIES = {
    "mobilenet_v1": _entry(1.0, 4_231_976, 568_740_352),
    "mobilenet_v1_025": _entry(0.25, 470_072, 41_030_272),
    "mobilenet_v1_050": _entry(0.5, 1_331_592, 149_497_088),
    "mobilenet_v1_075": _entry(0.75, 2_585_560, 325_400_448),
    "mobilenet_v1_100": _entry(1.0, 4_231_976, 568_740_352),
}
