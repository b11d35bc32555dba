"""The strided views of a picture that the taps of a kernel see, and the way back from them.

Convolutions and pools are written with these: a tap is one place of a kernel or of a pool's window,
and its view has one pixel for each position of the window.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Pair = tuple[int, int]
Sides = tuple[int, ...]  # height and width
Picture = Float[Array, "B H W C"]
Kernel = Float[Array, "h w i o"]

_plain = contextvars.ContextVar("plain", default=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Makes convolutions and pools the single operations of their names, for other runtimes."""
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)


def is_plain() -> bool:
    """Returns whether this is within `plain`."""
    return _plain.get()


class Geometry(NamedTuple):
    """How the window of a convolution or a pool moves; each pair is (vertical, horizontal).

    Attributes:
      stride: The step of the window, 1 or more.
      edges: The numbers of pixels added before and after, for each direction, 0 or more.
      dilation: The step between the taps of the kernel, 1 or more.
    """

    stride: Pair = (1, 1)
    edges: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    def sides(self, picture: tuple[int, ...], kernel: tuple[int, ...]) -> Pair:
        """Returns height and width of the result; 0 where the window does not fit."""
        height, width = (
            max(0, (side + sum(edge) - (taps - 1) * gap - 1) // step + 1)
            for side, edge, taps, gap, step in zip(
                picture, self.edges, kernel, self.dilation, self.stride, strict=True
            )
        )
        return height, width


def pad(x: Picture, rows: Pair, columns: Pair, value: float = 0) -> Picture:
    """Adds pixels before and after; a negative number cuts pixels off instead."""
    edges = [(0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)]
    return lax.pad(x, jnp.asarray(value, x.dtype), edges)


def views(x: Picture, taps: Sides, geometry: Geometry, value: float = 0) -> list[Picture]:
    """Returns, for each tap of the kernel in row-major order, the pixels that it sees.

    Args:
      x: The pictures.
      taps: Height and width of the kernel.
      geometry: How the window moves.
      value: The value of pixels beyond the edges.
    """
    (vertical, horizontal), (down, right) = geometry.stride, geometry.dilation
    height, width = geometry.sides(x.shape[1:3], taps)
    # Written to memory once; otherwise XLA may compute the padding anew for each tap.
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


def gathered(
    results: Sequence[Picture],
    taps: Sides,
    sides: Sides,
    geometry: Geometry,
    share: Callable[..., Picture],
) -> Picture:
    """Returns for each pixel the sum of what the taps that saw it give back: `views`, transposed.

    JAX's own derivative of the views would scatter each tap's share into a picture of its own. Here
    nothing is scattered: at a stride of s the pixels fall into s*s phases, each of which is seen
    through other taps; each phase is one sum, and the phases are interleaved.

    Args:
      results: Arrays of one shape (B, h, w, C); the first has the dtype of the sum.
      taps: Height and width of the kernel.
      sides: Height and width of the picture.
      geometry: How the window moves.
      share: A function `(tap, *results)` of a tap's place in row-major order and the results, each
        shifted to where that tap sees a pixel. It returns what is added to the pixel, and 0 where
        the first result is 0.
    """
    down, right = (
        [_shifts(taps[i], geometry, i, phase) for phase in range(geometry.stride[i])]
        for i in range(2)
    )
    rows, columns = (-(-sides[i] // geometry.stride[i]) for i in range(2))
    phases = [
        [_phase(results, rights, downs, taps[1], (rows, columns), share) for rights in right]
        for downs in down
    ]
    if len(down) == len(right) == 1:
        return phases[0][0]
    # Phases side by side in the last axis are interleaved columns, and likewise rows. With a
    # transpose, or without the barrier, XLA would find each pixel's phase anew in the loop that
    # reads the picture.
    batch, *_, channels = results[0].shape
    lines = [
        jnp.concatenate(line, axis=-1).reshape(batch, rows, len(right) * columns, channels)
        for line in phases
    ]
    whole = jnp.stack(lines, axis=2).reshape(batch, len(down) * rows, -1, channels)
    return lax.optimization_barrier(whole)[:, : sides[0], : sides[1]]


def _shifts(taps: int, geometry: Geometry, axis: int, phase: int) -> dict[int, int]:
    """Returns the shift of each tap that sees the pixels stride * u + phase in result u - shift."""
    stride, first = geometry.stride[axis], geometry.edges[axis][0] + phase
    offsets = {tap: tap * geometry.dilation[axis] - first for tap in range(taps)}
    return {tap: offset // stride for tap, offset in offsets.items() if offset % stride == 0}


def _phase(
    results: Sequence[Picture],
    right: dict[int, int],
    down: dict[int, int],
    across: int,
    sides: Sides,
    share: Callable[..., Picture],
) -> Picture:
    batch, height, width, channels = results[0].shape
    total = jnp.zeros((batch, *sides, channels), results[0].dtype)
    if not down or not right:
        return total
    rows = _reach(down, sides[0], height)
    columns = _reach(right, sides[1], width)
    results = lax.optimization_barrier([pad(result, rows, columns) for result in results])
    for i, y in down.items():
        for j, x in right.items():
            top, left = rows[0] - y, columns[0] - x
            seen = (r[:, top : top + sides[0], left : left + sides[1]] for r in results)
            total += share(i * across + j, *seen)
    return total


def _reach(shifts: dict[int, int], side: int, available: int) -> Pair:
    """Returns the zeros needed before and after, so that every shift finds `side` results."""
    return max(shifts.values()), side - min(shifts.values()) - available
