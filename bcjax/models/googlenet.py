"""GoogLeNet, the first Inception network, laid out as in torchvision."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models.layers import Conv, Stage, max_pool, require_side
from bcjax.models.mbconv import ConvNorm
from bcjax.models.network import NetworkInfo, StagedClassifier
from bcjax.models.norm import Norm, NormKind

Layer = Callable[..., Any]
Widths = tuple[int, int, int, int, int, int]

# Of each block in each stage: the channels of the 1x1 branch; those of the 3x3 branch, before and
# after; those of the other 3x3 branch, before and after; those behind the pool. Table 1 of the
# paper, from "inception (3a)".
BLOCKS: tuple[tuple[Widths, ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class GoogLeNetStem(nn.Module):
    """7x7 with stride 2 and a pool, or 3x3 with stride 1 if `small`; then 1x1, 3x3 and a pool."""

    small: bool
    unit: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w 192"]:
        x = self.unit(64, *((3, 1) if self.small else (7, 2)), name="unit1")(x, train)
        if not self.small:
            x = max_pool(x, 3, 2, ceil=True)
        x = self.unit(64, 1, 1, name="unit2")(x, train)
        x = self.unit(192, 3, 1, name="unit3")(x, train)
        return max_pool(x, 3, 2, ceil=True)


class InceptionBlock(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3; 1x1 and 3x3; a pool and 1x1.

    Attributes:
      widths: The channels, as in `BLOCKS`.
      unit: A function from (width, size, stride) to a convolution with normalisation and ReLU.
    """

    widths: Widths
    unit: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W c"]:
        first, reduce2, second, reduce3, third, fourth = self.widths
        y2 = self.unit(reduce2, 1, 1, name="reduce2")(x, train)
        y3 = self.unit(reduce3, 1, 1, name="reduce3")(x, train)
        branches = [
            self.unit(first, 1, 1, name="branch1")(x, train),
            self.unit(second, 3, 1, name="branch2")(y2, train),
            self.unit(third, 3, 1, name="branch3")(y3, train),
            self.unit(fourth, 1, 1, name="branch4")(max_pool(x, 3, 1, padding=1), train),
        ]
        return jnp.concatenate(branches, axis=-1)


class GoogLeNet(StagedClassifier, kw_only=True):
    """Szegedy et al., Going Deeper with Convolutions, CVPR 2015 (arXiv:1409.4842).

    It differs from the paper as torchvision's does: there is batch norm behind every convolution in
    place of local response normalisation, the third branch has a 3x3 kernel in place of 5x5, and
    the auxiliary classifiers, which served training without batch norm, are left out.

    A small stem begins with 3x3, stride 1 and no pool.

    Attributes:
      blocks: The channels of the branches of each block in each stage, three at most.
      norm: The kind of normalisation.
    """

    blocks: tuple[tuple[Widths, ...], ...]
    dropout: float = 0.2
    norm: NormKind = "batch"

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B 1024"]:
        """Returns the pooled vector that the classifier reads, in `dtype`.

        Raises:
          UserError: The picture is so small that no pixel would be left in the last stage.
        """
        require_side(images, 4 if self.small_stem else 15)
        unit = functools.partial(
            ConvNorm,
            activation=nn.relu,
            conv=functools.partial(Conv, dtype=self.dtype),
            norm=functools.partial(Norm, self.norm, 1e-3, dtype=self.dtype),
        )
        kind = nn.remat(InceptionBlock, static_argnums=(2,)) if self.remat else InceptionBlock
        x = GoogLeNetStem(self.small_stem, unit, name="stem")(images.astype(self.dtype), train)
        for i, (widths, pool) in enumerate(zip(self.blocks, (0, 3, 2), strict=False)):
            blocks = [functools.partial(kind, width, unit) for width in widths]
            x = max_pool(x, pool, 2, ceil=True) if pool else x
            x = Stage(blocks, name=f"stage{i + 1}")(x, train)
        return x.mean(axis=(1, 2))


NETWORKS = {
    "googlenet": NetworkInfo(
        functools.partial(GoogLeNet, blocks=BLOCKS),
        input_size=224,
        parameters=6_624_904,
        macs=1_498_376_192,
        stages=("stem", "stage1", "stage2", "stage3", "head"),
        paper="Szegedy et al., Going Deeper with Convolutions, CVPR 2015, 1409.4842",
    ),
}
