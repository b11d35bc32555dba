"""How a convolution is computed: by XLA on accelerators, by matrix products and sums on a CPU.

XLA's convolutions leave much of a CPU idle: depthwise ones run at 1-2 GFLOP/s on two cores, 1x1
ones at half the speed of the matrix product that they are, kernel gradients at a quarter (all
measured; jax-ml/jax #13800 and #23713, google/flax #4207). Here they are rewritten as matrix
products and shifted sums, which XLA compiles well. Values and gradients are those of
`lax.conv_general_dilated`, and so are the parameters.
"""

import enum
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from bcjax.models.windows import Geometry, Kernel, Picture, Sides, gathered, is_plain, pad, views

Bias = Float[Array, "o"]
_Operands = tuple[Picture, Kernel, Bias | None]

# With up to this many positions in a picture, a product of windows beats XLA's convolution.
_SMALL_MAP = 16
# Products of up to this many rows, as in the last stages for one picture, are computed transposed.
_FEW_ROWS = 16
# With these numbers of channels the gradient of a kernel takes the windows as rows; with fewer or
# more, transposing the picture first costs less than it spares.
_WINDOWS_AS_ROWS = range(5, 64)


def convolve(
    x: Picture, kernel: Kernel, geometry: Geometry, groups: int = 1, bias: Bias | None = None
) -> Picture:
    """Computes `lax.conv_general_dilated` of NHWC pictures with an HWIO kernel.

    It can be differentiated in reverse mode, once.

    Args:
      x: The pictures, (B, H, W, C).
      kernel: The kernel, (h, w, C / groups, outputs), of the same dtype.
      geometry: Stride, edges and dilation.
      groups: The number of groups into which the channels are divided.
      bias: What is added to each output channel, of the same dtype; None for nothing.
    """
    if is_plain():
        y = xla_forward(x, kernel, geometry, groups)
        return y if bias is None else y + bias
    return _convolve(x, kernel, bias, geometry, groups)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _convolve(
    x: Picture, kernel: Kernel, bias: Bias | None, geometry: Geometry, groups: int
) -> Picture:
    if bias is None:
        return _by_platform(cpu_forward, xla_forward, geometry, groups, x, kernel)
    return _by_platform(cpu_biased, xla_biased, geometry, groups, x, kernel, bias)


def _saved(
    x: Picture, kernel: Kernel, bias: Bias | None, geometry: Geometry, groups: int
) -> tuple[Picture, _Operands]:
    return _convolve(x, kernel, bias, geometry, groups), (x, kernel, bias)


def _gradients(geometry: Geometry, groups: int, saved: _Operands, g: Picture) -> _Operands:
    x, kernel, bias = saved
    # One dispatch for each gradient, so that one that nobody uses is not computed.
    of_input, of_kernel = (
        _by_platform(on_cpu, elsewhere, geometry, groups, x, kernel, g)
        for on_cpu, elsewhere in (
            (cpu_input_gradient, xla_input_gradient),
            (cpu_kernel_gradient, xla_kernel_gradient),
        )
    )
    return of_input, of_kernel, None if bias is None else g.sum((0, 1, 2))


# Jitted and inlined: equal convolutions are traced once, and the program is as without jit.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), inline=True)
def _by_platform(
    on_cpu: Callable, elsewhere: Callable, geometry: Geometry, groups: int, *operands: jax.Array
) -> jax.Array:
    return lax.platform_dependent(
        *operands,
        cpu=functools.partial(on_cpu, geometry=geometry, groups=groups),
        default=functools.partial(elsewhere, geometry=geometry, groups=groups),
    )


_convolve.defvjp(_saved, _gradients)


# XLA's own convolution


