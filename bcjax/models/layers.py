"""The layers that networks share, other than normalisation: convolution, pools, drop path, head."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.convolution import convolve
from bcjax.models.initialisers import he_normal, lecun_normal
from bcjax.models.windows import Geometry, Pair, Picture, gathered, is_plain, views
from bcjax.runtime.errors import UserError

# How published weights were made. "torch" pads a convolution alike on both sides; "tf" pads to the
# size that "SAME" wants, with the odd pixel at the end, so that the two differ where a stride is 2;
# "keras" is "tf", except for what Keras's MobileNetV1 does at odd sides.
Convention = Literal["torch", "tf", "keras"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


class Conv(nn.Module):
    """A square convolution with the parameters of `nn.Conv`, by default without a bias.

    Attributes:
      width: The number of output channels.
      size: The side of the kernel.
      stride: The stride in both directions.
      groups: The number of groups of input channels; with one for each channel it is depthwise.
      padding: The pixels added on each side; None: as `convention` says, so that a stride of 1
        keeps the size.
      convention: Whose padding is used: "torch", "tf" or "keras".
      use_bias: Whether there is a bias.
      dtype: The dtype of the computation; parameters are float32.
      kernel_init: The initialiser of the kernel, (size, size, inputs / groups, width).
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
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.width,)).astype(self.dtype)
        return self.convolved(x, kernel, bias)

    def convolved(
        self,
        x: Float[Array, "B H W C"],
        kernel: Float[Array, "size size c width"],
        bias: Float[Array, "width"] | None = None,
    ) -> Float[Array, "B h w width"]:
        """Computes the convolution with another kernel of the same shape, and another bias."""
        geometry = Geometry((self.stride, self.stride), self._edges(x.shape[1:3]))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        return convolve(x, kernel, geometry, self.groups, bias)

    def _edges(self, sides: tuple[int, ...]) -> tuple[Pair, Pair]:
        if self.padding is None and self.convention != "torch":
            pads = lax.padtype_to_pads(sides, (self.size,) * 2, (self.stride,) * 2, "SAME")
            return pads[0], pads[1]
        edge = self.size // 2 if self.padding is None else self.padding
        return (edge, edge), (edge, edge)


def require_side(images: Float[Array, "B H W C"], least: int) -> None:
    """Checks that pictures are large enough for some pixels to reach the classifier.

    Raises:
      UserError: A side is shorter than `least` pixels.
    """
    height, width = images.shape[1:3]
    if min(height, width) < least:
        raise UserError(
            f"Pictures of {height}x{width} (height x width) are too small for this network, which "
            f"needs {least} px of each: choose a larger data.image_size, or model.small_stem=True."
        )


# Pools whose gradient is fast on every backend


