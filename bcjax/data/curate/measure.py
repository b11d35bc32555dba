"""One look at every picture: its hashes, its size, and how light, sharp and colourful it is."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Int32, UInt8, UInt64

from bcjax.data import decode
from bcjax.data.curate import near
from bcjax.data.records import Record

BINS = 32  # of each channel's histogram
_THUMBNAIL = (16, 16)
_CHUNK = 256  # pictures in the hands of the threads at a time


class Look(NamedTuple):
    """What is seen of one picture; see `Measures`."""

    fault: str = ""
    file_sha256: bytes = b""
    pixel_sha256: bytes = b""
    width: int = 0
    height: int = 0
    mean: float = 0.0
    std: float = 0.0
    colour: float = 0.0
    sharpness: float = 0.0
    histogram: np.ndarray | None = None
    perceptual: int = 0
    thumbnail: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Measures:
    """What is seen of N pictures, by position; a picture with a fault has zeros.

    Attributes:
      fault: Why a picture cannot be decoded; "" for one that can. object (N,).
      file_sha256: Of the encoded bytes, hexadecimal. S64 (N,).
      pixel_sha256: Of the decoded, upright RGB and its shape: the same for two pictures that look
        the same to a network, whatever their files are. S64 (N,).
      width: Pixels.
      height: Pixels.
      mean: Of the luma (ITU-R BT.601), 0 to 255.
      std: Of the luma; near 0, the picture is blank.
      colour: Mean of max(R, G, B) - min(R, G, B), 0 to 255; near 0, the picture is grey.
      sharpness: Variance of the luma's Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing
        in brightfield microscopy").
      histogram: Of R, G and B in turn, `BINS` bins each; each channel's sum is 1.
      perceptual: `near.perceptual_hash`.
      thumbnail: RGB.
    """

    fault: np.ndarray
    file_sha256: np.ndarray
    pixel_sha256: np.ndarray
    width: Int32[np.ndarray, "N"]
    height: Int32[np.ndarray, "N"]
    mean: Float32[np.ndarray, "N"]
    std: Float32[np.ndarray, "N"]
    colour: Float32[np.ndarray, "N"]
    sharpness: Float32[np.ndarray, "N"]
    histogram: Float32[np.ndarray, "N C"]
    perceptual: UInt64[np.ndarray, "N"]
    thumbnail: UInt8[np.ndarray, "N 16 16 3"]

    def __len__(self) -> int:
        return len(self.fault)

    def __getitem__(self, positions: np.ndarray) -> "Measures":
        """The measures of the pictures at `positions`."""
        return Measures(*(getattr(self, f.name)[positions] for f in dataclasses.fields(self)))


def measure(records: Sequence[Record], threads: int | None = None) -> Measures:
    """Reads, decodes and measures every picture once; how long it takes grows with their pixels.

    A picture that cannot be read or decoded is marked with its fault.

    Args:
      records: Of N pictures.
      threads: None: one for each core.
    """
    looks: list[Look] = []
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for start in range(0, len(records), _CHUNK):  # bounds what is held in memory
            looks += pool.map(_look, records[start : start + _CHUNK])

    columns = list(zip(*looks, strict=True)) or [()] * len(Look._fields)
    seen: dict[str, Any] = dict(zip(Look._fields, columns, strict=True))
    return Measures(
        fault=np.array(seen["fault"], object),
        file_sha256=np.array(seen["file_sha256"], "S64"),
        pixel_sha256=np.array(seen["pixel_sha256"], "S64"),
        width=np.array(seen["width"], np.int32),
        height=np.array(seen["height"], np.int32),
        mean=np.array(seen["mean"], np.float32),
        std=np.array(seen["std"], np.float32),
        colour=np.array(seen["colour"], np.float32),
        sharpness=np.array(seen["sharpness"], np.float32),
        histogram=_stacked(seen["histogram"], (3 * BINS,), np.float32),
        perceptual=np.array(seen["perceptual"], np.uint64),
        thumbnail=_stacked(seen["thumbnail"], (*_THUMBNAIL, 3), np.uint8),
    )


def _look(record: Record) -> Look:
    try:
        encoded = record.read()
        pixels = decode.decode(encoded)
    except (decode.BadImageError, OSError) as error:
        return Look(fault=str(error))
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean, std = cv2.meanStdDev(luma)
    red, green, blue = cv2.split(pixels)
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    height, width = luma.shape
    counts = [cv2.calcHist([pixels], [i], None, [BINS], [0, 256]) for i in range(3)]
    return Look(
        file_sha256=hashlib.sha256(encoded).hexdigest().encode(),
        pixel_sha256=_pixel_sha256(pixels),
        width=width,
        height=height,
        mean=mean[0, 0],
        std=std[0, 0],
        colour=cv2.mean(spread)[0],
        sharpness=cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1][0, 0] ** 2,
        histogram=np.concatenate(counts).ravel() / (width * height),
        perceptual=int(near.perceptual_hash(pixels)),
        thumbnail=cv2.resize(pixels, _THUMBNAIL, interpolation=cv2.INTER_AREA),
    )


def _stacked(rows: Sequence[np.ndarray | None], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    out: np.ndarray = np.zeros((len(rows), *shape), dtype)
    for position, row in enumerate(rows):
        if row is not None:
            out[position] = row
    return out


def _pixel_sha256(pixels: np.ndarray) -> bytes:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return digest.hexdigest().encode()
