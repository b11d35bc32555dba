"""Convolutions as matrix products, which a CPU computes at nearly its peak."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from bcjax.models.lowering.windows import Geometry, Kernel, Picture, Sides, views

# Up to so many, as the last stages of one picture have, the rows of a product are few.
_FEW_ROWS = 16


def pointwise(x: Picture, kernel: Kernel, geometry: Geometry) -> Picture:
    """A 1x1 kernel without edges: the pixels that the stride leaves, times a matrix."""
    x = x[:, :: geometry.stride[0], :: geometry.stride[1]]
    rows = x.reshape(-1, x.shape[-1])
    return _product(rows, kernel[0, 0]).reshape(*x.shape[:3], -1)


def patchify(x: Picture, kernel: Kernel) -> Picture:
    """A stride as large as the kernel, without edges: windows that do not overlap."""
    size, across = kernel.shape[:2]
    height, width = x.shape[1] // size, x.shape[2] // across
    x = x[:, : height * size, : width * across]
    x = x.reshape(len(x), height, size, width, across, -1).transpose(0, 1, 3, 2, 4, 5)
    rows = x.reshape(len(x) * height * width, -1)
    return _product(rows, kernel.reshape(-1, kernel.shape[-1])).reshape(len(x), height, width, -1)


def windowed(x: Picture, kernel: Kernel, geometry: Geometry) -> Picture:
    """Any kernel: the windows side by side, as rows of a matrix ("im2col")."""
    height, width = geometry.sides(x.shape[1:3], kernel.shape[:2])
    rows = patches(x, kernel.shape[:2], geometry)
    return _product(rows, kernel.reshape(-1, kernel.shape[-1])).reshape(len(x), height, width, -1)


def kernel_gradient(x: Picture, g: Picture, taps: Sides, geometry: Geometry) -> Kernel:
    rows = patches(x, taps, geometry)
    product = _product(rows.T, g.reshape(-1, g.shape[-1]))
    return product.reshape(*taps, x.shape[-1], -1)


def patches(x: Picture, taps: Sides, geometry: Geometry) -> Float[Array, "positions taps*C"]:
    """Each window as a row, ordered as the rows of a reshaped HWIO kernel."""
    rows = jnp.concatenate(views(x, taps, geometry), axis=-1)
    # Written down once. Else XLA makes it part of the product's loop, several times slower.
    rows = lax.optimization_barrier(rows)
    return rows.reshape(-1, rows.shape[-1])


def _product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    if len(a) <= _FEW_ROWS and a.dtype == jnp.float32:
        # XLA gives a product to YNNPACK, which packs all of `b` first: of a few rows, half the time
        # and more. It does not take a left side that stands transposed.
        columns = lax.optimization_barrier(a.T)
        return lax.dot_general(columns, b, (((0,), (0,)), ((), ())))
    # Half-precision numbers are added up in float32, as the compiler's convolution does.
    return jnp.matmul(a, b, preferred_element_type=jnp.promote_types(a.dtype, jnp.float32)).astype(
        a.dtype
    )
