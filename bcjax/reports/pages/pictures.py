"""Small pictures that are written into a page, or beside it."""

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bcjax.data.input_transform import CellMask
from bcjax.data.records import Record
from bcjax.runtime import files

_QUALITY = 80  # of WebP, 0 to 100


def resized(pixels: UInt8[np.ndarray, "H W 3"], longest: int) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a picture with its longer side of `longest` pixels and its aspect ratio kept."""
    scale = longest / max(pixels.shape[:2])
    width, height = (max(1, round(scale * side)) for side in pixels.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)


def data_uri(pixels: UInt8[np.ndarray, "H W C"], quality: int = _QUALITY) -> str:
    """Returns an RGB or RGBA picture as a WebP data URI."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    settings = [cv2.IMWRITE_WEBP_QUALITY, quality]
    encoded = cv2.imencode(".webp", cv2.cvtColor(pixels, order), settings)[1]
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def write_png(pixels: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    """Writes an RGB picture as PNG, whole or not at all."""
    with files.atomic(path) as partial:
        Image.fromarray(pixels).save(partial, format="png")


def thumbnail(
    record: Record, longest: int, mask: CellMask | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Decodes a record to a small picture.

    Args:
      record: The picture.
      longest: The longer side of the result in pixels.
      mask: Paints over everything but the blood cell; None: nothing is painted over.
    """
    pixels = record.pixels(at_least=0 if mask else longest)
    return resized(mask(pixels) if mask else pixels, longest)


def contact_sheet(
    records: Sequence[Record], side: int, columns: int, gap: int = 0, mask: CellMask | None = None
) -> UInt8[np.ndarray, "H W 4"]:
    """Lays pictures out row by row, each in the middle of its cell, on a transparent ground.

    Args:
      records: The pictures.
      side: Side of a cell in pixels.
      columns: Cells in each row.
      gap: Pixels between cells.
      mask: Paints over everything but the blood cell; None: nothing is painted over.
    """
    rows, step = -(-len(records) // columns), side + gap
    sheet = np.zeros((rows * step - gap, columns * step - gap, 4), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        thumbnails = pool.map(lambda record: thumbnail(record, side, mask), records)
        for i, pixels in enumerate(thumbnails):
            height, width = pixels.shape[:2]
            top = i // columns * step + (side - height) // 2
            left = i % columns * step + (side - width) // 2
            sheet[top : top + height, left : left + width, :3] = pixels
            sheet[top : top + height, left : left + width, 3] = 255
    return sheet
