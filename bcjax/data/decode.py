"""From an encoded picture, whatever its format, to upright RGB uint8.

Every picture file that bcjax opens goes through `read_file`, and every picture through `decode`.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

# Callers decode in threads of their own; OpenCV's would compete with them for the cores.
cv2.setNumThreads(1)
# BadImageError alone reports what is wrong with a picture.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*")
# The marker that precedes EXIF in a JPEG, PNG and WebP, by the file's first bytes.
_EXIF = {b"\xff\xd8": b"Exif", b"\x89P": b"eXIf", b"RI": b"EXIF"}
# What Pillow raises for a format that it does not know, or a size that it does not believe.
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_ORIENTATION = 0x0112  # EXIF tag
# EXIF orientation -> (transpose, flip rows, flip columns), applied in that order.
_UPRIGHT = {
    2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip

BOX_MARGIN = 0.2  # added around a boxed cell, as a share of the box's longer side
BOX_SIDES = ("xmin", "ymin", "xmax", "ymax")


class BadImageError(ValueError):
    """The bytes are not a whole picture; the message says what is wrong with them."""


class Box(NamedTuple):
    """A box around a cell, in pixels from the picture's upper left corner."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


def read_file(path: Path) -> bytes:
    """Returns the encoded picture in a file.

    Raises:
      OSError: If the file cannot be read.
    """
    return path.read_bytes()


def decode_file(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Reads and decodes a picture file.

    Raises:
      BadImageError: As `decode`.
      OSError: If the file cannot be read.
    """
    return decode(read_file(path))


def decode(encoded: bytes, *, at_least: int = 0) -> UInt8[np.ndarray, "H W 3"]:
    """Decodes a picture to upright RGB.

    Grey is repeated over the channels, 16-bit is scaled to 8, transparency is laid over white and
    EXIF rotation is undone.

    Args:
      encoded: JPEG, PNG, TIFF, BMP, WebP or any other format that OpenCV reads.
      at_least: If positive, a JPEG may be decoded at n/8 of its size, which skips most of the
        inverse transform, as long as no side falls below this many pixels.

    Raises:
      BadImageError: If the bytes are empty, truncated or not a picture.
    """
    if not encoded:
        raise BadImageError("empty file")
    pixels = _decode_jpeg(encoded, at_least) if encoded.startswith(_JPEG) else _decode_any(encoded)
    return np.ascontiguousarray(_upright(pixels, encoded))


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
    read: Callable[[], bytes], box: Box, margin: float = BOX_MARGIN
) -> Callable[[], bytes]:
    """Returns a function that reads the boxed part of a picture, encoded as PNG.

    The part is a square around the middle of the box, clipped at the picture's border. The function
    can be pickled if `read` can. It raises `BadImageError` if the picture is bad, or the box lies
    outside it.

    Args:
      read: Returns the whole picture, encoded.
      box: Where the cell is.
      margin: Added on each side, as a share of the box's longer side.
    """
    return functools.partial(_read_box, read, box, margin)


def _read_box(read: Callable[[], bytes], box: Box, margin: float) -> bytes:
    pixels = decode(read())
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


def _decode_jpeg(encoded: bytes, at_least: int) -> np.ndarray:
    # libjpeg-turbo directly rather than through OpenCV: strict about truncation (OpenCV returns a
    # picture that is grey from there on) and 1.3-1.7 times faster.
    try:
        return simplejpeg.decode_jpeg(encoded, "RGB", min_height=at_least, min_width=at_least)
    except ValueError as error:
        raise BadImageError(f"damaged JPEG ({error})") from error


def _decode_any(encoded: bytes) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # for a side of 0, or of more than a million pixels
        pixels = None
    if pixels is None or pixels.size == 0:
        raise BadImageError("not a picture, or a damaged one")
    if encoded.startswith(_TIFF):
        pixels = _straight_alpha(pixels, encoded)
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257).astype(np.uint8)  # 65535 / 257 = 255
    elif pixels.dtype != np.uint8:
        raise BadImageError(f"pixels of type {pixels.dtype}: 8 or 16 bits are read")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 2:  # grey with alpha
        pixels = np.concatenate([pixels[..., :1].repeat(3, -1), pixels[..., 1:]], -1)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _straight_alpha(pixels: np.ndarray, encoded: bytes) -> np.ndarray:
    # OpenCV drops the alpha of a grey TIFF, and multiplies the pixels of a colour TIFF by it.
    with contextlib.suppress(*_UNREADABLE), Image.open(io.BytesIO(encoded)) as picture:
        if picture.mode in ("LA", "RGBA", "RGBa"):
            return cv2.cvtColor(np.array(picture.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    return pixels


def _upright(pixels: np.ndarray, encoded: bytes) -> np.ndarray:
    mark = _EXIF.get(encoded[:2])
    if mark is None or mark not in encoded:
        return pixels  # OpenCV has turned a TIFF itself
    orientation = 1
    with contextlib.suppress(*_UNREADABLE), Image.open(io.BytesIO(encoded)) as header:
        orientation = header.getexif().get(_ORIENTATION, 1)  # reads no pixels
    transpose, rows, columns = _UPRIGHT.get(orientation, (False, False, False))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]
