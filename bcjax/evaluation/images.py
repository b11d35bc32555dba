"""Images as people have them: files, folders, PIL images, arrays, encoded bytes."""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, Union

import cv2
import numpy as np
from PIL import Image

from bcjax.data.decode import MAX_PIXELS, BadImageError, check_size
from bcjax.data.sources.walk import pictures_below
from bcjax.evaluation.picture_stream import NamedImage, Pictures, open_pictures
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

# One image, or several: anything that `collect` takes.
Images: TypeAlias = Union[
    str,
    Path,
    bytes,
    np.ndarray,
    Image.Image,
    Pictures,
    "Iterable[str | Path | bytes | np.ndarray | Image.Image | NamedImage]",
]

# What a PNG file can hold as it is; images of other modes are converted to RGB first.
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
_CHANNELS = (1, 3, 4)


def collect(images: Images, max_pixels: int = MAX_PIXELS) -> list[NamedImage]:
    """Returns each image in `images`, in order, to be read later.

    Arrays and PIL images are encoded as PNG, without loss, so that the one decoder treats them as
    it treats a file: grey is repeated over the channels, 16 bits are scaled to 8, transparency is
    laid over white, the EXIF rotation of a PIL image is undone.

    Args:
      images: A path, see `open_pictures`: a picture; a folder, of which all pictures below are
        taken; a pattern; a CSV file, a zip file or a prepared set; the bytes of an encoded file; a
        PIL image; an array of uint8 or uint16 and of shape (H, W), (H, W, 1), (H, W, 3) or
        (H, W, 4), RGB; an array (N, H, W, 1 | 3 | 4) of several; or an iterable of any of these.
      max_pixels: The most pixels of a PIL image, which may not be decoded yet.

    Raises:
      UserError: If a path does not exist, a folder holds no picture, or something is no image.
    """
    return list(each_image(images, max_pixels))


def each_image(images: Images, max_pixels: int = MAX_PIXELS) -> Iterator[NamedImage]:
    """Yields what `collect` returns; an iterable is asked for the next when its turn comes."""
    yield from _each(images, itertools.count(), max_pixels)


def find_pictures(names: Sequence[str | Path]) -> list[Path]:
    """Returns the named files, and all pictures below the named folders, in order.

    Raises:
      UserError: If a name does not exist, or a folder holds no picture.
    """
    found = []
    for path in map(files.user_path, names):
        if not path.exists():
            raise UserError(f"There is no picture or folder {path}.")
        inside = list(pictures_below(path)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"The folder {path} holds no picture.")
        found += inside
    return found


def _each(images: Any, position: Iterator[int], max_pixels: int) -> Iterator[NamedImage]:
    """Yields images; `position` counts them, for the names of those that have none."""
    if isinstance(images, (str, Path)):
        for image in open_pictures([images]):
            next(position)
            yield image
    elif isinstance(images, NamedImage):
        next(position)
        yield images
    elif isinstance(images, (bytes, bytearray, memoryview)):
        encoded = bytes(images)  # now: what a buffer holds may change
        yield NamedImage(f"image {next(position)}", lambda: encoded)
    elif isinstance(images, Image.Image):
        yield NamedImage(f"image {next(position)}", partial(_encode_pil, images, max_pixels))
    elif hasattr(images, "__array__"):
        array = np.asarray(images)
        _check(array)
        for pixels in array if array.ndim == 4 else [array]:
            yield NamedImage(f"image {next(position)}", partial(_encode_array, pixels))
    elif isinstance(images, Iterable):
        for image in images:
            yield from _each(image, position, max_pixels)
    else:
        raise UserError(
            f"{images!r} is no image: give a path, a folder, encoded bytes, a PIL image, an array "
            "of uint8, or a list of these."
        )


def _check(array: np.ndarray) -> None:
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"An array of {array.dtype} is no image: give uint8, 0 to 255 (or uint16, 0 to 65535)."
        )
    channels = array.shape[-1] if array.ndim in (3, 4) else 1
    if array.ndim not in (2, 3, 4) or channels not in _CHANNELS or 0 in array.shape[-3:]:
        raise UserError(
            f"An array of shape {array.shape} is no image: give (H, W), (H, W, 3), or "
            "(N, H, W, 3) for several."
        )


def _encode_array(array: np.ndarray) -> bytes:
    to_opencv = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    code = to_opencv.get(array.shape[2]) if array.ndim == 3 else None
    array = np.ascontiguousarray(array)
    pixels = array if code is None else cv2.cvtColor(array, code)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return encoded.tobytes()


def _encode_pil(image: Image.Image, max_pixels: int) -> bytes:
    check_size(*image.size, max_pixels)
    if image.mode == "F":
        raise BadImageError("pixels of type float32: 8 or 16 bits are read")
    exif = image.getexif()
    if image.mode not in _PNG_MODES:
        image = image.convert("RGBA" if image.mode in ("La", "RGBa", "PA") else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=0, exif=exif)
    return buffer.getvalue()
