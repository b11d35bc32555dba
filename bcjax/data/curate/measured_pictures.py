"""Pictures with what is measured of them: what findings, groups and leaks are derived from."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8, UInt64

from bcjax.data import decode
from bcjax.data.curate import near_duplicates
from bcjax.data.curate.near_duplicates import SimilarHashes
from bcjax.data.records import Record

BINS = 32  # of each channel's histogram
_THUMBNAIL = (16, 16)
_BLACK = np.zeros((1, 1, 3), np.uint8)
_CHUNK = 256  # pictures that the threads work on at a time
_BLANK = 2.0  # standard deviation of the luma; an empty field of a smear has 4 and more

Positions = Int[np.ndarray, "n"]


@dataclasses.dataclass(frozen=True)
class Measures:
    """What is measured of N pictures, by position; one with a fault counts as a black pixel.

    Attributes:
      fault: Why a picture cannot be decoded; "" for one that can be. object (N,).
      file_sha256: SHA-256 of the encoded bytes, hexadecimal. S64 (N,).
      pixel_sha256: SHA-256 of the decoded, upright RGB and its shape: the same for two pictures
        that look the same to a network, whatever their files are. S64 (N,).
      width: Width in pixels.
      height: Height in pixels.
      mean: Mean of the luma (ITU-R BT.601), 0 to 255.
      std: Standard deviation of the luma; near 0, the picture is blank.
      colour: Mean of max(R, G, B) - min(R, G, B), 0 to 255; near 0, the picture is grey.
      sharpness: Variance of the luma's Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing
        in brightfield microscopy").
      histogram: Histograms of R, G and B in turn, `BINS` bins each; each channel's sum is 1.
      perceptual: `near_duplicates.perceptual_hash`.
      frames: Pages of a TIFF, or frames of an animation; only the first is decoded.
      thumbnail: The picture in RGB, reduced by area.
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
    frames: Int32[np.ndarray, "N"]
    thumbnail: UInt8[np.ndarray, "N 16 16 3"]

    def __len__(self) -> int:
        return len(self.fault)

    def __getitem__(self, positions: np.ndarray) -> "Measures":
        """Returns the measures of the pictures at `positions`."""
        return Measures(*(column[positions] for column in vars(self).values()))

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Returns the measures of the pictures of all parts, one part or more."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclasses.dataclass(frozen=True)
class MeasuredPictures:
    """N pictures that can be decoded, with what was measured of them.

    Attributes:
      records: The records of the pictures.
      measures: Their measures.
      similar: Which of those that are not blank have similar hashes.
      near_pairs: Positions of pairs that are nearly the same, or equal.
    """

    records: Sequence[Record]
    measures: Measures
    similar: SimilarHashes
    near_pairs: Int[np.ndarray, "P 2"]

    @classmethod
    def from_measures(
        cls, records: Sequence[Record], measures: Measures, similar: SimilarHashes | None = None
    ) -> Self:
        """Finds the near duplicates among measured records.

        Args:
          records: The pictures.
          measures: Their measures.
          similar: As above; None: it is searched for, see `near_duplicates` for the cost.
        """
        coloured = np.flatnonzero(~_blank(measures))
        if similar is None:
            similar = near_duplicates.similar_hashes(measures.perceptual[coloured])
        pairs = near_duplicates.agreeing_pairs(similar, measures.thumbnail[coloured])
        return cls(records, measures, similar, coloured[pairs])

    def __len__(self) -> int:
        return len(self.records)

    def without(self, removed: Collection[str]) -> "MeasuredPictures":
        """Returns the pictures whose ids are not `removed`."""
        stays = np.array([record.id not in removed for record in self.records], bool)
        if stays.all():
            return self
        return MeasuredPictures.from_measures(
            list(itertools.compress(self.records, stays)),
            self.measures[stays],
            self.similar.of(stays[~self.blank]),
        )

    @property
    def blank(self) -> Bool[np.ndarray, "N"]:
        """Whether each picture is of one colour; that two such are similar means nothing."""
        return _blank(self.measures)

    def equal_clusters(self) -> list[Positions]:
        """Returns clusters of two and more pictures with equal pixels."""
        return clusters_of_equal(np.unique(self.measures.pixel_sha256, return_inverse=True)[1])

    def near_clusters(self) -> list[Positions]:
        """Returns clusters of two and more pictures that are nearly the same, not all equal."""
        linked = clusters_of_equal(near_duplicates.connected_labels(len(self), self.near_pairs))
        return [c for c in linked if len(set(self.measures.pixel_sha256[c])) > 1]


def _blank(measures: Measures) -> Bool[np.ndarray, "N"]:
    return measures.std < _BLANK


def clusters_of_equal(numbers: Int[np.ndarray, "N"]) -> list[Positions]:
    """Returns the positions of equal numbers, in clusters of two and more, in order."""
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])


def measure(records: Sequence[Record], threads: int | None = None) -> Measures:
    """Reads, decodes and measures every picture once; how long it takes grows with their pixels.

    A picture that cannot be read or decoded is marked with its fault.

    Args:
      records: N pictures.
      threads: Reading and decoding threads; None: one for each core.
    """
    parts = [_measure_pixels(_BLACK, b"")[np.arange(0)]]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for start in range(0, len(records), _CHUNK):  # bounds what is held in memory
            chunk = records[start : start + _CHUNK]
            parts.append(Measures.joined(pool.map(_measure_record, chunk)))
    return Measures.joined(parts)


def _measure_record(record: Record) -> Measures:
    try:
        encoded = record.read()
        pixels = decode.decode(encoded, max_pixels=record.max_pixels)
        return _measure_pixels(pixels, encoded)
    except (decode.BadImageError, OSError) as error:
        return _measure_pixels(_BLACK, b"", str(error))


def _measure_pixels(
    pixels: UInt8[np.ndarray, "H W 3"], encoded: bytes, fault: str = ""
) -> Measures:
    """Returns the measures of one picture."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean, std = cv2.meanStdDev(luma)
    red, green, blue = cv2.split(pixels)
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    height, width = luma.shape
    counts = [cv2.calcHist([pixels], [i], None, [BINS], [0, 256]) for i in range(3)]
    sharpness = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1][0, 0] ** 2
    return Measures(
        fault=np.array([fault], object),
        file_sha256=np.array([hashlib.sha256(encoded).hexdigest()], "S64"),
        pixel_sha256=np.array([pixel_sha256(pixels).encode()], "S64"),
        width=np.array([width], np.int32),
        height=np.array([height], np.int32),
        mean=np.array(mean[0], np.float32),
        std=np.array(std[0], np.float32),
        colour=np.array([cv2.mean(spread)[0]], np.float32),
        sharpness=np.array([sharpness], np.float32),
        histogram=np.concatenate(counts).reshape(1, -1) / (width * height),
        perceptual=np.array([near_duplicates.perceptual_hash(pixels)], np.uint64),
        frames=np.array([decode.count_frames(encoded)], np.int32),
        thumbnail=cv2.resize(pixels, _THUMBNAIL, interpolation=cv2.INTER_AREA)[None],
    )


def pixel_sha256(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    """Returns the SHA-256 of decoded pixels and their shape, hexadecimal."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return digest.hexdigest()
