"""Residual networks, laid out as in torchvision."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.layers import Conv, Convention, DropPath, Head, drop_path_rates, max_pool
from bcjax.models.network import ImageClassifier, NetworkInfo
from bcjax.models.norm import Norm, NormKind

Layer = Callable[..., Any]


class ResNetStem(nn.Module):
    """The first layers: 7x7 with stride 2 and a max pool, or 3x3 with stride 1 if `small`."""

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
    """1x1, 3x3 and 1x1 convolutions beside a shortcut.

    In the torch convention the 3x3 convolution has the stride ("v1.5"); in tf's the first one has
    it, as published.
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


class ResidualStage(nn.Module):
    """Blocks of one width, the first of which may halve the picture.

    Attributes:
      block: A function from (width, stride, drop_path) to a block.
      width: The width of the blocks.
      stride: The stride of the first block.
      drop_path: The drop path rate of each block; their number is the depth of the stage.
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


class ResNet(ImageClassifier):
    """He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385).

    Attributes:
      classes: The number of logits.
      depths: The number of blocks in each of the four stages.
      block: The kind of block, `BasicBlock` or `Bottleneck`.
      hidden: The units of each hidden layer of the classifier.
      dropout: The dropout rate before each layer of the classifier, in [0, 1).
      drop_path: The drop path rate of the last block; it rises linearly from 0 at the first.
      norm: The kind of normalisation.
      convention: "torch": torchvision's arithmetic; "tf": that of Keras's ResNet50.
      small_stem: Whether the stem is 3x3 with stride 1 and no pool, for pictures of 28 to 64 px.
      remat: Whether each block is computed again in the backward pass, to save memory.
      dtype: The dtype of the computation; parameters, statistics and logits are float32.
    """

    classes: int
    depths: tuple[int, ...]
    block: type[nn.Module]
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    drop_path: float = 0.0
    norm: NormKind = "batch"
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
        """Returns the pooled vector that the classifier reads, in `dtype`."""
        epsilon, momentum = (1e-5, 0.9) if self.convention == "torch" else (1.001e-5, 0.99)
        layers: dict[str, Any] = {
            "conv": functools.partial(Conv, dtype=self.dtype),
            "norm": functools.partial(Norm, self.norm, epsilon, momentum, self.dtype),
        }
        kind = nn.remat(self.block, static_argnums=(2,)) if self.remat else self.block
        block = functools.partial(kind, convention=self.convention, **layers)
        x = ResNetStem(self.small_stem, name="stem", **layers)(images.astype(self.dtype), train)
        rate = iter(drop_path_rates(self.drop_path, sum(self.depths)))
        for i, depth in enumerate(self.depths):
            drop_path = tuple(next(rate) for _ in range(depth))
            stage = ResidualStage(
                block, 64 << i, 1 if i == 0 else 2, drop_path, name=f"stage{i + 1}"
            )
            x = stage(x, train)
        return x.mean(axis=(1, 2))


def _info(
    depths: tuple[int, ...], block: type[nn.Module], parameters: int, macs: int
) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(ResNet, depths=depths, block=block),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stem", "stage1", "stage2", "stage3", "stage4", "head"),
        paper="He et al., Deep Residual Learning for Image Recognition, CVPR 2016, 1512.03385",
    )


NETWORKS = {
    "resnet18": _info((2, 2, 2, 2), BasicBlock, 11_689_512, 1_814_073_344),
    "resnet34": _info((3, 4, 6, 3), BasicBlock, 21_797_672, 3_663_761_408),
    "resnet50": _info((3, 4, 6, 3), Bottleneck, 25_557_032, 4_089_184_256),
    "resnet101": _info((3, 4, 23, 3), Bottleneck, 44_549_160, 7_801_405_440),
    "resnet152": _info((3, 8, 36, 3), Bottleneck, 60_192_808, 11_513_626_624),
}
