"""Pictures as parts of a page: small, and written into it."""

import base64
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bcjax.runtime import files

_QUALITY = 80  # of WebP, 0 to 100


def fitted(pixels: UInt8[np.ndarray, "H W 3"], longest: int) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a picture in its own shape, its longer side of `longest` pixels."""
    scale = longest / max(pixels.shape[:2])
    width, height = (max(1, round(scale * side)) for side in pixels.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)


def data_uri(pixels: UInt8[np.ndarray, "H W C"], quality: int = _QUALITY) -> str:
    """Returns RGB or RGBA as the text that a page can hold."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    settings = [cv2.IMWRITE_WEBP_QUALITY, quality]
    encoded = cv2.imencode(".webp", cv2.cvtColor(pixels, order), settings)[1]
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def png(pixels: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    """Writes RGB as PNG, whole or not at all."""
    with files.atomic(path) as partial:
        Image.fromarray(pixels).save(partial, format="png")