def xla_forward(x: Picture, kernel: Kernel, geometry: Geometry, groups: int) -> Picture:
    return lax.conv_general_dilated(
        x,
        kernel,
        geometry.stride,
        geometry.edges,
        rhs_dilation=geometry.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def xla_biased(x: Picture, kernel: Kernel, bias: Bias, geometry: Geometry, groups: int) -> Picture:
    return xla_forward(x, kernel, geometry, groups) + bias


def xla_input_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Picture:
    return jax.vjp(lambda x: xla_forward(x, kernel, geometry, groups), x)[1](g)[0]


def xla_kernel_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Kernel:
    return jax.vjp(lambda kernel: xla_forward(x, kernel, geometry, groups), kernel)[1](g)[0]


# On a CPU: a product, a sum of shifted products, or XLA's convolution


class Way(enum.Enum):
    """How a CPU computes a convolution."""

    POINTWISE = enum.auto()
    PATCHIFY = enum.auto()
    DEPTHWISE = enum.auto()
    WINDOWED = enum.auto()
    COMPILER = enum.auto()


def way(x: Picture, kernel: Kernel, geometry: Geometry, groups: int) -> Way:
    """Chooses the fastest way by shape, as measured on two cores with AVX2."""
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


def cpu_forward(x: Picture, kernel: Kernel, geometry: Geometry, groups: int) -> Picture:
    match way(x, kernel, geometry, groups):
        case Way.POINTWISE:
            return pointwise(x, kernel, geometry)
        case Way.PATCHIFY:
            return patchify(x, kernel)
        case Way.DEPTHWISE:
            return depthwise(x, kernel, geometry)
        case Way.WINDOWED if _small(x, kernel, geometry):
            return windowed(x, kernel, geometry)
    return xla_forward(x, kernel, geometry, groups)


def cpu_biased(x: Picture, kernel: Kernel, bias: Bias, geometry: Geometry, groups: int) -> Picture:
    if way(x, kernel, geometry, groups) is Way.DEPTHWISE:
        return depthwise(x, kernel, geometry, bias)
    return cpu_forward(x, kernel, geometry, groups) + bias


def cpu_input_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Picture:
    match way(x, kernel, geometry, groups):
        case Way.POINTWISE | Way.PATCHIFY:
            return jax.vjp(lambda x: cpu_forward(x, kernel, geometry, groups), x)[1](g)[0]
        case Way.DEPTHWISE:
            return depthwise_input_gradient(g, kernel, x.shape[1:3], geometry)
        case Way.WINDOWED if _small(x, kernel, geometry):
            return jax.vjp(lambda x: windowed(x, kernel, geometry), x)[1](g)[0]
    return xla_input_gradient(x, kernel, g, geometry, groups)


def cpu_kernel_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Kernel:
    match way(x, kernel, geometry, groups):
        case Way.POINTWISE | Way.PATCHIFY:
            return jax.vjp(lambda kernel: cpu_forward(x, kernel, geometry, groups), kernel)[1](g)[0]
        case Way.DEPTHWISE:
            return depthwise_kernel_gradient(x, g, kernel.shape[:2], geometry)
        case Way.WINDOWED:
            return windowed_kernel_gradient(x, g, kernel.shape[:2], geometry)
    return xla_kernel_gradient(x, kernel, g, geometry, groups)


def _small(x: Picture, kernel: Kernel, geometry: Geometry) -> bool:
    height, width = geometry.sides(x.shape[1:3], kernel.shape[:2])
    return height * width <= _SMALL_MAP


# Matrix products, which a CPU computes at nearly its peak


def pointwise(x: Picture, kernel: Kernel, geometry: Geometry) -> Picture:
    """Computes a convolution with a 1x1 kernel and no edges: pixels times a matrix."""
    x = x[:, :: geometry.stride[0], :: geometry.stride[1]]
    return _product(_rows(x), kernel[0, 0]).reshape(*x.shape[:3], -1)


def patchify(x: Picture, kernel: Kernel) -> Picture:
    """Computes a convolution whose stride is the kernel's size: windows do not overlap."""
    size, across = kernel.shape[:2]
    height, width = x.shape[1] // size, x.shape[2] // across
    x = x[:, : height * size, : width * across]
    x = x.reshape(len(x), height, size, width, across, -1).transpose(0, 1, 3, 2, 4, 5)
    rows = x.reshape(len(x) * height * width, -1)
    return _product(rows, kernel.reshape(-1, kernel.shape[-1])).reshape(len(x), height, width, -1)


def windowed(x: Picture, kernel: Kernel, geometry: Geometry) -> Picture:
    """Computes any convolution with the windows as rows of a matrix ("im2col")."""
    height, width = geometry.sides(x.shape[1:3], kernel.shape[:2])
    rows = patches(x, kernel.shape[:2], geometry)
    return _product(rows, kernel.reshape(-1, kernel.shape[-1])).reshape(len(x), height, width, -1)


def windowed_kernel_gradient(x: Picture, g: Picture, taps: Sides, geometry: Geometry) -> Kernel:
    if x.shape[-1] not in _WINDOWS_AS_ROWS:
        product = _product(columns(x, taps, geometry), _rows(g))
        return product.reshape(*taps, x.shape[-1], -1)
    across = _across(x, taps, geometry)
    tall = g.shape[1] >= 4 * (taps[0] - 1)
    if geometry.stride[0] == 1 and tall and g.shape[-1] <= across.shape[-1]:
        # The windows across of the picture times the windows down of g, with zeros above and below:
        # less to write than windows of both directions, and one product for all taps.
        gaps = [geometry.dilation[0] * tap for tap in range(taps[0])]
        down = _together([pad(g, (gap, gaps[-1] - gap), (0, 0)) for gap in gaps])
        product = _product(_rows(across).T, _rows(down))
        return product.reshape(taps[1], x.shape[-1], taps[0], -1).transpose(2, 0, 1, 3)
    product = _product(patches(x, taps, geometry).T, _rows(g))
    return product.reshape(*taps, x.shape[-1], -1)


def patches(x: Picture, taps: Sides, geometry: Geometry) -> Float[Array, "positions taps*C"]:
    """Returns each window as a row, in the order of the rows of a reshaped HWIO kernel."""
    down = Geometry((geometry.stride[0], 1), dilation=(geometry.dilation[0], 1))
    return _rows(_together(views(_across(x, taps, geometry), (taps[0], 1), down)))


def columns(x: Picture, taps: Sides, geometry: Geometry) -> Float[Array, "taps*C positions"]:
    """Returns each window as a column: the transpose of `patches`.

    XLA hands a product to YNNPACK only if its left side is not transposed. The picture is
    transposed before its pixels are repeated, so that less is moved.
    """
    x = lax.optimization_barrier(pad(x, *geometry.edges).transpose(3, 0, 1, 2))
    for axis in (1, 0):  # windows across, then down
        gap = geometry.dilation[axis]
        reach = x.shape[2 + axis] - gap * (taps[axis] - 1)
        seen = (
            lax.slice_in_dim(x, first, first + reach, geometry.stride[axis], axis=2 + axis)
            for first in range(0, taps[axis] * gap, gap)
        )
        x = lax.optimization_barrier(jnp.concatenate(list(seen)))
    return x.reshape(len(x), -1)


def _across(x: Picture, taps: Sides, geometry: Geometry) -> Float[Array, "B H w taps*C"]:
    """Returns for each row of the padded picture the windows across it.

    Windows of both directions are then windows down of these. So there are few views, and XLA
    writes a loop for each view.
    """
    across = Geometry((1, geometry.stride[1]), geometry.edges, (1, geometry.dilation[1]))
    return _together(views(x, (1, taps[1]), across))


def _together(pictures: list[Picture]) -> Picture:
    # Written to memory once. Otherwise XLA makes it part of the product's loop, which is several
    # times slower.
    return lax.optimization_barrier(jnp.concatenate(pictures, axis=-1))


def _rows(x: Picture) -> Float[Array, "positions C"]:
    return x.reshape(-1, x.shape[-1])


def _product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    if len(a) <= _FEW_ROWS and a.dtype == jnp.float32:
        # XLA hands a product to YNNPACK, which first packs all of `b`: for a few rows that is half
        # the time and more. It does not take products whose left side is transposed.
        columns = lax.optimization_barrier(a.T)
        return lax.dot_general(columns, b, (((0,), (0,)), ((), ())))
    # Half-precision numbers are added up in float32, as in XLA's convolution.
    return jnp.matmul(a, b, preferred_element_type=jnp.promote_types(a.dtype, jnp.float32)).astype(
        a.dtype
    )


# Depthwise convolutions and their gradients


def depthwise(x: Picture, kernel: Kernel, geometry: Geometry, bias: Bias | None = None) -> Picture:
    """Computes a depthwise convolution as a sum of shifted products.

    It is one fused loop over the picture for all taps of the kernel and reaches 15-40 GFLOP/s on
    two cores.
    """
    taps = _wide(kernel).reshape(-1, x.shape[-1])
    seen = views(_wide(x), kernel.shape[:2], geometry)
    first, *others = (view * tap for view, tap in zip(seen, taps, strict=True))
    # The bias comes first: XLA would compute a sum whose last term is a number per channel anew in
    # each loop that reads it.
    start = first if bias is None else first + _wide(bias)
    return sum(others, start=start).astype(x.dtype)


def depthwise_input_gradient(
    g: Picture, kernel: Kernel, sides: Sides, geometry: Geometry
) -> Picture:
    """Returns the gradient with respect to a picture of `sides` (height, width)."""
    taps = _wide(kernel).reshape(-1, g.shape[-1])
    of_x = gathered([_wide(g)], kernel.shape[:2], sides, geometry, lambda i, g: g * taps[i])
    return of_x.astype(g.dtype)


def depthwise_kernel_gradient(x: Picture, g: Picture, taps: Sides, geometry: Geometry) -> Kernel:
    # One reduction with an operand for each tap, so that the pictures are read once; picture by
    # picture, for its loops go over all pixels for each channel, and one picture fits in the cache.
    wide = _wide(g)
    products = tuple(view * wide for view in views(_wide(x), taps, geometry))
    zeros = (jnp.zeros((), wide.dtype),) * len(products)
    sums = lax.reduce(products, zeros, lambda a, b: tuple(map(jnp.add, a, b)), (1, 2))
    return jnp.stack(sums).sum(1).reshape(*taps, 1, -1).astype(g.dtype)


def _wide(x: Array) -> Array:
    """Returns half-precision numbers in float32, in which XLA's convolution adds them up too."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
