"""Pooling whose gradient is fast on every backend."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from bcjax.models.lowering.transposed import gathered
from bcjax.models.lowering.windows import Geometry, Picture, views


def max_pool(
    x: Float[Array, "B H W C"], size: int, stride: int, *, padding: int = 0, ceil: bool = False
) -> Float[Array, "B h w C"]:
    """The maximum of each window; its gradient goes to the first pixel that holds it.

    Args:
      x: Pictures.
      size: Side of the window.
      stride: Between windows.
      padding: Pixels of minus infinity on each side.
      ceil: Whether a last window may leave the padded picture, or is left out where it would.
    """
    over = [-(side + 2 * padding - size) % stride if ceil else 0 for side in x.shape[1:3]]
    down, right = ((padding, padding + more) for more in over)
    return _max_pool(x, size, Geometry((stride, stride), (down, right)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(x: Picture, size: int, geometry: Geometry) -> Picture:
    return functools.reduce(jnp.maximum, views(x, (size, size), geometry, -jnp.inf))


def _saved(x: Picture, size: int, geometry: Geometry) -> tuple[Picture, tuple[Array, Picture]]:
    first, *others = views(x, (size, size), geometry, -jnp.inf)
    largest, which = first, jnp.zeros(first.shape, jnp.int32)
    for tap, view in enumerate(others, start=1):
        which = jnp.where(view > largest, tap, which)
        largest = jnp.maximum(largest, view)
    return largest, (which, x[:0])


def _gradient(
    size: int, geometry: Geometry, saved: tuple[Array, Picture], g: Picture
) -> tuple[Picture]:
    # XLA's own gradient of a maximum over windows, a scatter, takes a CPU 8 times as long.
    which, x = saved

    def share(tap: int, g: Picture, which: Array) -> Picture:
        return jnp.where(which == tap, g, 0)

    return (gathered([g, which], (size, size), x.shape[1:3], geometry, share),)


_max_pool.defvjp(_saved, _gradient)


def adaptive_average_pool(x: Float[Array, "B H W C"], side: int) -> Float[Array, "B side side C"]:
    """The average over side * side windows, as PyTorch's AdaptiveAvgPool2d chooses them.

    Window i reaches from floor(i H / side) to ceil((i + 1) H / side), so that windows overlap where
    H is no multiple of `side`, and repeat pixels where it is smaller.
    """
    if x.shape[1:3] == (side, side):
        return x
    rows, columns = (_windows(length, side).astype(x.dtype) for length in x.shape[1:3])
    return jnp.einsum("ph,bhwc,qw->bpqc", rows, x, columns, precision=lax.Precision.HIGHEST)


def _windows(length: int, count: int) -> Float[np.ndarray, "count length"]:
    """What each position weighs in the average over each window."""
    i = np.arange(count)[:, None]
    at = np.arange(length)
    inside = (at >= i * length // count) & (at < -(-(i + 1) * length // count))
    return inside / inside.sum(axis=1, keepdims=True)
