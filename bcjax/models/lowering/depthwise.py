"""Depthwise convolution as a sum of shifted products, and its gradients likewise.

One fused loop over the picture for all taps of the kernel: 15-40 GFLOP/s on two cores, where XLA's
own convolution runs at 1-2.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from bcjax.models.lowering.transposed import gathered
from bcjax.models.lowering.windows import Geometry, Kernel, Picture, Sides, views


def forward(x: Picture, kernel: Kernel, geometry: Geometry) -> Picture:
    taps = _wide(kernel).reshape(-1, x.shape[-1])
    seen = views(_wide(x), kernel.shape[:2], geometry)
    first, *others = (view * tap for view, tap in zip(seen, taps, strict=True))
    return sum(others, start=first).astype(x.dtype)


def input_gradient(g: Picture, kernel: Kernel, sides: Sides, geometry: Geometry) -> Picture:
    """The gradient with respect to a picture of `sides` (height, width)."""
    taps = _wide(kernel).reshape(-1, g.shape[-1])
    of_x = gathered([_wide(g)], kernel.shape[:2], sides, geometry, lambda i, g: g * taps[i])
    return of_x.astype(g.dtype)


def kernel_gradient(x: Picture, g: Picture, taps: Sides, geometry: Geometry) -> Kernel:
    # One reduction of as many operands as there are taps, so that the pictures are read once.
    wide = _wide(g)
    products = tuple(view * wide for view in views(_wide(x), taps, geometry))
    zeros = (jnp.zeros((), wide.dtype),) * len(products)
    sums = lax.reduce(products, zeros, lambda a, b: tuple(map(jnp.add, a, b)), (0, 1, 2))
    return jnp.stack(sums).reshape(*taps, 1, -1).astype(g.dtype)


def _wide(x: Array) -> Array:
    """Half-precision numbers are added up in float32, as the compiler's convolution does."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
