"""Residual networks, laid out as in torchvision."""

import functools
from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models.layers import Conv, Convention, DropPath, Stage, drop_path_rates, max_pool
from bcjax.models.network import NetworkInfo, StagedClassifier
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
        x = self.norm(activation=nn.relu, name="norm")(x, train)
        return x if self.small else max_pool(x, 3, 2, padding=1)


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut; a subclass says which.

    Attributes:
      width: The channels inside of the block.
      stride: The stride of the block.
      drop_path: The rate at which the convolutions are dropped.
      conv: A function from (width, size, stride) to a convolution.
      norm: A function that makes a normalisation.
      convention: Whose arithmetic is used.
    """

    width: int
    stride: int
    drop_path: float
    conv: Layer
    norm: Layer
    convention: Convention

    def branch(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        raise NotImplementedError

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        y = DropPath(self.drop_path, name="drop_path")(self.branch(x, train), train)
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], 1, self.stride, name="shortcut_conv")(x)
            x = self.norm(name="shortcut_norm")(x, train)
        return nn.relu(x + y)

    def last_norm(self, name: str) -> nn.Module:
        """Returns a norm with a gamma of zero, so that the block begins as its shortcut.

        Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677.
        """
        return self.norm(scale_init=nn.initializers.zeros, name=name)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions beside a shortcut."""

    def branch(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        y = self.conv(self.width, 3, self.stride, name="conv1")(x)
        y = self.norm(activation=nn.relu, name="norm1")(y, train)
        y = self.conv(self.width, 3, name="conv2")(y)
        return self.last_norm("norm2")(y, train)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the last gives four times the width.

    In the torch convention the 3x3 convolution has the stride ("v1.5"); in tf's the first one has
    it, as published.
    """

    def branch(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        first, second = (1, self.stride) if self.convention == "torch" else (self.stride, 1)
        y = self.conv(self.width, 1, first, name="conv1")(x)
        y = self.norm(activation=nn.relu, name="norm1")(y, train)
        y = self.conv(self.width, 3, second, name="conv2")(y)
        y = self.norm(activation=nn.relu, name="norm2")(y, train)
        y = self.conv(4 * self.width, 1, name="conv3")(y)
        return self.last_norm("norm3")(y, train)


class ResNet(StagedClassifier, kw_only=True):
    """He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385).

    A small stem is 3x3 with stride 1 and no pool.

    Attributes:
      depths: The number of blocks in each of the four stages.
      block: The kind of block, `BasicBlock` or `Bottleneck`.
      drop_path: The drop path rate of the last block; it rises linearly from 0 at the first.
      norm: The kind of normalisation.
      convention: "torch": torchvision's arithmetic; "tf": that of Keras's ResNet50.
    """

    depths: tuple[int, ...]
    block: type[nn.Module]
    drop_path: float = 0.0
    norm: NormKind = "batch"
    convention: Convention = "torch"

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
            strides = (1 if i == 0 else 2, *[1] * (depth - 1))
            blocks = [functools.partial(block, 64 << i, stride, next(rate)) for stride in strides]
            x = Stage(blocks, name=f"stage{i + 1}")(x, train)
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
