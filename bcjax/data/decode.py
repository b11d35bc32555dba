"""From an encoded picture, whatever its format, to upright RGB uint8.

Every picture file that bcjax opens goes through `read_file`, and every picture through `decode`.
"""

import contextlib
import io
import math
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image, TiffImagePlugin

from bcjax.config import KEYS
from bcjax.runtime import files

# Callers decode in threads of their own; OpenCV's would compete with them for the cores.
cv2.setNumThreads(1)
# BadImageError alone reports what is wrong with a picture.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

MAX_PIXELS: int = KEYS["data.max_pixels"].default
_MOST = 1 << 30  # pixels that OpenCV decodes

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_BIG_TIFF = (b"II+\0", b"MM\0+")
# The names by which Pillow knows the formats that OpenCV reads.
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF", "JPEG2000", "PPM", "SUN")
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323  # TIFF tags
_NAMED = 3  # pictures in a sentence
_ROWS = 256  # of a picture that are laid over white at a time, which bounds the memory
# The marker that precedes EXIF in a JPEG, PNG and WebP, by the file's first bytes.
_EXIF = {b"\xff\xd8": b"Exif", b"\x89P": b"eXIf", b"RI": b"EXIF"}
# What Pillow raises for damaged headers, and for a WebP of more than 179 megapixels.
_UNREADABLE = (
    OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
_ORIENTATION = 0x0112  # EXIF tag
# EXIF orientation -> (transpose, flip rows, flip columns), applied in that order.
_UPRIGHT = {
    2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip

_DAMAGED = "not a picture, or a damaged one"


class BadImageError(ValueError):
    """The bytes are not a whole picture; the message says what is wrong with them."""


class TooLargeError(BadImageError):
    """A picture has more pixels than are allowed.

    Attributes:
      width: As its header gives it.
      height: As its header gives it.
    """

    def __init__(self, message: str, width: int = 0, height: int = 0):  # 0: to be unpickled
        super().__init__(message)
        self.width, self.height = width, height


def read_file(path: Path | str) -> bytes:
    """Returns the encoded picture in a file.

    Raises:
      OSError: If it is not a regular file, or cannot be read.
    """
    return files.read_regular(path)


def decode_file(path: Path, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "H W 3"]:
    """Reads and decodes a picture file.

    Args:
      path: The file.
      max_pixels: As for `decode`.

    Raises:
      BadImageError: As `decode`.
      OSError: If the file cannot be read.
    """
    return decode(read_file(path), max_pixels=max_pixels)


def decode(
    encoded: bytes, *, at_least: int = 0, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "H W 3"]:
    """Decodes a picture to upright RGB.

    Grey is repeated over the channels, 16-bit is scaled to 8, transparency is laid over white and
    EXIF rotation is undone. Of several pages or frames the first is decoded, see `count_frames`.

    Args:
      encoded: JPEG, PNG, TIFF, BMP, WebP or any other format that OpenCV reads.
      at_least: If positive, a JPEG may be decoded at n/8 of its size, which skips most of the
        inverse transform, as long as no side falls below this many pixels.
      max_pixels: The config's `data.max_pixels`: a picture that is larger by its header is refused
        before memory is taken for its pixels.

    Raises:
      BadImageError: If the bytes are empty, truncated, not a picture, or a picture too large.
    """
    if not encoded:
        raise BadImageError("empty file")
    check_size(*_size(encoded), max_pixels)
    pixels = _decode_jpeg(encoded, at_least) if encoded.startswith(_JPEG) else _decode_any(encoded)
    return np.ascontiguousarray(_upright(pixels, encoded))


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuses a picture of more than `max_pixels`.

    Raises:
      TooLargeError: If it is larger.
    """
    if width * height > _MOST:
        told = f"{_DAMAGED}: its header says {width:,} x {height:,} pixels"
        raise TooLargeError(told, width, height)
    if width * height > max_pixels:
        told = (
            f"its {width:,} x {height:,} pixels are more than data.max_pixels={max_pixels}: if you "
            f"trust the file, set data.max_pixels={width * height}"
        )
        raise TooLargeError(told, width, height)


def count_frames(encoded: bytes) -> int:
    """Returns how many pages a TIFF has, or frames an animated PNG, WebP, AVIF or GIF; else 1."""
    if encoded.startswith(_JPEG):
        return 1
    if encoded.startswith(_PNG) and b"acTL" not in encoded[: encoded.find(b"IDAT")]:
        return 1
    with contextlib.suppress(*_UNREADABLE), _header(encoded) as picture:
        return getattr(picture, "n_frames", 1)
    return 1


def first_frames(names: Sequence[str]) -> str:
    """Returns the sentence about pictures of several pages or frames."""
    count = "1 picture has" if len(names) == 1 else f"{len(names):,} pictures have"
    more = ", ..." if len(names) > _NAMED else ""
    return (
        f"{count} several pages or frames, of which only the first is used "
        f"({', '.join(names[:_NAMED])}{more})."
    )


def _size(encoded: bytes) -> tuple[int, int]:
    """Returns width and height as the header gives them; of a TIFF's tile, if that is larger."""
    try:
        if encoded.startswith(_JPEG):
            height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
            return width, height
        # By hand where OpenCV reads pictures whose headers Pillow does not take.
        if encoded.startswith(_PNG):
            width, height = struct.unpack_from(">II", encoded, 16)
            return width, height
        if encoded.startswith(b"BM"):
            old = encoded[14:18] == b"\x0c\0\0\0"  # of OS/2
            width, height = struct.unpack_from("<HH" if old else "<ii", encoded, 18)
            return abs(width), abs(height)  # a negative height: the rows go down
        if encoded.startswith((*_TIFF, *_BIG_TIFF)):
            return _tiff_size(encoded)
    except _UNREADABLE as error:
        kind = "damaged JPEG" if encoded.startswith(_JPEG) else _DAMAGED
        raise BadImageError(f"{kind} ({error})") from error
    with _header(encoded) as picture:
        return picture.size


def _tiff_size(encoded: bytes) -> tuple[int, int]:
    file = io.BytesIO(encoded)
    tags = TiffImagePlugin.ImageFileDirectory_v2(
        file.read(16 if encoded.startswith(_BIG_TIFF) else 8)
    )
    file.seek(tags.next)
    tags.load(file)
    tile = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    return max((tags[_WIDTH], tags[_HEIGHT]), tile, key=math.prod)


def _header(encoded: bytes) -> Image.Image:
    """Returns a picture of which Pillow has read the header alone.

    Image.open has a bound on pixels of its own, for the whole process; this has none.

    Raises:
      BadImageError: If Pillow cannot read the header.
    """
    Image.init()
    for factory, accepts in (Image.OPEN[name] for name in _FORMATS if name in Image.OPEN):
        if accepts is None or accepts(encoded[:16]) is True:
            try:
                return factory(io.BytesIO(encoded), "")
            except _UNREADABLE as error:
                raise BadImageError(f"{_DAMAGED} ({error})") from error
    raise BadImageError(_DAMAGED)


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
        raise BadImageError(_DAMAGED)
    if encoded.startswith(_TIFF):
        pixels = _straight_alpha(pixels, encoded)
    if pixels.dtype == np.uint16:
        # 65535 / 257 = 255. OpenCV takes no memory for numbers in between.
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    elif pixels.dtype != np.uint8:
        raise BadImageError(f"pixels of type {pixels.dtype}: 8 or 16 bits are read")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 2:  # grey with alpha
        pixels = np.concatenate([pixels[..., :1].repeat(3, -1), pixels[..., 1:]], -1)
    if pixels.shape[2] == 4:
        pixels = np.concatenate(
            [_over_white(pixels[top : top + _ROWS]) for top in range(0, len(pixels), _ROWS)]
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _over_white(pixels: np.ndarray) -> np.ndarray:
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _straight_alpha(pixels: np.ndarray, encoded: bytes) -> np.ndarray:
    # OpenCV drops the alpha of a grey TIFF, and multiplies the pixels of a colour TIFF by it.
    with contextlib.suppress(*_UNREADABLE), _header(encoded) as picture:
        if picture.mode in ("LA", "RGBA", "RGBa"):
            return cv2.cvtColor(np.array(picture.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    return pixels


def _upright(pixels: np.ndarray, encoded: bytes) -> np.ndarray:
    mark = _EXIF.get(encoded[:2])
    if mark is None or mark not in encoded:
        return pixels  # OpenCV has turned a TIFF itself
    orientation = 1
    with contextlib.suppress(*_UNREADABLE), _header(encoded) as header:
        orientation = header.getexif().get(_ORIENTATION, 1)  # reads no pixels
    transpose, rows, columns = _UPRIGHT.get(orientation, (False, False, False))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]
