"""The convolution of every network: parameters as linen's, padding as the weights expect it."""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initial import Normal
from bcjax.models.lowering import Geometry, convolve
from bcjax.models.lowering.windows import Pair

# How published weights were made. "torch" pads a convolution alike on both sides; "tf" pads to the
# size that "SAME" wants, the odd pixel at the end, so that the two differ where a stride is 2;
# "keras" is "tf", but for what its MobileNetV1 does with odd sides.
Convention = Literal["torch", "tf", "keras"]
CONVENTIONS: tuple[Convention, ...] = ("torch", "tf", "keras")

he_normal = Normal(2.0, "fan_out")


class Conv(nn.Module):
    """A square convolution, without bias unless asked.

    Attributes:
      width: Output channels.
      size: Side of the kernel.
      stride: In both directions.
      groups: Input channels are divided into so many groups; as many as there are: depthwise.
      padding: Pixels on each side; None: as `convention` says, so that stride 1 keeps the size.
      convention: "torch", "tf" or "keras".
      use_bias: Whether there is one.
      dtype: Of the computation; parameters are float32.
      kernel_init: Of the kernel, (size, size, inputs / groups, width).
    """

    width: int
    size: int
    stride: int = 1
    groups: int = 1
    padding: int | None = None
    convention: Convention = "torch"
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable[..., Any] = he_normal

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.width)
        kernel = self.param("kernel", self.kernel_init, shape)
        geometry = Geometry((self.stride, self.stride), self._edges(x.shape[1:3]))
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), geometry, self.groups)
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return y + bias.astype(self.dtype)

    def _edges(self, sides: tuple[int, ...]) -> tuple[Pair, Pair]:
        if self.padding is None and self.convention != "torch":
            pads = lax.padtype_to_pads(sides, (self.size,) * 2, (self.stride,) * 2, "SAME")
            return pads[0], pads[1]
        edge = self.size // 2 if self.padding is None else self.padding
        return (edge, edge), (edge, edge)
