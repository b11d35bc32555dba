"""Networks made of inverted residual blocks; a layout tells one from another."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.conv import Conv, Convention
from bcjax.models.head import Head
from bcjax.models.mbconv import ConvNorm, MBConv
from bcjax.models.norm import Kind, Norm
from bcjax.models.resnet import Stage


@dataclasses.dataclass(frozen=True)
class Row:
    """One stage, as the papers' tables list it.

    Attributes:
      expansion: Of each block's input channels.
      width: Output channels of each block.
      depth: Number of blocks.
      stride: Of the first block.
      size: Side of the depthwise kernels.
    """

    expansion: int
    width: int
    depth: int
    stride: int
    size: int = 3


@dataclasses.dataclass(frozen=True)
class Layout:
    """What was published about a network.

    Attributes:
      rows: Its stages.
      activation: After every convolution but the last of a block.
      squeeze: Whether the blocks have squeeze-and-excitation.
      stem: Output channels of the first convolution.
      top: Output channels of the last convolution, 1x1; 0: there is none.
      fixed_ends: Whether multipliers leave alone stem, top, and the depths of first and last row.
    """

    rows: tuple[Row, ...]
    activation: Callable[[Array], Array]
    squeeze: bool
    stem: int = 32
    top: int = 1280
    fixed_ends: bool = False

    @property
    def stages(self) -> tuple[str, ...]:
        """Top-level names of the network's parameters."""
        rows = (f"stage{i + 1}" for i in range(len(self.rows)))
        return ("stem", *rows, *(["top"] if self.top else []), "head")

    def widened(self, alpha: float) -> "Layout":
        """Every width times `alpha`, made divisible by 8; the top is never narrowed."""
        rows = (
            dataclasses.replace(row, width=make_divisible(row.width * alpha)) for row in self.rows
        )
        wider = dataclasses.replace(self, rows=tuple(rows))
        if self.fixed_ends:
            return wider
        stem, top = make_divisible(self.stem * alpha), make_divisible(self.top * alpha)
        return dataclasses.replace(wider, stem=stem, top=max(self.top, top) if self.top else 0)


def make_divisible(width: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `width`, never less than nine tenths of it."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * width else nearest + divisor


class MBConvNet(nn.Module):
    """A stem, stages of inverted residual blocks and a 1x1 convolution on top.

    Attributes:
      classes: Number of logits.
      layout: What was published.
      alpha: Multiplies the layout's widths.
      hidden: Units of the classifier's hidden layers.
      dropout: Rate before each of the classifier's layers, in [0, 1).
      drop_path: Rate that a block after the last would have, in [0, 1); from 0 at the first it
        rises linearly.
      norm: Kind of normalisation.
      convention: "tf", as published: Keras's arithmetic; "torch": that of timm and torchvision.
      epsilon: Of the normalisation; None: 1e-3 in the convention of tf, 1e-5 in that of torch.
        Torchvision's EfficientNet-B5 to B7 have 1e-3 too.
      small_stem: A stem of stride 1, for pictures of 28 to 64 px.
      remat: Recompute each block in the backward pass instead of keeping what is inside it.
      dtype: Of the computation; parameters, statistics and logits are float32.
    """

    classes: int
    layout: Layout
    alpha: float = 1.0
    hidden: tuple[int, ...] = ()
    dropout: float = 0.2
    drop_path: float = 0.0
    norm: Kind = "batch"
    convention: Convention = "tf"
    epsilon: float | None = None
    small_stem: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        # Its kernel starts as linen's do. The published one, a variance of 1 / (3 classes), is
        # meant for 1,000 classes: for 8 it gives B0 logits of a standard deviation of 2.5.
        self.head = Head(self.classes, self.hidden, self.dropout, dtype=self.dtype)

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """The pooled vector that the classifier reads, in `dtype`."""
        layout = self.layout.widened(self.alpha)
        epsilon, momentum = (1e-5, 0.9) if self.convention == "torch" else (1e-3, 0.99)
        epsilon = epsilon if self.epsilon is None else self.epsilon
        share: dict[str, Any] = {
            "activation": layout.activation,
            "conv": functools.partial(Conv, convention=self.convention, dtype=self.dtype),
            "norm": functools.partial(Norm, self.norm, epsilon, momentum, self.dtype),
        }
        kind = nn.remat(MBConv, static_argnums=(2,)) if self.remat else MBConv
        block = functools.partial(kind, squeeze=layout.squeeze, **share)
        blocks = sum(row.depth for row in layout.rows)
        rate = iter(self.drop_path * i / blocks for i in range(blocks))

        stride = 1 if self.small_stem else 2
        x = images.astype(self.dtype)
        x = ConvNorm(layout.stem, 3, stride, name="stem", **share)(x, train)
        for i, row in enumerate(layout.rows):
            mbconv = functools.partial(block, expansion=row.expansion, size=row.size)
            drop_paths = tuple(next(rate) for _ in range(row.depth))
            stage = Stage(mbconv, row.width, row.stride, drop_paths, name=f"stage{i + 1}")
            x = stage(x, train)
        if layout.top:
            x = ConvNorm(layout.top, 1, 1, name="top", **share)(x, train)
        return x.mean(axis=(1, 2))

    def classify(
        self, features: Float[Array, "B width"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32."""
        return self.head(features, train)

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32. `train` needs a `dropout` key where a rate is not zero."""
        return self.classify(self.features(images, train), train)
