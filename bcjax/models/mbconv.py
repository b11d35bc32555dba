"""Networks of inverted residual blocks: the block, and the network that a layout describes.

The block is that of MobileNetV2 and, with squeeze-and-excitation, of EfficientNet.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initialisers import Normal
from bcjax.models.layers import Conv, Convention, DropPath, Stage
from bcjax.models.network import StagedClassifier
from bcjax.models.norm import Norm, NormKind

Layer = Callable[..., Any]

# In a depthwise convolution each channel has one kernel of k x k numbers: the published fan-out,
# counted for one channel, is what `Normal` calls fan-in.
depthwise_init = Normal(2.0, "fan_in")


class ConvNorm(nn.Module):
    """A convolution, a normalisation and an activation: the stem or the top of a network."""

    width: int
    size: int
    stride: int
    activation: Callable[[Array], Array]
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        x = self.conv(self.width, self.size, self.stride, name="conv")(x)
        return self.norm(activation=self.activation, name="norm")(x, train)


class SqueezeExcite(nn.Module):
    """Weights each channel by a function of the averages of all channels.

    Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507.
    """

    width: int
    activation: Callable[[Array], Array]
    conv: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        weight = x.mean(axis=(1, 2), keepdims=True)
        weight = self.activation(self.conv(self.width, 1, use_bias=True, name="reduce")(weight))
        weight = self.conv(x.shape[-1], 1, use_bias=True, name="expand")(weight)
        return x * nn.sigmoid(weight)


class MBConv(nn.Module):
    """1x1 to more channels, depthwise, 1x1 to `width`; with a shortcut if the shape stays.

    Attributes:
      width: The output channels.
      stride: The stride of the depthwise convolution.
      drop_path: The rate at which the branch is dropped, if there is a shortcut.
      expansion: The channels of the depthwise convolution for each input channel; with 1 there is
        no first 1x1 convolution.
      size: The side of the depthwise kernel.
      squeeze: Whether there is squeeze-and-excitation, with a quarter of the input's channels.
      activation: The function after each convolution except the last.
      conv: A function from (width, size, stride) to a convolution.
      norm: A function that makes a normalisation.
    """

    width: int
    stride: int
    drop_path: float
    expansion: int
    size: int
    squeeze: bool
    activation: Callable[[Array], Array]
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        inputs = x.shape[-1]
        expanded = inputs * self.expansion
        y = x
        if self.expansion > 1:
            y = self.conv(expanded, 1, name="expand_conv")(y)
            y = self.norm(activation=self.activation, name="expand_norm")(y, train)
        y = self.conv(
            expanded,
            self.size,
            self.stride,
            groups=expanded,
            kernel_init=depthwise_init,
            name="depthwise_conv",
        )(y)
        y = self.norm(activation=self.activation, name="depthwise_norm")(y, train)
        if self.squeeze:
            y = SqueezeExcite(max(1, inputs // 4), self.activation, self.conv, name="se")(y)
        y = self.conv(self.width, 1, name="project_conv")(y)
        y = self.norm(name="project_norm")(y, train)
        if self.stride > 1 or inputs != self.width:
            return y
        return x + DropPath(self.drop_path, name="drop_path")(y, train)


@dataclasses.dataclass(frozen=True)
class MBConvRow:
    """One stage, as the papers list it in a table.

    Attributes:
      expansion: The factor by which a block first multiplies its channels.
      width: The output channels of each block.
      depth: The number of blocks.
      stride: The stride of the first block.
      size: The side of the depthwise kernels.
    """

    expansion: int
    width: int
    depth: int
    stride: int
    size: int = 3


@dataclasses.dataclass(frozen=True)
class MBConvLayout:
    """The published layout of a network.

    Attributes:
      rows: The stages.
      activation: The function after every convolution except the last of a block.
      squeeze: The stages whose blocks have squeeze-and-excitation, counted from 1.
      stem: The output channels of the first convolution.
      top: The output channels of the last convolution, 1x1; 0 if there is none.
      fixed_ends: Whether multipliers change neither stem and top nor the depths of the first and
        the last row.
    """

    rows: tuple[MBConvRow, ...]
    activation: Callable[[Array], Array]
    squeeze: tuple[int, ...] = ()
    stem: int = 32
    top: int = 1280
    fixed_ends: bool = False

    @property
    def stages(self) -> tuple[str, ...]:
        """The top-level names of the network's parameters."""
        rows = (f"stage{i + 1}" for i in range(len(self.rows)))
        return ("stem", *rows, *(["top"] if self.top else []), "head")

    def widened(self, alpha: float) -> "MBConvLayout":
        """Returns the layout with all widths times `alpha`, divisible by 8; no top shrinks."""
        rows = (
            dataclasses.replace(row, width=make_divisible(row.width * alpha)) for row in self.rows
        )
        wider = dataclasses.replace(self, rows=tuple(rows))
        if self.fixed_ends:
            return wider
        stem, top = make_divisible(self.stem * alpha), make_divisible(self.top * alpha)
        return dataclasses.replace(wider, stem=stem, top=max(self.top, top) if self.top else 0)


