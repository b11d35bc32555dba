"""Boxes around cells, and the pictures cut out along them."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2

from bcjax.data import decode

MARGIN = 0.2
SIDES = ("xmin", "ymin", "xmax", "ymax")


class Box(NamedTuple):
    """A box in pixels from the picture's upper left corner."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


def parsed(sides: Sequence[str]) -> Box:
    """The box that four numbers, in the order of `SIDES`, write down.

    Raises:
      ValueError: One is no number, or the box holds no pixel.
    """
    box = Box(*map(float, sides))
    if not (-1e6 < box.xmin < box.xmax < 1e6 and -1e6 < box.ymin < box.ymax < 1e6):
        raise ValueError(f"{', '.join(sides)} is no box: xmin < xmax and ymin < ymax are needed")
    return box


def cropped(read: Callable[[], bytes], box: Box, margin: float = MARGIN) -> Callable[[], bytes]:
    """What reads the boxed part of a picture, as a PNG file.

    Args:
      read: Returns the whole picture, encoded.
      box: Where the cell is.
      margin: Added on each side, as a share of the box's longer side. The part is a square around
        the box's middle, clipped at the picture's border.

    Returns:
      A function that may be pickled if `read` may. It raises `decode.BadImageError` if the picture
      is bad, or the box lies outside it.
    """
    return functools.partial(_crop, read, box, margin)


def _crop(read: Callable[[], bytes], box: Box, margin: float) -> bytes:
    pixels = decode.decode(read())
    half = (0.5 + margin) * max(box.xmax - box.xmin, box.ymax - box.ymin)
    rows, columns = (
        slice(max(0, round(middle - half)), max(0, round(middle + half)))
        for middle in ((box.ymin + box.ymax) / 2, (box.xmin + box.xmax) / 2)
    )
    part = pixels[rows, columns]
    if not part.size:
        height, width = pixels.shape[:2]
        raise decode.BadImageError(f"its {width} x {height} pixels end before {tuple(box)}")
    return cv2.imencode(".png", cv2.cvtColor(part, cv2.COLOR_RGB2BGR))[1].tobytes()
