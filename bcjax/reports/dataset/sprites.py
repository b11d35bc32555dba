"""Pictures for a page: small, masked if asked, and side by side."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from bcjax.data.decode import decode
from bcjax.data.input_transform import CellMask
from bcjax.data.records import Record
from bcjax.reports.pages.pictures import fitted


def picture(
    record: Record, longest: int, mask: CellMask | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture, or what a mask leaves of it, in its own shape."""
    pixels = decode(record.read(), at_least=0 if mask else longest)
    if mask:
        pixels = mask(pixels)
    return fitted(pixels, longest)


def sheet(
    records: Sequence[Record], side: int, columns: int, gap: int = 0, mask: CellMask | None = None
) -> UInt8[np.ndarray, "H W 4"]:
    """Pictures row after row, each in the middle of its cell, on nothing.

    Args:
      records: Of the pictures.
      side: Of a cell, in pixels.
      columns: Cells in each row.
      gap: Pixels between cells.
      mask: What paints over all but the cells in the pictures; None: nothing.
    """
    rows, step = -(-len(records) // columns), side + gap
    out = np.zeros((rows * step - gap, columns * step - gap, 4), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = pool.map(lambda record: picture(record, side, mask), records)
        for i, pixels in enumerate(pictures):
            height, width = pixels.shape[:2]
            top = i // columns * step + (side - height) // 2
            left = i % columns * step + (side - width) // 2
            out[top : top + height, left : left + width, :3] = pixels
            out[top : top + height, left : left + width, 3] = 255
    return out