def max_pool(
    x: Float[Array, "B H W C"], size: int, stride: int, *, padding: int = 0, ceil: bool = False
) -> Float[Array, "B h w C"]:
    """Returns the maximum of each window; its gradient goes to the first pixel that holds it.

    Args:
      x: The pictures.
      size: The side of the window.
      stride: The step between windows.
      padding: The pixels of minus infinity added on each side.
      ceil: Whether a last window that reaches beyond the padded picture counts too.
    """
    over = [-(side + 2 * padding - size) % stride if ceil else 0 for side in x.shape[1:3]]
    down, right = ((padding, padding + more) for more in over)
    geometry = Geometry((stride, stride), (down, right))
    if is_plain():
        window, steps = (1, size, size, 1), (1, *geometry.stride, 1)
        edges = ((0, 0), *geometry.edges, (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, window, steps, edges)
    return _max_pool(x, size, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(x: Picture, size: int, geometry: Geometry) -> Picture:
    return functools.reduce(jnp.maximum, views(x, (size, size), geometry, -jnp.inf))


def _max_pool_saved(
    x: Picture, size: int, geometry: Geometry
) -> tuple[Picture, tuple[Array, Picture]]:
    first, *others = views(x, (size, size), geometry, -jnp.inf)
    largest, which = first, jnp.zeros(first.shape, jnp.int32)
    for tap, view in enumerate(others, start=1):
        which = jnp.where(view > largest, tap, which)
        largest = jnp.maximum(largest, view)
    return largest, (which, x[:0])


def _max_pool_gradient(
    size: int, geometry: Geometry, saved: tuple[Array, Picture], g: Picture
) -> tuple[Picture]:
    # XLA's own gradient of a maximum over windows, a scatter, takes a CPU 8 times as long.
    which, x = saved

    def share(tap: int, g: Picture, which: Array) -> Picture:
        return jnp.where(which == tap, g, 0)

    return (gathered([g, which], (size, size), x.shape[1:3], geometry, share),)


_max_pool.defvjp(_max_pool_saved, _max_pool_gradient)


def average_pool(x: Float[Array, "B H W C"], size: int) -> Float[Array, "B h w C"]:
    """Returns the average of each window of `size` pixels a side; windows do not overlap.

    Rows and columns that fill no whole window are left out.
    """
    batch, height, width, channels = x.shape
    rows, columns = height // size, width // size
    x = x[:, : rows * size, : columns * size]
    return x.reshape(batch, rows, size, columns, size, channels).mean(axis=(2, 4))


def adaptive_average_pool(x: Float[Array, "B H W C"], side: int) -> Float[Array, "B side side C"]:
    """Returns the averages of side * side windows, which lie as in PyTorch's AdaptiveAvgPool2d.

    Window i reaches from floor(i H / side) to ceil((i + 1) H / side), so that windows overlap where
    H is no multiple of `side`, and repeat pixels where H is smaller.
    """
    if x.shape[1:3] == (side, side):
        return x
    rows, columns = (_windows(length, side).astype(x.dtype) for length in x.shape[1:3])
    return jnp.einsum("ph,bhwc,qw->bpqc", rows, x, columns, precision=lax.Precision.HIGHEST)


def _windows(length: int, count: int) -> Float[np.ndarray, "count length"]:
    """Returns the weight of each position in the average over each window."""
    i = np.arange(count)[:, None]
    at = np.arange(length)
    inside = (at >= i * length // count) & (at < -(-(i + 1) * length // count))
    return inside / inside.sum(axis=1, keepdims=True)


# Activation, drop path, stage, classifier


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns x times the normal distribution's mass below x (arXiv:1606.08415), not approximated.

    It uses erf, where `jax.nn.gelu` uses erfc: the difference is below float32's rounding of x, and
    a CPU computes it in two fifths of the time.
    """
    if is_plain():
        return nn.gelu(x, approximate=False)
    return x * (0.5 + 0.5 * lax.erf(x * jnp.asarray(math.sqrt(0.5), x.dtype)))


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch for some pictures, and scales it for the others.

    The scale keeps the mean. Huang et al., Deep Networks with Stochastic Depth, ECCV 2016,
    arXiv:1603.09382.

    Attributes:
      rate: The probability that a picture's branch is dropped, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, branch: Float[Array, "B *rest"], train: bool) -> Float[Array, "B *rest"]:
        if not train or self.rate == 0:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return branch * kept.astype(branch.dtype) / (1 - self.rate)


def drop_path_rates(last: float, blocks: int) -> list[float]:
    """Returns the rate of each block: it rises linearly from 0 at the first to `last`."""
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]


class Stage(nn.Module):
    """Blocks one after the other, called block1, block2, ...

    Attributes:
      blocks: For each block a function from its name to the block.
    """

    blocks: Sequence[Callable[..., nn.Module]]

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B h w c"]:
        for i, block in enumerate(self.blocks):
            x = block(name=f"block{i + 1}")(x, train)
        return x


class Dropout(nn.Module):
    """Linen's dropout, with the argument `train` that every other layer has.

    Attributes:
      rate: The share of numbers that are dropped, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        return nn.Dropout(self.rate, deterministic=not train)(x)


class Head(nn.Module):
    """The classifier: dense layers `dense1`, `dense2`, ..., `logits`, each after a dropout.

    Attributes:
      classes: The number of logits.
      hidden: The units of each hidden layer; () for a linear classifier.
      dropout: The dropout rate before each dense layer, in [0, 1).
      activation: The function after each hidden layer.
      dtype: The dtype of the hidden layers; logits are float32.
      kernel_init: The initialiser of the hidden layers' kernels.
      logits_init: The initialiser of the last layer's kernel.
      first_dropout: Whether there is a dropout before the first hidden layer too.
      last_dropout: Whether there is a dropout before `logits` too.
    """

    classes: int
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    activation: Callable[[Array], Array] = nn.relu
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable[..., Any] = lecun_normal
    logits_init: Callable[..., Any] = lecun_normal
    first_dropout: bool = True
    last_dropout: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B C"], train: bool) -> Float[Array, "B classes"]:
        for i, units in enumerate(self.hidden):
            if i > 0 or self.first_dropout:
                x = Dropout(self.dropout, name=f"dropout{i + 1}")(x, train)
            dense = nn.Dense(
                units, dtype=self.dtype, kernel_init=self.kernel_init, name=f"dense{i + 1}"
            )
            x = self.activation(dense(x))
        if self.last_dropout:
            x = Dropout(self.dropout, name="dropout")(x, train)
        return nn.Dense(
            self.classes, dtype=jnp.float32, kernel_init=self.logits_init, name="logits"
        )(x)
