"""How a convolution is computed: as the compiler likes on accelerators, as a CPU likes on a CPU.

XLA's convolutions leave much of a CPU idle: depthwise ones run at 1-2 GFLOP/s on two cores, 1x1
ones at half the speed of the matrix product that they are, kernel gradients at a quarter (all
measured; jax-ml/jax #13800 and #23713, google/flax #4207). Here they are put together from matrix
products and shifted sums, which XLA compiles well. Values and gradients are those of
`lax.conv_general_dilated`, and parameters do not know of it.
"""

import functools
from collections.abc import Callable

import jax
from jax import lax

from bcjax.models.lowering import compiler, cpu
from bcjax.models.lowering.windows import Geometry, Kernel, Picture

__all__ = ["Geometry", "convolve"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: Picture, kernel: Kernel, geometry: Geometry, groups: int = 1) -> Picture:
    """`lax.conv_general_dilated` of NHWC pictures with an HWIO kernel, lowered by platform.

    Differentiable in reverse mode, once.

    Args:
      x: Pictures.
      kernel: Of the same dtype; i is C / groups.
      geometry: Stride, edges and dilation.
      groups: Into which the channels are divided.
    """
    return _by_platform(cpu.forward, compiler.forward, geometry, groups, x, kernel)


def _saved(
    x: Picture, kernel: Kernel, geometry: Geometry, groups: int
) -> tuple[Picture, tuple[Picture, Kernel]]:
    return convolve(x, kernel, geometry, groups), (x, kernel)


def _gradients(
    geometry: Geometry, groups: int, saved: tuple[Picture, Kernel], g: Picture
) -> tuple[Picture, Kernel]:
    # One dispatch for each: a gradient that is not asked for is not computed.
    of_input, of_kernel = (
        _by_platform(on_cpu, elsewhere, geometry, groups, *saved, g)
        for on_cpu, elsewhere in (
            (cpu.input_gradient, compiler.input_gradient),
            (cpu.kernel_gradient, compiler.kernel_gradient),
        )
    )
    return of_input, of_kernel


# Jitted and inlined: like convolutions are traced once, and the program is as if each had been.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), inline=True)
def _by_platform(
    on_cpu: Callable, elsewhere: Callable, geometry: Geometry, groups: int, *operands: jax.Array
) -> jax.Array:
    return lax.platform_dependent(
        *operands,
        cpu=functools.partial(on_cpu, geometry=geometry, groups=groups),
        default=functools.partial(elsewhere, geometry=geometry, groups=groups),
    )


convolve.defvjp(_saved, _gradients)
