"""Boxes around cells in a picture of many, and the cutting out of what is in them."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2

from bcjax.data.decode import MAX_PIXELS, BadImageError, decode

BOX_MARGIN = 0.2  # added around a boxed cell, as a share of the box's longer side
BOX_SIDES = ("xmin", "ymin", "xmax", "ymax")


class Box(NamedTuple):
    """A box around a cell, in pixels from the picture's upper left corner."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


def parse_box(sides: Sequence[str]) -> Box:
    """Returns the box that four numbers, in the order of `BOX_SIDES`, describe.

    Raises:
      ValueError: If one is not a number, or the box holds no pixel.
    """
    box = Box(*map(float, sides))
    if not (-1e6 < box.xmin < box.xmax < 1e6 and -1e6 < box.ymin < box.ymax < 1e6):
        raise ValueError(f"{', '.join(sides)} is not a box: xmin < xmax and ymin < ymax are needed")
    return box


def box_reader(
    read: Callable[[], bytes], box: Box, margin: float = BOX_MARGIN, max_pixels: int = MAX_PIXELS
) -> Callable[[], bytes]:
    """Returns a function that reads the boxed part of a picture, encoded as PNG.

    The part is a square around the middle of the box, clipped at the picture's border. The function
    can be pickled if `read` can. It raises `BadImageError` if the picture is bad, or the box lies
    outside it.

    Args:
      read: Returns the whole picture, encoded.
      box: Where the cell is.
      margin: Added on each side, as a share of the box's longer side.
      max_pixels: As for `decode`, of the whole picture.
    """
    return functools.partial(_read_box, read, box, margin, max_pixels)


def _read_box(read: Callable[[], bytes], box: Box, margin: float, max_pixels: int) -> bytes:
    pixels = decode(read(), max_pixels=max_pixels)
    half = (0.5 + margin) * max(box.xmax - box.xmin, box.ymax - box.ymin)
    rows, columns = (
        slice(max(0, round(middle - half)), max(0, round(middle + half)))
        for middle in ((box.ymin + box.ymax) / 2, (box.xmin + box.xmax) / 2)
    )
    part = pixels[rows, columns]
    if not part.size:
        height, width = pixels.shape[:2]
        raise BadImageError(f"its {width} x {height} pixels end before {tuple(box)}")
    return cv2.imencode(".png", cv2.cvtColor(part, cv2.COLOR_RGB2BGR))[1].tobytes()
