"""VGG-11, 13, 16 and 19, each with and without batch norm, laid out as in torchvision."""

import functools
from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models.initialisers import Normal, he_normal
from bcjax.models.layers import Conv, Head, adaptive_average_pool, max_pool, require_side
from bcjax.models.network import NetworkInfo, StagedClassifier
from bcjax.models.norm import Norm, NormKind

Layer = Callable[..., Any]

# He's initialisation, in place of a deviation of 0.01 for dense layers, as in our AlexNet.
_dense_init = Normal(2.0, "fan_in", truncated=True)

WIDTHS = (64, 128, 256, 512, 512)


class VGGStage(nn.Module):
    """`depth` times a 3x3 convolution, a normalisation if any, and ReLU; a 2x2 max pool if `pool`.

    Attributes:
      width: The output channels.
      depth: The number of convolutions.
      pool: Whether the stage ends in a pool.
      conv: A function from (width, size) to a convolution.
      norm: A function that makes a normalisation; None for none.
    """

    width: int
    depth: int
    pool: bool
    conv: Layer
    norm: Layer | None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        for i in range(1, self.depth + 1):
            x = self.conv(self.width, 3, name=f"conv{i}")(x)
            if self.norm:
                x = self.norm(activation=nn.relu, name=f"norm{i}")(x, train)
            else:
                x = nn.relu(x)
        return max_pool(x, 2, 2) if self.pool else x


class VGG(StagedClassifier, kw_only=True):
    """Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015 (arXiv:1409.1556).

    As in torchvision the last map is averaged to 7x7, its size at 224 px, so that the dense layers
    take pictures of any size. In a small stem the first stage has no pool.

    Attributes:
      widths: The channels of each stage.
      depths: The number of convolutions in each stage.
      norm: The kind of normalisation; None for none, as published.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    hidden: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5  # behind the hidden layers
    norm: NormKind | None = None

    def setup(self) -> None:
        self.head = Head(
            self.classes,
            self.hidden,
            self.dropout,
            dtype=self.dtype,
            kernel_init=_dense_init,
            first_dropout=False,
        )

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B 25088"]:
        """Returns the last 7x7 map of 512 channels as a vector, by row, column and channel.

        Raises:
          UserError: The picture is so small that no pixel would be left in the last stage.
        """
        pools = [i > 0 or not self.small_stem for i in range(len(self.widths))]
        require_side(images, 2 ** sum(pools))
        layers: dict[str, Any] = {
            "conv": functools.partial(Conv, use_bias=True, dtype=self.dtype, kernel_init=he_normal),
            "norm": functools.partial(Norm, self.norm, dtype=self.dtype) if self.norm else None,
        }
        stage = nn.remat(VGGStage, static_argnums=(2,)) if self.remat else VGGStage
        x = images.astype(self.dtype)
        for i, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            x = stage(width, depth, pools[i], name=f"stage{i + 1}", **layers)(x, train)
        return adaptive_average_pool(x, 7).reshape(x.shape[0], -1)


def _info(
    depths: tuple[int, ...], norm: NormKind | None, parameters: int, macs: int
) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(VGG, widths=WIDTHS, depths=depths, norm=norm),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, 1409.1556",
    )


# By the number of layers with weights: the convolutions in each stage.
DEPTHS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
NETWORKS = {
    "vgg11": _info(DEPTHS[11], None, 132_863_336, 7_609_090_048),
    "vgg11_bn": _info(DEPTHS[11], "batch", 132_868_840, 7_609_090_048),
    "vgg13": _info(DEPTHS[13], None, 133_047_848, 11_308_466_176),
    "vgg13_bn": _info(DEPTHS[13], "batch", 133_053_736, 11_308_466_176),
    "vgg16": _info(DEPTHS[16], None, 138_357_544, 15_470_264_320),
    "vgg16_bn": _info(DEPTHS[16], "batch", 138_365_992, 15_470_264_320),
    "vgg19": _info(DEPTHS[19], None, 143_667_240, 19_632_062_464),
    "vgg19_bn": _info(DEPTHS[19], "batch", 143_678_248, 19_632_062_464),
}
