"""Images as people have them: files, folders, PIL images, arrays, encoded bytes."""

import dataclasses
import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, Union

import cv2
import numpy as np
from PIL import Image

from bcjax.data.decode import MAX_PIXELS, BadImageError, check_size, read_file
from bcjax.data.sources.walk import pictures_below
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

# One image, or several: anything that `collect` takes.
Images: TypeAlias = Union[
    str, Path, bytes, np.ndarray, Image.Image, "Iterable[str | Path | bytes | np.ndarray]"
]

# What a PNG file can hold as it is; images of other modes are converted to RGB first.
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
_CHANNELS = (1, 3, 4)


@dataclasses.dataclass(frozen=True)
class NamedImage:
    """An image that has not been read yet.

    Attributes:
      name: The path of a file; "image 0", "image 1", ... by position for what is in memory.
      read: Returns the encoded image; raises OSError or BadImageError if it cannot be read.
    """

    name: str
    read: Callable[[], bytes]


def collect(images: Images, max_pixels: int = MAX_PIXELS) -> list[NamedImage]:
    """Returns each image in `images`, in order, to be read later.

    Arrays and PIL images are encoded as PNG, without loss, so that the one decoder treats them as
    it treats a file: grey is repeated over the channels, 16 bits are scaled to 8, transparency is
    laid over white, the EXIF rotation of a PIL image is undone.

    Args:
      images: A path; a folder, of which all pictures below are taken; the bytes of an encoded
        file; a PIL image; an array of uint8 or uint16 and of shape (H, W), (H, W, 1), (H, W, 3)
        or (H, W, 4), RGB; an array (N, H, W, 1 | 3 | 4) of several; or an iterable of any of these.
      max_pixels: The most pixels of a PIL image, which may not be decoded yet.

    Raises:
      UserError: If a path does not exist, a folder holds no picture, or something is no image.
    """
    found: list[NamedImage] = []
    _add(images, found, max_pixels)
    return found


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


def _add(images: Any, found: list[NamedImage], max_pixels: int) -> None:
    name = f"image {len(found)}"
    if isinstance(images, (str, Path)):
        found += [
            NamedImage(str(path), partial(read_file, path)) for path in find_pictures([images])
        ]
    elif isinstance(images, (bytes, bytearray, memoryview)):
        encoded = bytes(images)
        found.append(NamedImage(name, lambda: encoded))
    elif isinstance(images, Image.Image):
        found.append(NamedImage(name, lambda: _encode_pil(images, max_pixels)))
    elif hasattr(images, "__array__"):
        array = np.asarray(images)
        _check(array)
        if array.ndim == 4:
            for image in array:
                _add(image, found, max_pixels)
        else:
            found.append(NamedImage(name, lambda: _encode_array(array)))
    elif isinstance(images, Iterable):
        for image in images:
            _add(image, found, max_pixels)
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
