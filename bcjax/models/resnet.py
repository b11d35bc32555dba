"""Residual networks, in the layout of torchvision's."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.conv import Conv, Convention
from bcjax.models.drop_path import DropPath, rates
from bcjax.models.entry import Entry
from bcjax.models.head import Head
from bcjax.models.norm import Kind, Norm
from bcjax.models.pool import max_pool

Layer = Callable[..., Any]


class Stem(nn.Module):
    """From picture to stage 1: 7x7 stride 2 and max pool, or 3x3 stride 1 where `small`."""

    small: bool
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w 64"]:
        size, stride = (3, 1) if self.small else (7, 2)
        # Padded alike on both sides, in Keras's networks too.
        x = self.conv(64, size, stride, padding=size // 2, name="conv")(x)
        x = nn.relu(self.norm(name="norm")(x, train))
        return x if self.small else max_pool(x, 3, 2, padding=1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    width: int
    stride: int
    drop_path: float
    conv: Layer
    norm: Layer
    convention: Convention
    expansion = 1

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        y = self.conv(self.width, 3, self.stride, name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y, train))
        y = self.conv(self.width, 3, name="conv2")(y)
        # A gamma of zero: the block starts as its shortcut (Goyal et al., arXiv:1706.02677).
        y = self.norm(scale_init=nn.initializers.zeros, name="norm2")(y, train)
        y = DropPath(self.drop_path, name="drop_path")(y, train)
        if x.shape != y.shape:
            x = self.conv(self.width, 1, self.stride, name="shortcut_conv")(x)
            x = self.norm(name="shortcut_norm")(x, train)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut.

    The stride is on the 3x3 ("v1.5") in the torch convention; in tf's, as published, on the first.
    """

    width: int
    stride: int
    drop_path: float
    conv: Layer
    norm: Layer
    convention: Convention
    expansion = 4

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        first, second = (1, self.stride) if self.convention == "torch" else (self.stride, 1)
        y = self.conv(self.width, 1, first, name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y, train))
        y = self.conv(self.width, 3, second, name="conv2")(y)
        y = nn.relu(self.norm(name="norm2")(y, train))
        y = self.conv(self.width * self.expansion, 1, name="conv3")(y)
        y = self.norm(scale_init=nn.initializers.zeros, name="norm3")(y, train)
        y = DropPath(self.drop_path, name="drop_path")(y, train)
        if x.shape != y.shape:
            x = self.conv(self.width * self.expansion, 1, self.stride, name="shortcut_conv")(x)
            x = self.norm(name="shortcut_norm")(x, train)
        return nn.relu(x + y)


class Stage(nn.Module):
    """Blocks of one width, the first of which may halve the picture.

    Attributes:
      block: From (width, stride, drop_path) to a block.
      width: Of the blocks.
      stride: Of the first.
      drop_path: Rate of each block; their number is the stage's depth.
    """

    block: Layer
    width: int
    stride: int
    drop_path: tuple[float, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        for i, rate in enumerate(self.drop_path):
            stride = self.stride if i == 0 else 1
            x = self.block(self.width, stride, rate, name=f"block{i + 1}")(x, train)
        return x


class ResNet(nn.Module):
    """He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385).

    Attributes:
      classes: Number of logits.
      depths: Blocks in each of the four stages.
      block: `BasicBlock` or `Bottleneck`.
      hidden: Units of the classifier's hidden layers.
      dropout: Rate before each of the classifier's layers, in [0, 1).
      drop_path: Rate of the last block; from 0 at the first it rises linearly.
      norm: Kind of normalisation.
      convention: "torch": torchvision's arithmetic; "tf": that of Keras's ResNet50.
      small_stem: A 3x3 stem of stride 1 without the pool, for pictures of 28 to 64 px.
      remat: Recompute each block in the backward pass instead of keeping what is inside it.
      dtype: Of the computation; parameters, statistics and logits are float32.
    """

    classes: int
    depths: tuple[int, ...]
    block: type[nn.Module]
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    drop_path: float = 0.0
    norm: Kind = "batch"
    convention: Convention = "torch"
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
        epsilon, momentum = (1e-5, 0.9) if self.convention == "torch" else (1.001e-5, 0.99)
        layers: dict[str, Any] = {
            "conv": functools.partial(Conv, dtype=self.dtype),
            "norm": functools.partial(Norm, self.norm, epsilon, momentum, self.dtype),
        }
        kind = nn.remat(self.block, static_argnums=(2,)) if self.remat else self.block
        block = functools.partial(kind, convention=self.convention, **layers)
        x = Stem(self.small_stem, name="stem", **layers)(images.astype(self.dtype), train)
        rate = iter(rates(self.drop_path, sum(self.depths)))
        for i, depth in enumerate(self.depths):
            drop_path = tuple(next(rate) for _ in range(depth))
            stage = Stage(block, 64 << i, 1 if i == 0 else 2, drop_path, name=f"stage{i + 1}")
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
        """Logits, float32. `train` needs a `dropout` key where a rate is not zero."""
        return self.classify(self.features(images, train), train)


def _entry(depths: tuple[int, ...], block: type[nn.Module], parameters: int, macs: int) -> Entry:
    return Entry(
        functools.partial(ResNet, depths=depths, block=block),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stem", "stage1", "stage2", "stage3", "stage4", "head"),
        paper="He et al., Deep Residual Learning for Image Recognition, CVPR 2016, 1512.03385",
    )


ENTRIES = {
    "resnet18": _entry((2, 2, 2, 2), BasicBlock, 11_689_512, 1_814_073_344),
    "resnet34": _entry((3, 4, 6, 3), BasicBlock, 21_797_672, 3_663_761_408),
    "resnet50": _entry((3, 4, 6, 3), Bottleneck, 25_557_032, 4_089_184_256),
    "resnet101": _entry((3, 4, 23, 3), Bottleneck, 44_549_160, 7_801_405_440),
    "resnet152": _entry((3, 8, 36, 3), Bottleneck, 60_192_808, 11_513_626_624),
}
