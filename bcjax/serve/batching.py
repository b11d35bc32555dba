"""Dynamic batching: one thread answers the pictures of several requests together.

While the thread computes, further pictures gather: batches grow by themselves with the load. A
thread that is free waits for more at most `max_wait`, and no longer than the batch before took; and
only where more are to be expected: where others are being decoded, or as many as lately were inside
have not come again. A single client is therefore answered as soon as without batching, and of many
clients, who come again when they have their answers, not one half is always computed while the
other half waits.
"""

import collections
import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from bcjax.evaluation.predictions import Predictions
from bcjax.runtime import jax_settings
from bcjax.serve.refusals import Refused

log = logging.getLogger("bcjax")


class Answers(Protocol):
    """What answers a batch, such as `LoadedNetwork`."""

    def answer(
        self, pixels: Sequence[UInt8[np.ndarray, "height width 3"]], names: Sequence[str]
    ) -> Predictions:
        """Returns the answers for some pictures, in their order."""


@dataclasses.dataclass(frozen=True, eq=False)
class Waiting:
    """A picture that waits for its answer.

    Attributes:
      name: Its name.
      pixels: uint8 (height, width, 3), of the network's size.
      future: Gets the `Prediction`, or the exception of the batch that it was in.
      since: When it began to wait, by `time.monotonic`.
    """

    name: str
    pixels: UInt8[np.ndarray, "height width 3"]
    future: "Future[Any]"
    since: float = dataclasses.field(default_factory=time.monotonic)


class Batcher:
    """The queue in front of the networks, and the thread that empties it."""

    def __init__(
        self,
        max_batch: int,
        max_wait: float,
        capacity: int,
        observe: Callable[[Answers, int, float], None] = lambda network, pictures, seconds: None,
    ):
        """Makes a queue; `start` starts its thread.

        Args:
          max_batch: The most pictures of a batch.
          max_wait: Seconds that the thread waits at most for more pictures.
          capacity: The most pictures in `room`.
          observe: Called after each batch with the network, the pictures and the seconds it took.
        """
        self._max_batch, self._max_wait, self._capacity = max_batch, max_wait, capacity
        self._observe = observe
        self._changed = threading.Condition()
        self._waiting: dict[Answers, collections.deque[Waiting]] = {}
        self._inside = 0  # pictures with a place: being decoded, waiting, or answered
        self._queued = 0  # of these, those that wait
        self._lately = 0  # pictures inside when the last batch was taken
        self._took = max_wait  # seconds of the last batch
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Answers what waits, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join()

    @property
    def inside(self) -> int:
        """The number of pictures that have a place now."""
        return self._inside

    @contextlib.contextmanager
    def room(self, pictures: int) -> Iterator[None]:
        """Keeps places for the pictures of one request, all of them or none.

        Raises:
          Refused: If there are not so many places left.
        """
        with self._changed:
            if self._inside + pictures > self._capacity:
                raise Refused(
                    429,
                    f"{self._inside} pictures are waiting and there is room for {self._capacity}: "
                    "send them again later.",
                    retry_after=1,
                )
            self._inside += pictures
        try:
            yield
        finally:
            with self._changed:
                self._inside -= pictures

    def put(self, network: Answers, picture: Waiting) -> None:
        """Lets a picture wait for its answer by a network."""
        with self._changed:
            self._waiting.setdefault(network, collections.deque()).append(picture)
            self._queued += 1
            self._changed.notify_all()

    def _work(self) -> None:
        with jax_settings.fixed():
            while (batch := self._next()) is not None:
                network, pictures = batch
                if pictures:
                    self._answer(network, pictures)
                del batch, network, pictures  # a network that was exchanged is freed

    def _next(self) -> tuple[Answers, list[Waiting]] | None:
        """Returns the next batch, which may have become empty; None when closed."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            network, queue = min(self._waiting.items(), key=lambda item: item[1][0].since)
            until = time.monotonic() + min(self._max_wait, self._took)
            while len(queue) < self._max_batch and self._more_are_expected():
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            taken = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
            self._queued -= len(taken)
            self._lately = self._inside
            if not queue:
                del self._waiting[network]
        # A request that timed out has cancelled its pictures.
        return network, [each for each in taken if each.future.set_running_or_notify_cancel()]

    def _more_are_expected(self) -> bool:
        return not self._closed and self._queued < max(self._inside, self._lately)

    def _answer(self, network: Answers, pictures: list[Waiting]) -> None:
        began = time.monotonic()
        try:
            found = network.answer(
                [each.pixels for each in pictures], [each.name for each in pictures]
            )
            answers = list(found)
        except Exception as error:
            log.exception("A batch of %d pictures failed.", len(pictures))
            for each in pictures:
                each.future.set_exception(error)
            return
        self._took = time.monotonic() - began
        self._observe(network, len(pictures), self._took)
        for each, answer in zip(pictures, answers, strict=True):
            each.future.set_result(answer)
