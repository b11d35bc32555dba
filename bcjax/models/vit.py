"""Vision transformers: the Ti, S and B of DeiT, with patches of 16x16, laid out as in timm."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.image import resize
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.attention import SelfAttention
from bcjax.models.initialisers import Normal
from bcjax.models.layers import Conv, DropPath, Stage, drop_path_rates, gelu, require_side
from bcjax.models.network import NetworkInfo, StagedClassifier
from bcjax.models.norm import Norm
from bcjax.models.windows import is_plain

Layer = Callable[..., Any]

_init = Normal(0.02**2, truncated=True)

GRID = 14  # patches a side of the published pictures, 224 px


class PatchStem(nn.Module):
    """Makes a token of each patch, puts the class token before them, and adds their positions.

    The table of positions is that of 14x14 patches at any size of pictures: for others it is
    interpolated, as timm does, so that no parameter depends on the size.

    Attributes:
      width: The numbers of a token.
      patch: The side of a patch in pixels.
      dtype: The dtype of the computation.
    """

    width: int
    patch: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B N width"]:
        embed = Conv(
            self.width,
            self.patch,
            self.patch,
            padding=0,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=Normal(1.0, "fan_in", truncated=True),
            name="conv",
        )
        x = embed(x)
        batch, height, width, channels = x.shape
        first = self.param("class_token", _init, (channels,))
        table = self.param("positions", _init, (1 + GRID**2, channels))
        places = table[1:].reshape(GRID, GRID, channels)
        if (height, width) != (GRID, GRID):
            places = _resized(places, height, width)
        tokens = x.reshape(batch, height * width, channels)
        tokens += places.reshape(1, height * width, channels).astype(self.dtype)
        first = jnp.broadcast_to((first + table[0]).astype(self.dtype), (batch, 1, channels))
        return jnp.concatenate([first, tokens], axis=1)


def _resized(
    places: Float[Array, "h w D"], height: int, width: int
) -> Float[Array, "height width D"]:
    # For other runtimes it is a constant: theirs resize otherwise.
    now = jax.ensure_compile_time_eval() if is_plain() else contextlib.nullcontext()
    with now:
        return resize(places, (height, width, places.shape[-1]), "bicubic")


class TransformerBlock(nn.Module):
    """Self-attention, then two dense layers with GELU between, each beside a shortcut.

    Attributes:
      drop_path: The rate at which either branch is dropped.
      heads: The number of heads.
      dense: A function from units to a dense layer.
      norm: A function that makes a normalisation.
    """

    drop_path: float
    heads: int
    dense: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], train: bool) -> Float[Array, "B N D"]:
        y = self.norm(name="norm1")(x, train)
        y = SelfAttention(self.heads, self.dense, name="attention")(y)
        x = x + DropPath(self.drop_path, name="drop_path1")(y, train)
        y = self.norm(name="norm2")(x, train)
        y = gelu(self.dense(4 * x.shape[-1], name="expand")(y))
        y = self.dense(x.shape[-1], name="project")(y)
        return x + DropPath(self.drop_path, name="drop_path2")(y, train)


class ViT(StagedClassifier, kw_only=True):
    """Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021 (arXiv:2010.11929).

    Rows and columns of pixels that fill no whole patch are left out. A small stem has patches of
    4x4.

    Attributes:
      width: The numbers of a token.
      heads: The heads of each block.
      depth: The number of blocks.
      drop_path: The drop path rate of the last block; it rises linearly from 0 at the first.
    """

    width: int
    heads: int
    depth: int
    drop_path: float = 0.0
    head_options: ClassVar = {"kernel_init": _init, "logits_init": _init}

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """Returns the class token, normalised, which the classifier reads, in `dtype`.

        Raises:
          UserError: The picture is smaller than a patch.
        """
        patch = 4 if self.small_stem else 16
        require_side(images, patch)
        x = PatchStem(self.width, patch, self.dtype, name="stem")(images.astype(self.dtype))
        norm = functools.partial(Norm, "layer", 1e-6, dtype=self.dtype)
        kind = nn.remat(TransformerBlock, static_argnums=(2,)) if self.remat else TransformerBlock
        block = functools.partial(
            kind,
            heads=self.heads,
            dense=functools.partial(nn.Dense, dtype=self.dtype, kernel_init=_init),
            norm=norm,
        )
        rates = drop_path_rates(self.drop_path, self.depth)
        x = Stage([functools.partial(block, rate) for rate in rates], name="stage1")(x, train)
        return norm(name="norm")(x[:, 0], train)


def _info(width: int, heads: int, parameters: int, macs: int) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(ViT, width=width, heads=heads, depth=12, drop_path=0.1),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stem", "stage1", "norm", "head"),
        paper="Touvron et al., Training data-efficient image transformers, ICML 2021, 2012.12877",
    )


# With the drop path of DeiT's training on ImageNet-1K.
NETWORKS = {
    "vit_tiny": _info(192, 3, 5_717_416, 1_253_683_200),
    "vit_small": _info(384, 6, 22_050_664, 4_598_882_304),
    "vit_base": _info(768, 12, 86_567_656, 17_563_828_224),
}
