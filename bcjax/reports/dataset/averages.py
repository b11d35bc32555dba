"""Many pictures as one: their mean, how they differ from it, how light they are."""

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Float

from bcjax.data.curate.measured_pictures import BINS
from bcjax.data.decode import decode
from bcjax.data.records import Record

_SIDE = 96  # pixels of mean and deviation


@dataclasses.dataclass(frozen=True)
class Average:
    """Of n pictures, each squashed to a square.

    Attributes:
      n: How many pictures.
      mean: In 0..255, as the next.
      deviation: Standard deviation, pixel by pixel and channel by channel.
      luma: Share of the pixels in each of `BINS` bins of the luma (ITU-R BT.601).
    """

    n: int
    mean: Float[np.ndarray, "S S 3"]
    deviation: Float[np.ndarray, "S S 3"]
    luma: Float[np.ndarray, "B"]


def average(records: Sequence[Record]) -> Average:
    """Averages pictures, one or more."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        squares, lumas = zip(*pool.map(_square_and_luma, records), strict=True)
    pixels = np.stack(squares)
    mean, deviation = pixels.mean(0, np.float32), pixels.std(0, np.float32)
    return Average(len(records), mean, deviation, np.mean(lumas, axis=0))


def _square_and_luma(record: Record) -> tuple[np.ndarray, np.ndarray]:
    pixels = decode(record.read())
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    counts = np.bincount(luma.ravel() // (256 // BINS), minlength=BINS)
    return cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), counts / luma.size
