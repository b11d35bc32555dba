"""ConvNeXt: only convolutions, in the proportions of a transformer."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models.initialisers import Normal
from bcjax.models.layers import Conv, DropPath, drop_path_rates, gelu, require_side
from bcjax.models.network import NetworkInfo, StagedClassifier
from bcjax.models.norm import Norm, NormKind

Layer = Callable[..., Any]

# A deviation of 0.02, published as a normal distribution cut off at -2 and 2, a hundred deviations
# away.
_init = Normal(0.02**2)


class ConvNeXtStem(nn.Module):
    """The first layers: patches of 4x4, or 3x3 with stride 1 if `small`."""

    width: int
    small: bool
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        size, stride, padding = (3, 1, 1) if self.small else (4, 4, 0)
        x = self.conv(self.width, size, stride, padding=padding, name="conv")(x)
        return self.norm(name="norm")(x, train)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, then two 1x1 with GELU between, beside a shortcut."""

    drop_path: float
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W C"]:
        width = x.shape[-1]
        y = self.conv(width, 7, groups=width, name="depthwise")(x)
        y = self.norm(name="norm")(y, train)
        y = self.conv(4 * width, 1, name="expand")(y)
        y = self.conv(width, 1, name="project")(gelu(y))
        # Layer scale (Touvron et al., arXiv:2103.17239): the block starts near its shortcut.
        gamma = self.param("gamma", nn.initializers.constant(1e-6), (width,))
        return x + DropPath(self.drop_path, name="drop_path")(y * gamma.astype(y.dtype), train)


class ConvNeXtStage(nn.Module):
    """Blocks of one width, after a convolution that halves the picture if `halve`.

    Attributes:
      block: A function from a drop path rate to a block.
      width: The width of the blocks.
      halve: Whether a normalisation and a 2x2 convolution of stride 2 come first.
      drop_path: The drop path rate of each block; their number is the depth of the stage.
    """

    block: Layer
    width: int
    halve: bool
    drop_path: tuple[float, ...]
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        if self.halve:
            x = self.norm(name="downsample_norm")(x, train)
            x = self.conv(self.width, 2, 2, padding=0, name="downsample_conv")(x)
        for i, rate in enumerate(self.drop_path):
            x = self.block(rate, name=f"block{i + 1}")(x, train)
        return x


class ConvNeXt(StagedClassifier, kw_only=True):
    """Liu et al., A ConvNet for the 2020s, CVPR 2022 (arXiv:2201.03545).

    Rows and columns of pixels that fill no whole patch are left out, here and in every stage, as in
    PyTorch. A small stem is 3x3 with stride 1, in place of patches.

    Attributes:
      depths: The number of blocks in each of the four stages.
      width: The channels of the first stage; each further stage has twice as many.
      drop_path: The drop path rate of the last block; it rises linearly from 0 at the first.
      norm: The kind of normalisation.
    """

    depths: tuple[int, ...]
    width: int
    drop_path: float = 0.0
    norm: NormKind = "layer"
    head_options: ClassVar = {"kernel_init": _init, "logits_init": _init}

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """Returns the pooled, normalised vector that the classifier reads, in `dtype`.

        Raises:
          UserError: The picture is so small that no pixel would be left in the last stage.
        """
        require_side(images, 2 ** (len(self.depths) - 1) * (1 if self.small_stem else 4))
        norm = functools.partial(Norm, epsilon=1e-6, dtype=self.dtype)
        layers: dict[str, Any] = {
            "conv": functools.partial(Conv, use_bias=True, dtype=self.dtype, kernel_init=_init),
            "norm": functools.partial(norm, self.norm),
        }
        kind = nn.remat(ConvNeXtBlock, static_argnums=(2,)) if self.remat else ConvNeXtBlock
        block = functools.partial(kind, **layers)
        x = ConvNeXtStem(self.width, self.small_stem, name="stem", **layers)(
            images.astype(self.dtype), train
        )
        rate = iter(drop_path_rates(self.drop_path, sum(self.depths)))
        for i, depth in enumerate(self.depths):
            drop_path = tuple(next(rate) for _ in range(depth))
            stage = ConvNeXtStage(
                block, self.width << i, i > 0, drop_path, name=f"stage{i + 1}", **layers
            )
            x = stage(x, train)
        # A group of a pooled vector has too few values to normalise by.
        last = "layer" if self.norm == "group" else self.norm
        return norm(last, name="norm")(x.mean(axis=(1, 2)), train)


def _info(
    depths: tuple[int, ...], width: int, drop_path: float, parameters: int, macs: int
) -> NetworkInfo:
    return NetworkInfo(
        functools.partial(ConvNeXt, depths=depths, width=width, drop_path=drop_path),
        input_size=224,
        parameters=parameters,
        macs=macs,
        stages=("stem", "stage1", "stage2", "stage3", "stage4", "norm", "head"),
        paper="Liu et al., A ConvNet for the 2020s, CVPR 2022, 2201.03545",
    )


# The paper has T, S, B, L and XL, with the drop path of training from scratch on ImageNet-1K (XL:
# ImageNet-22K). The four smaller networks are from timm (Wightman), which states no drop path.
NETWORKS = {
    "convnext_atto": _info((2, 2, 6, 2), 40, 0.0, 3_695_520, 547_332_480),
    "convnext_femto": _info((2, 2, 6, 2), 48, 0.0, 5_217_784, 779_629_824),
    "convnext_pico": _info((2, 2, 6, 2), 64, 0.0, 9_045_672, 1_367_055_360),
    "convnext_nano": _info((2, 2, 8, 2), 80, 0.0, 15_593_560, 2_445_528_320),
    "convnext_tiny": _info((3, 3, 9, 3), 96, 0.1, 28_589_128, 4_455_531_264),
    "convnext_small": _info((3, 3, 27, 3), 96, 0.4, 50_223_688, 8_683_712_256),
    "convnext_base": _info((3, 3, 27, 3), 128, 0.5, 88_591_464, 15_354_729_472),
    "convnext_large": _info((3, 3, 27, 3), 192, 0.5, 197_767_336, 34_361_433_600),
    "convnext_xlarge": _info((3, 3, 27, 3), 256, 0.2, 350_196_968, 60_921_030_656),
}