def make_divisible(width: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to `width`, but at least nine tenths of it."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * width else nearest + divisor


def convention_layers(
    convention: Convention, norm: NormKind, epsilon: float | None, dtype: DTypeLike
) -> dict[str, Any]:
    """Returns the convolution and the normalisation that a convention's weights expect.

    Args:
      convention: The convention.
      norm: The kind of normalisation.
      epsilon: The number added to the variance; None: that of the convention.
      dtype: The dtype of the computation.
    """
    own, momentum = (1e-5, 0.9) if convention == "torch" else (1e-3, 0.99)
    epsilon = own if epsilon is None else epsilon
    return {
        "conv": functools.partial(Conv, convention=convention, dtype=dtype),
        "norm": functools.partial(Norm, norm, epsilon, momentum, dtype),
    }


class MBConvNet(StagedClassifier, kw_only=True):
    """A stem, stages of inverted residual blocks and a 1x1 convolution on top.

    A small stem has stride 1, not 2. The classifier's kernel begins as linen's kernels do: the
    published variance, 1 / (3 classes), is meant for 1,000 classes, and for 8 it gives B0 logits
    with a standard deviation of 2.5.

    Attributes:
      layout: The published layout.
      alpha: The number that multiplies the layout's widths.
      drop_path: The drop path rate that a block after the last would have, in [0, 1); it rises
        linearly from 0 at the first.
      norm: The kind of normalisation.
      convention: "tf" for the published arithmetic, which is Keras's; "torch" for that of timm and
        torchvision.
      epsilon: The number added to the variance; None: 1e-3 in the convention of tf, 1e-5 in that of
        torch. Torchvision's EfficientNet-B5 to B7 have 1e-3 too.
    """

    layout: MBConvLayout
    alpha: float = 1.0
    dropout: float = 0.2
    drop_path: float = 0.0
    norm: NormKind = "batch"
    convention: Convention = "tf"
    epsilon: float | None = None

    def own_layout(self) -> MBConvLayout:
        """Returns the layout before it is widened."""
        return self.layout

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """Returns the pooled vector that the classifier reads, in `dtype`."""
        layout = self.own_layout().widened(self.alpha)
        share = convention_layers(self.convention, self.norm, self.epsilon, self.dtype)
        share["activation"] = layout.activation
        kind = nn.remat(MBConv, static_argnums=(2,)) if self.remat else MBConv
        block = functools.partial(kind, **share)
        blocks = sum(row.depth for row in layout.rows)
        rate = iter(self.drop_path * i / blocks for i in range(blocks))

        stride = 1 if self.small_stem else 2
        x = images.astype(self.dtype)
        x = ConvNorm(layout.stem, 3, stride, name="stem", **share)(x, train)
        for i, row in enumerate(layout.rows):
            row_block = functools.partial(
                block,
                row.width,
                expansion=row.expansion,
                size=row.size,
                squeeze=i + 1 in layout.squeeze,
            )
            strides = (row.stride, *[1] * (row.depth - 1))
            mbconvs = [
                functools.partial(row_block, stride=stride, drop_path=next(rate))
                for stride in strides
            ]
            x = Stage(mbconvs, name=f"stage{i + 1}")(x, train)
        if layout.top:
            x = ConvNorm(layout.top, 1, 1, name="top", **share)(x, train)
        return x.mean(axis=(1, 2))
