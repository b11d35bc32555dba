"""How parameters begin: all random parameters of a network are drawn together.

In `model.init` each draw is compiled by itself, which takes XLA a third of a second and makes up
most of the start of a small network. `variables` gets the same distributions from one draw.
"""

import contextvars
import dataclasses
import math
import zlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jax import lax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

_ROW = 4096  # numbers drawn from one key; each kernel begins with a new row
_WHOLE = float(np.nextafter(np.float32(1), np.float32(0)))  # erf_inv of 1 would be infinite
_CUT = math.erf(math.sqrt(2))  # at two deviations,
_CUT_DEVIATION = 0.87962566103423978  # which leaves a normal distribution with this one

_declaring = contextvars.ContextVar("declaring", default=False)


class Declared(struct.PyTreeNode, nn.meta.AxisMetadata):
    """A parameter that is not drawn yet: zeros, and the distribution that it will have."""

    value: Any
    deviation: float = struct.field(pytree_node=False)
    bound: float = struct.field(pytree_node=False)

    def unbox(self) -> Any:
        """Returns the zeros, which give the following layers a shape."""
        return self.value

    def replace_boxed(self, val: Any) -> "Declared":
        """See `AxisMetadata`."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "Declared":
        """See `AxisMetadata`."""
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "Declared":
        """See `AxisMetadata`."""
        return self


@dataclasses.dataclass(frozen=True)
class Normal:
    """An initialiser that draws from a normal distribution of mean 0.

    Attributes:
      variance: The variance of the numbers; it is divided by the fan, if there is one.
      fan: The connections of a kernel (..., inputs, outputs) that are counted; "" for none.
      truncated: Whether no number lies beyond two deviations; the variance is the same.
    """

    variance: float
    fan: Literal["", "fan_in", "fan_out"] = ""
    truncated: bool = False

    def __call__(self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Returns a float32 array of this shape, or its declaration inside `variables`."""
        bound = _CUT if self.truncated else _WHOLE
        deviation = self._deviation(shape) / (_CUT_DEVIATION if self.truncated else 1)
        if _declaring.get():
            return Declared(jnp.zeros(shape, dtype), deviation, bound)
        drawn = _standard(key, math.prod(shape), jnp.float32(bound))
        return (deviation * drawn.reshape(shape)).astype(dtype or jnp.float32)

    def _deviation(self, shape: tuple[int, ...]) -> float:
        if not self.fan:
            return math.sqrt(self.variance)
        *window, inputs, outputs = shape
        count = inputs if self.fan == "fan_in" else outputs
        return math.sqrt(self.variance / (count * math.prod(window)))


# He et al., Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852.
he_normal = Normal(2.0, "fan_out")

# LeCun et al., Efficient BackProp (1998); truncated as in Keras, Flax and their kin.
lecun_normal = Normal(1.0, "fan_in", truncated=True)


def variables(
    model: nn.Module,
    key: Key[Array, ""],
    *args: Any,
    sharding: NamedSharding | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Returns what `model.init(key, ...)` returns, with other draws from the same distributions.

    Each parameter depends only on the key and its own path, so that a classifier for other classes
    leaves the backbone unchanged.

    Args:
      model: A network whose initialisers of random parameters are `Normal`.
      key: The key of all draws.
      *args: The arguments of `model.init`.
      sharding: The sharding of the drawn numbers while they are one array, over its first axis.
      **kwargs: The keyword arguments of `model.init`.
    """
    token = _declaring.set(True)
    try:
        declared = model.init(key, *args, **kwargs)
    finally:
        _declaring.reset(token)
    leaves, tree = jax.tree_util.tree_flatten_with_path(
        declared, is_leaf=lambda leaf: isinstance(leaf, Declared)
    )
    random = [(path, leaf) for path, leaf in leaves if isinstance(leaf, Declared)]
    if not random:
        return dict(declared)
    rows = [-(-leaf.value.size // _ROW) for _, leaf in random]
    names = np.array([zlib.crc32(jax.tree_util.keystr(path).encode()) for path, _ in random])
    bounds = np.array([leaf.bound for _, leaf in random], np.float32)
    each_row = np.concatenate([np.arange(n) for n in rows])

    def row(name: ArrayLike, number: ArrayLike, bound: ArrayLike) -> Float[Array, "_ROW"]:
        own = jax.random.fold_in(jax.random.fold_in(key, name), number)
        return _standard(own, _ROW, bound)

    drawn = jax.vmap(row)(np.repeat(names, rows), each_row, np.repeat(bounds, rows))
    drawn = (lax.with_sharding_constraint(drawn, sharding) if sharding else drawn).reshape(-1)
    begins = iter(np.cumsum([0, *rows]) * _ROW)

    def value(leaf: Any) -> Any:
        if not isinstance(leaf, Declared):
            return leaf
        zeros, begin = leaf.value, next(begins)
        numbers = drawn[begin : begin + zeros.size].reshape(zeros.shape)
        return (leaf.deviation * numbers).astype(zeros.dtype)

    return jax.tree.unflatten(tree, [value(leaf) for _, leaf in leaves])


def _standard(key: Key[Array, ""], count: int, bound: ArrayLike) -> Float[Array, "count"]:
    """Draws from the standard normal distribution between plus and minus erf_inv(bound)."""
    uniform = jax.random.uniform(key, (count,), minval=jnp.negative(bound), maxval=bound)
    return math.sqrt(2) * lax.erf_inv(uniform)
