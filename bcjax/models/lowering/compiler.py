"""The compiler's own convolution."""

import jax
from jax import lax

from bcjax.models.lowering.windows import Geometry, Kernel, Picture


def forward(x: Picture, kernel: Kernel, geometry: Geometry, groups: int) -> Picture:
    return lax.conv_general_dilated(
        x,
        kernel,
        geometry.stride,
        geometry.edges,
        rhs_dilation=geometry.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def input_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Picture:
    return jax.vjp(lambda x: forward(x, kernel, geometry, groups), x)[1](g)[0]


def kernel_gradient(
    x: Picture, kernel: Kernel, g: Picture, geometry: Geometry, groups: int
) -> Kernel:
    return jax.vjp(lambda kernel: forward(x, kernel, geometry, groups), kernel)[1](g)[0]
