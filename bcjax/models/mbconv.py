"""The inverted residual block of MobileNetV2 and, with squeeze-and-excitation, EfficientNet."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.models.drop_path import DropPath
from bcjax.models.initial import Normal

Layer = Callable[..., Any]

# A kernel of k x k numbers feeds each channel and leaves it: the published fan-out, counted for one
# channel, is what initialisers call fan-in here.
depthwise_init = Normal(2.0, "fan_in")


class ConvNorm(nn.Module):
    """A convolution, its normalisation and its activation: the stem and the top of a network."""

    width: int
    size: int
    stride: int
    activation: Callable[[Array], Array]
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w width"]:
        x = self.conv(self.width, self.size, self.stride, name="conv")(x)
        return self.activation(self.norm(name="norm")(x, train))


class SqueezeExcite(nn.Module):
    """Weighs each channel by what all channels are on average.

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
    """1x1 to more channels, depthwise, 1x1 to `width`, beside a shortcut where the shape stays.

    Attributes:
      width: Output channels.
      stride: Of the depthwise convolution.
      drop_path: Rate at which the branch is dropped where there is a shortcut.
      expansion: Channels of the depthwise convolution for each input channel; 1: no first 1x1.
      size: Side of the depthwise kernel.
      squeeze: Whether channels are weighed, from a quarter as many as the block's input has.
      activation: After each convolution but the last.
      conv: From (width, size, stride) to a convolution.
      norm: The normalisation.
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
            y = self.activation(self.norm(name="expand_norm")(y, train))
        y = self.conv(
            expanded,
            self.size,
            self.stride,
            groups=expanded,
            kernel_init=depthwise_init,
            name="depthwise_conv",
        )(y)
        y = self.activation(self.norm(name="depthwise_norm")(y, train))
        if self.squeeze:
            y = SqueezeExcite(max(1, inputs // 4), self.activation, self.conv, name="se")(y)
        y = self.conv(self.width, 1, name="project_conv")(y)
        y = self.norm(name="project_norm")(y, train)
        if self.stride > 1 or inputs != self.width:
            return y
        return x + DropPath(self.drop_path, name="drop_path")(y, train)
