"""Batches of pixels, decoded in threads ahead of whoever computes with them."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from bcjax.config import ImageSize
from bcjax.data.decode import BadImageError, count_frames
from bcjax.evaluation.picture_stream import NamedImage
from bcjax.evaluation.predictions import Unreadable

_PART = 8  # pictures that a thread decodes in one go


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """A batch of images as the network reads them.

    Attributes:
      pixels: The readable images first, then rows of zeros: a batch is always whole, so that one
        compiled program serves all.
      names: The names of the readable images.
      unreadable: The images that cannot be read, which have no row.
      several: The names of the images with several pages or frames.
    """

    pixels: UInt8[np.ndarray, "B height width 3"]
    names: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    several: tuple[str, ...]


def decode_ahead(
    images: Iterable[NamedImage],
    transform: Callable[[bytes], UInt8[np.ndarray, "height width 3"]],
    size: ImageSize,
    batch_size: int,
    *,
    threads: int | None = None,
) -> Generator[Decoded, None, None]:
    """Yields the pixels of images, batch after batch, in order.

    While the caller computes with one batch, threads read and decode those after it: at least two,
    and as many as give each thread two parts of eight pictures. No more are held, however many
    images there are.

    Args:
      images: The images; the next is asked for when a thread is to read it.
      transform: From an encoded image to its pixels.
      size: Height and width of the pixels.
      batch_size: Images of a batch; the last one may hold fewer.
      threads: The threads; None: one for each core.
    """
    threads = threads or os.cpu_count() or 1
    ahead = max(2, -(-2 * threads * _PART // batch_size))
    each = iter(images)
    chunks = iter(lambda: list(itertools.islice(each, batch_size)), [])
    pool = ThreadPoolExecutor(threads, "bcjax-decode")
    begun: collections.deque[_Batch] = collections.deque()
    try:
        for chunk in chunks:
            begun.append(_Batch(chunk, (batch_size, *size, 3), transform, pool))
            if len(begun) > ahead:
                yield begun.popleft().decoded()
        while begun:
            yield begun.popleft().decoded()
    finally:
        pool.shutdown(cancel_futures=True)


class _Batch:
    """A batch that threads decode."""

    def __init__(
        self,
        images: Sequence[NamedImage],
        shape: tuple[int, ...],
        transform: Callable[[bytes], np.ndarray],
        pool: ThreadPoolExecutor,
    ):
        self._images = images
        self._transform = transform
        self._pixels = np.zeros(shape, np.uint8)
        self._parts: list[Future[list[_Outcome]]] = [
            pool.submit(self._decode_part, start) for start in range(0, len(images), _PART)
        ]

    def _decode_part(self, start: int) -> "list[_Outcome]":
        stop = min(start + _PART, len(self._images))
        return [self._decode(row) for row in range(start, stop)]

    def _decode(self, row: int) -> "_Outcome":
        try:
            encoded = self._images[row].read()
            self._pixels[row] = self._transform(encoded)
        except (BadImageError, OSError) as error:
            return _Outcome(problem=str(error))
        return _Outcome(several=count_frames(encoded) > 1)

    def decoded(self) -> Decoded:
        """Waits for the threads."""
        outcomes = [outcome for part in self._parts for outcome in part.result()]
        names = [image.name for image in self._images]
        readable = [row for row, outcome in enumerate(outcomes) if outcome.problem is None]
        pixels = self._pixels
        if len(readable) < len(outcomes):
            pixels = np.zeros_like(pixels)
            pixels[: len(readable)] = self._pixels[readable]
        return Decoded(
            pixels,
            tuple(names[row] for row in readable),
            tuple(
                Unreadable(name, outcome.problem)
                for name, outcome in zip(names, outcomes, strict=True)
                if outcome.problem is not None
            ),
            tuple(name for name, outcome in zip(names, outcomes, strict=True) if outcome.several),
        )


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """How decoding an image went: what is wrong with it, and whether it has several frames."""

    problem: str | None = None
    several: bool = False
