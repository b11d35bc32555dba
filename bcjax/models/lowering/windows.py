"""The strided views of a picture that the taps of a kernel see."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Pair = tuple[int, int]
Sides = tuple[int, ...]  # height and width
Picture = Float[Array, "B H W C"]
Kernel = Float[Array, "h w i o"]


class Geometry(NamedTuple):
    """Where the window of a convolution stands; each pair is (vertical, horizontal).

    Attributes:
      stride: Of the window, 1 or more.
      edges: Zeros before and after, for each direction; 0 or more.
      dilation: Of the kernel, 1 or more.
    """

    stride: Pair = (1, 1)
    edges: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    def sides(self, picture: tuple[int, ...], kernel: tuple[int, ...]) -> Pair:
        """Height and width of the result; 0 where the window does not fit."""
        height, width = (
            max(0, (side + sum(edge) - (taps - 1) * gap - 1) // step + 1)
            for side, edge, taps, gap, step in zip(
                picture, self.edges, kernel, self.dilation, self.stride, strict=True
            )
        )
        return height, width


def pad(x: Picture, rows: Pair, columns: Pair, value: float = 0) -> Picture:
    """Adds pixels before and after; negative numbers cut off instead."""
    edges = [(0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)]
    return lax.pad(x, jnp.asarray(value, x.dtype), edges)


def views(x: Picture, taps: Sides, geometry: Geometry, value: float = 0) -> list[Picture]:
    """Returns, for each tap of the kernel in row-major order, the pixels that it sees.

    Args:
      x: Pictures.
      taps: Height and width of the kernel.
      geometry: Of the convolution or pooling.
      value: Of the pixels beyond the edges.
    """
    (vertical, horizontal), (down, right) = geometry.stride, geometry.dilation
    height, width = geometry.sides(x.shape[1:3], taps)
    # Written down once: else XLA may compute the padding anew for each tap.
    x = lax.optimization_barrier(pad(x, *geometry.edges, value))
    return [
        lax.slice(
            x,
            (0, top, left, 0),
            (
                len(x),
                top + max(0, (height - 1) * vertical + 1),
                left + max(0, (width - 1) * horizontal + 1),
                x.shape[3],
            ),
            (1, vertical, horizontal, 1),
        )
        for top in range(0, taps[0] * down, down)
        for left in range(0, taps[1] * right, right)
    ]
