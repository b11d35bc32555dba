"""The transpose of `windows.views`: from results back to the pixels that they saw."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from bcjax.models.lowering.windows import Geometry, Pair, Picture, Sides, pad


def gathered(
    results: Sequence[Picture],
    taps: Sides,
    sides: Sides,
    geometry: Geometry,
    share: Callable[..., Picture],
) -> Picture:
    """For each pixel, the sum over the taps that saw it of what that tap's result hands back.

    JAX's own derivative of the views would scatter each tap's share into a picture of its own. Here
    nothing is scattered: at a stride of s the pixels fall into s*s phases, each of which is seen
    through taps of its own; each phase is one sum, and they are interleaved.

    Args:
      results: Arrays of one shape (B, h, w, C), the first of the dtype of the sum.
      taps: Height and width of the kernel.
      sides: Height and width of the picture.
      geometry: Of the convolution or pooling.
      share: From a tap's place in row-major order and the `results`, each shifted to where that tap
        sees a pixel, to what is added there; 0 where the first is 0.
    """
    down, right = (
        [_shifts(taps[i], geometry, i, phase) for phase in range(geometry.stride[i])]
        for i in range(2)
    )
    rows, columns = (-(-sides[i] // geometry.stride[i]) for i in range(2))
    phases = [
        _phase(results, rights, downs, taps[1], (rows, columns), share)
        for downs in down
        for rights in right
    ]
    if len(phases) == 1:
        return phases[0]
    batch, *_, channels = results[0].shape
    grid = jnp.stack(phases).reshape(len(down), len(right), batch, rows, columns, channels)
    whole = grid.transpose(2, 3, 0, 4, 1, 5).reshape(
        batch, rows * len(down), columns * len(right), channels
    )
    return whole[:, : sides[0], : sides[1]]


def _shifts(taps: int, geometry: Geometry, axis: int, phase: int) -> dict[int, int]:
    """For each tap that sees the pixels stride * u + phase: its result is u - shift."""
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
    """Zeros before and after, so that every shift finds `side` results; negative: too many."""
    return max(shifts.values()), side - min(shifts.values()) - available
