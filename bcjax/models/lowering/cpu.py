"""Which way a CPU takes: a product, a sum of shifted products, or the compiler's convolution."""

import enum

import jax

from bcjax.models.lowering import compiler, depthwise, products
from bcjax.models.lowering.windows import Geometry, Kernel, Picture

# Up to so many positions in a picture, a product of windows beats XLA's convolution.
_SMALL_MAP = 16


class Way(enum.Enum):
    """How a convolution is computed."""

    POINTWISE = enum.auto()
    PATCHIFY = enum.auto()
    DEPTHWISE = enum.auto()
    WINDOWED = enum.auto()
    COMPILER = enum.auto()


def way(x: Picture, kernel: Kernel, geometry: Geometry, groups: int) -> Way:
    """Chooses by shape; which is fastest was measured on two cores with AVX2."""
    taps = kernel.shape[:2]
    if groups == x.shape[-1] == kernel.shape[-1] > 1:
        return Way.DEPTHWISE
    if groups > 1 or 0 in x.shape or 0 in geometry.sides(x.shape[1:3], taps):
        return Way.COMPILER
    if not any(map(any, geometry.edges)):
        if taps == (1, 1):
            return Way.POINTWISE
        if taps == geometry.stride and geometry.dilation == (1, 1):
            return Way.PATCHIFY
    return Way.WINDOWED


def forward(x: Picture, kernel: Kernel, geometry: Geometry, groups: int) -> Picture:
    match way(x, kernel, geometry, groups):
        case Way.POINTWISE:
            return products.pointwise(x, kernel, geometry)
        case Way.PATCHIFY:
            return products.patchify(x, kernel)
        case Way.DEPTHWISE:
            return depthwise.forward(x, kernel, geometry)
        case Way.WINDOWED if _small(x, kernel, geometry):
            return products.windowed(x, kernel, geometry)
    return compiler.forward(x, kernel, geometry, groups)


def input_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Picture:
    match way(x, kernel, geometry, groups):
        case Way.POINTWISE | Way.PATCHIFY:
            return jax.vjp(lambda x: forward(x, kernel, geometry, groups), x)[1](g)[0]
        case Way.DEPTHWISE:
            return depthwise.input_gradient(g, kernel, x.shape[1:3], geometry)
        case Way.WINDOWED if _small(x, kernel, geometry):
            return jax.vjp(lambda x: products.windowed(x, kernel, geometry), x)[1](g)[0]
    return compiler.input_gradient(x, kernel, g, geometry, groups)


def kernel_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Kernel:
    match way(x, kernel, geometry, groups):
        case Way.POINTWISE | Way.PATCHIFY:
            return jax.vjp(lambda kernel: forward(x, kernel, geometry, groups), kernel)[1](g)[0]
        case Way.DEPTHWISE:
            return depthwise.kernel_gradient(x, g, kernel.shape[:2], geometry)
        case Way.WINDOWED:
            return products.kernel_gradient(x, g, kernel.shape[:2], geometry)
    return compiler.kernel_gradient(x, kernel, g, geometry, groups)


def _small(x: Picture, kernel: Kernel, geometry: Geometry) -> bool:
    height, width = geometry.sides(x.shape[1:3], kernel.shape[:2])
    return height * width <= _SMALL_MAP
