"""Pictures with what is measured of them: what findings, groups and leaks are derived from."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8, UInt64

from bcjax.data import decode
from bcjax.data.curate import near_duplicates
from bcjax.data.curate.near_duplicates import SimilarHashes
from bcjax.data.records import Record
from bcjax.runtime import progress_log, worker_processes

BINS = 32  # of each channel's histogram
_THUMBNAIL = (16, 16)
_BLACK = np.zeros((1, 1, 3), np.uint8)
_PART = 64  # pictures that a thread works on at a time
_BATCH = 4 << 20  # bytes that are sent to a process together
_MANY = 5000  # pictures from which on processes are worth the second in which they start
_MOST_PROCESSES = 8  # of small pictures, more are not kept busy by this one
_BLANK = 2.0  # standard deviation of the luma; an empty field of a smear has 4 and more

_COLUMNS: tuple[tuple[Any, tuple[int, ...]], ...] = (
    (object, ()), ("S64", ()), ("S64", ()), (np.int32, ()), (np.int32, ()), (np.float32, ()),
    (np.float32, ()), (np.float32, ()), (np.float32, ()), (np.float32, (3 * BINS,)),
    (np.uint64, ()), (np.int32, ()), (np.uint8, (*_THUMBNAIL, 3)),
)  # fmt: skip

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
    def empty(cls, count: int) -> Self:
        """Returns the measures of `count` pictures, which are still to be set."""
        return cls(*(np.empty((count, *shape), dtype) for dtype, shape in _COLUMNS))

    def set(self, start: int, part: "Measures") -> None:
        """Sets the measures of the pictures from `start` on to those of `part`."""
        for whole, column in zip(vars(self).values(), vars(part).values(), strict=True):
            whole[start : start + len(part)] = column

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

    A picture that cannot be read or decoded is marked with its fault. Many pictures are measured by
    several processes: small ones take less time in OpenCV than between its functions, where they
    wait for Python's lock. The measures do not depend on it.

    Args:
      records: N pictures.
      threads: Reading and decoding threads, or processes; None: one for each core.
    """
    count = min(threads or os.cpu_count() or 1, _MOST_PROCESSES)
    if len(records) < _MANY or count == 1 or not worker_processes.possible():
        return _measured(records, lambda part: measures_of(map(_read, part)), threads)
    mend = "set config.data.threads=1, which needs no other process"
    with worker_processes.WorkerProcesses(measures_of, count, mend) as processes:

        def measured(part: Sequence[Record]) -> Measures:
            return Measures.joined(map(processes, _in_batches(map(_read, part))))

        return _measured(records, measured, 2 * count)  # one reads while the other waits


def _measured(
    records: Sequence[Record],
    measured: Callable[[Sequence[Record]], Measures],
    threads: int | None,
) -> Measures:
    starts = range(0, len(records), _PART)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        parts = pool.map(lambda start: measured(records[start : start + _PART]), starts)
        try:
            told = progress_log.told(parts, len(records), "measured", len)
            whole = Measures.empty(len(records))
            for start, part in zip(starts, told, strict=True):
                whole.set(start, part)
            return whole
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or the other parts would be waited for
            raise


class EncodedPicture(NamedTuple):
    """A picture that was read.

    Attributes:
      encoded: The bytes; none if it has a fault.
      max_pixels: The most pixels that it may have.
      fault: Why it could not be read; "" if it was.
    """

    encoded: bytes
    max_pixels: int
    fault: str = ""


def _read(record: Record) -> EncodedPicture:
    try:
        return EncodedPicture(record.read(), record.max_pixels)
    except (decode.BadImageError, OSError) as error:
        return EncodedPicture(b"", record.max_pixels, str(error))


def _in_batches(pictures: Iterable[EncodedPicture]) -> Iterator[list[EncodedPicture]]:
    """Yields pictures together that are small: what is sent to a process is in memory twice."""
    batch: list[EncodedPicture] = []
    for picture in pictures:
        batch.append(picture)
        if sum(len(each.encoded) for each in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def measures_of(pictures: Iterable[EncodedPicture]) -> Measures:
    """Decodes and measures pictures one after the other."""
    rows = [_measure_picture(*picture) for picture in pictures]
    columns = zip(*rows, strict=True) if rows else ((),) * len(_COLUMNS)
    return Measures(
        *(
            np.array(column, dtype).reshape(-1, *shape)
            for column, (dtype, shape) in zip(columns, _COLUMNS, strict=True)
        )
    )


def _measure_picture(encoded: bytes, max_pixels: int, fault: str) -> tuple[Any, ...]:
    if not fault:
        try:
            return _measure_pixels(decode.decode(encoded, max_pixels=max_pixels), encoded)
        except (decode.BadImageError, OSError) as error:
            fault = str(error)
    return _measure_pixels(_BLACK, b"", fault)


def _measure_pixels(
    pixels: UInt8[np.ndarray, "H W 3"], encoded: bytes, fault: str = ""
) -> tuple[Any, ...]:
    """Returns the measures of one picture, in the order of `Measures`."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean, std = cv2.meanStdDev(luma)
    channels = red, green, blue = cv2.split(pixels)
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    height, width = luma.shape
    counts = [cv2.calcHist(channels, [i], None, [BINS], [0, 256]) for i in range(3)]
    sharpness = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1][0, 0] ** 2
    return (
        fault,
        hashlib.sha256(encoded).hexdigest(),
        pixel_sha256(pixels),
        width,
        height,
        mean[0, 0],
        std[0, 0],
        cv2.mean(spread)[0],
        sharpness,
        np.concatenate(counts).ravel() / (width * height),
        near_duplicates.perceptual_hash(pixels),
        decode.count_frames(encoded),
        cv2.resize(pixels, _THUMBNAIL, interpolation=cv2.INTER_AREA),
    )


def pixel_sha256(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    """Returns the SHA-256 of decoded pixels and their shape, hexadecimal."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return digest.hexdigest()
