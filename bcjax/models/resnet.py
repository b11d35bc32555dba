"""Residual networks, in the layout and with the arithmetic of torchvision's."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# Reductions stay in float32 whatever the compute dtype: that is BatchNorm's own default.
_BatchNorm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


def _conv(width: int, size: int, stride: int = 1, *, dtype: DTypeLike, name: str) -> nn.Conv:
    # Padded alike on both sides, as PyTorch does: "SAME" would pad a strided convolution of an
    # even-sized picture at its end only, and published weights would see it shifted.
    return nn.Conv(
        width,
        (size, size),
        stride,
        padding=size // 2,
        use_bias=False,
        dtype=dtype,
        kernel_init=_he_normal,
        name=name,
    )


class Stem(nn.Module):
    """From picture to stage 1: 7x7 stride 2 and max pool, or 3x3 stride 1 where `small`."""

    small: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w 64"]:
        size, stride = (3, 1) if self.small else (7, 2)
        x = _conv(64, size, stride, dtype=self.dtype, name="conv")(x)
        x = _BatchNorm(use_running_average=not train, dtype=self.dtype, name="norm")(x)
        x = nn.relu(x)
        return x if self.small else nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    width: int
    stride: int
    dtype: DTypeLike
    expansion = 1

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        conv = functools.partial(_conv, dtype=self.dtype)
        norm = functools.partial(_BatchNorm, use_running_average=not train, dtype=self.dtype)

        y = conv(self.width, 3, self.stride, name="conv1")(x)
        y = nn.relu(norm(name="norm1")(y))
        y = conv(self.width, 3, name="conv2")(y)
        # A gamma of zero: the block starts as its shortcut (Goyal et al., arXiv:1706.02677).
        y = norm(scale_init=nn.initializers.zeros, name="norm2")(y)

        if x.shape != y.shape:
            x = conv(self.width, 1, self.stride, name="shortcut_conv")(x)
            x = norm(name="shortcut_norm")(x)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut; the stride is on the 3x3 ("v1.5")."""

    width: int
    stride: int
    dtype: DTypeLike
    expansion = 4

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        conv = functools.partial(_conv, dtype=self.dtype)
        norm = functools.partial(_BatchNorm, use_running_average=not train, dtype=self.dtype)

        y = conv(self.width, 1, name="conv1")(x)
        y = nn.relu(norm(name="norm1")(y))
        y = conv(self.width, 3, self.stride, name="conv2")(y)
        y = nn.relu(norm(name="norm2")(y))
        y = conv(self.width * self.expansion, 1, name="conv3")(y)
        y = norm(scale_init=nn.initializers.zeros, name="norm3")(y)

        if x.shape != y.shape:
            x = conv(self.width * self.expansion, 1, self.stride, name="shortcut_conv")(x)
            x = norm(name="shortcut_norm")(x)
        return nn.relu(x + y)


class Stage(nn.Module):
    """Blocks of one width, the first of which may halve the picture."""

    block: Callable[..., nn.Module]
    depth: int
    width: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        for i in range(self.depth):
            stride = self.stride if i == 0 else 1
            x = self.block(self.width, stride, self.dtype, name=f"block{i + 1}")(x, train)
        return x


class ResNet(nn.Module):
    """He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385).

    Attributes:
      classes: Number of logits.
      depths: Blocks in each of the four stages.
      block: `BasicBlock` or `Bottleneck`.
      small_stem: A 3x3 stem of stride 1 without the pool, for pictures of 28 to 64 px.
      dropout: Rate before the classifier, in [0, 1).
      dtype: Of the computation; parameters, statistics and logits are float32.
    """

    classes: int
    depths: tuple[int, ...]
    block: Callable[..., nn.Module]
    small_stem: bool = False
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.classes, dtype=jnp.float32)

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """The pooled vector that the classifier reads, in `dtype`."""
        x = Stem(self.small_stem, self.dtype, name="stem")(images.astype(self.dtype), train)
        for i, depth in enumerate(self.depths):
            stride = 1 if i == 0 else 2
            stage = Stage(self.block, depth, 64 << i, stride, self.dtype, name=f"stage{i + 1}")
            x = stage(x, train)
        return x.mean(axis=(1, 2))

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32. `train` needs a `dropout` key where the rate is not zero."""
        return self.head(self.drop(self.features(images, train), deterministic=not train))
