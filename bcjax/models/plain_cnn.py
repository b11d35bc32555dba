"""Plain convolutional networks, the baselines of many notebooks: one module, three names."""

import functools
from typing import Any, ClassVar

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initialisers import Normal
from bcjax.models.layers import Conv, max_pool, require_side
from bcjax.models.network import NetworkInfo, StagedClassifier
from bcjax.models.norm import Norm, NormKind

_init = Normal(2.0, "fan_in", truncated=True)


class PlainStage(nn.Module):
    """`depth` times a convolution with bias, a normalisation if any, ReLU; a pool if `pool`."""

    width: int
    depth: int
    size: int
    norm: NormKind | None
    pool: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        for number in ("", *range(2, self.depth + 1)):
            x = Conv(
                self.width,
                self.size,
                use_bias=True,
                dtype=self.dtype,
                kernel_init=_init,
                name=f"conv{number}",
            )(x)
            if self.norm:
                norm = Norm(self.norm, dtype=self.dtype, activation=nn.relu, name=f"norm{number}")
                x = norm(x, train)
            else:
                x = nn.relu(x)
        return max_pool(x, 2, 2) if self.pool else x


class PlainCNN(StagedClassifier, kw_only=True):
    """Stages that each halve the picture, and a classifier. In a small stem the first does not.

    Attributes:
      widths: The number of filters in each stage.
      depths: The number of convolutions in each stage; None: one.
      kernel_size: The side of all kernels, odd.
      flatten: Whether the classifier reads the whole last map, so that its parameters depend on the
        size of the pictures and a network trained at one size takes no other; otherwise it reads
        the average over the map.
      norm: The kind of normalisation; None for none.
    """

    flatten: bool
    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] | None = None
    kernel_size: int = 3
    norm: NormKind | None = None
    head_options: ClassVar = {"kernel_init": _init}

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """Returns the vector that the classifier reads, in `dtype`, by row, column and channel.

        Raises:
          UserError: The picture is so small that no pixel would be left in the last stage.
        """
        pools = [i > 0 or not self.small_stem for i in range(len(self.widths))]
        require_side(images, 2 ** sum(pools))
        stage = nn.remat(PlainStage, static_argnums=(2,)) if self.remat else PlainStage
        x = images.astype(self.dtype)
        depths = self.depths or (1,) * len(self.widths)
        for i, (width, depth, pool) in enumerate(zip(self.widths, depths, pools, strict=True)):
            x = stage(
                width, depth, self.kernel_size, self.norm, pool, self.dtype, name=f"stage{i + 1}"
            )(x, train)
        return x.reshape(x.shape[0], -1) if self.flatten else x.mean(axis=(1, 2))


def _info(
    size: int,
    parameters: int,
    macs: int,
    paper: str,
    *,
    mean: float = 0.5,
    std: float = 0.25,
    **options: Any,
) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(PlainCNN, **options),
        input_size=size,
        parameters=parameters,
        macs=macs,
        stages=("stage1", "stage2", "stage3", "stage4", "head"),
        paper=paper,
        mean=(mean,) * 3,
        std=(std,) * 3,
    )


NETWORKS = {
    # Published are its layout and its 26,084,104 parameters at 8 classes, nearly all of which read
    # the flattened map. The normalisation of pictures is our choice.
    "simple_cnn": _info(
        224, 26_593_000, 763_187_200, "A layout of 26,084,104 parameters at 8 classes",
        flatten=True, hidden=(512,), norm="batch",
    ),
    # Our own: what a first notebook builds, with an average in place of the flattening.
    "custom_cnn": _info(
        96, 551_272, 135_525_376, "A baseline of bcjax's own",
        flatten=False, hidden=(128,), dropout=0.5, norm="batch",
    ),
    # Edge Impulse's image template with 16 and 32 filters, to which the project that used it added
    # 64 and 128. The max-norm constraint on kernels is left out: it belongs to the optimizer.
    "conv2d": _info(
        96, 4_706_440, 40_439_808, "Edge Impulse's conv2d template, widths 16-32-64-128",
        widths=(16, 32, 64, 128), flatten=True, dropout=0.25, mean=0.0, std=1.0,
    ),
}  # fmt: skip
