"""The runs that are served, the threads that decode pictures, and the queue in front of them."""

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import UInt8

from bcjax.data.decode import BadImageError, TooLargeError
from bcjax.evaluation.predictions import Prediction
from bcjax.serve.batching import Batcher, Waiting
from bcjax.serve.metrics import Metrics
from bcjax.serve.refusals import Refused
from bcjax.serve.served_run import LoadedNetwork, ServedRun
from bcjax.serve.settings import Settings

log = logging.getLogger("bcjax")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture as it was sent.

    Attributes:
      name: Its name, for the answer.
      encoded: The bytes of its file.
    """

    name: str
    encoded: bytes


@dataclasses.dataclass(frozen=True)
class Unanswered:
    """A picture that has no answer.

    Attributes:
      name: Its name.
      status: The status of a request that holds nothing else: 413 or 422.
      error: Why not, one sentence.
    """

    name: str
    status: int
    error: str


@dataclasses.dataclass(frozen=True)
class Answered:
    """The answers for the pictures of one request, all by one checkpoint.

    Attributes:
      network: What answered.
      answers: In the order of the pictures.
    """

    network: LoadedNetwork
    answers: tuple[Prediction | Unanswered, ...]


class Service:
    """Answers pictures with the runs that it serves.

    Attributes:
      runs: By name; the first one answers where a request names none.
      settings: Its limits.
      metrics: Its figures.
      ready: Whether it takes requests: from `start` to the beginning of its end.
    """

    def __init__(self, runs: Sequence[ServedRun], settings: Settings):
        self.runs = {run.name: run for run in runs}
        self.settings = settings
        self.metrics = Metrics()
        self.ready = False
        self._batcher = Batcher(
            settings.max_batch, settings.max_wait, settings.queue, self._observe
        )
        self._decoders = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoder")
        self._ending = threading.Event()
        self._reloader = threading.Thread(target=self._reload, name="reloader", daemon=True)
        self.metrics.watch(self)

    @property
    def waiting(self) -> int:
        """The number of pictures that are decoded, wait or are answered now."""
        return self._batcher.inside

    def start(self) -> None:
        """Starts the threads."""
        self._batcher.start()
        if self.settings.reload:
            self._reloader.start()
        self.ready = True

    def close(self) -> None:
        """Answers what waits, and ends the threads."""
        self.ready = False
        self._ending.set()
        self._decoders.shutdown()
        self._batcher.close()

    def run(self, name: str | None) -> ServedRun:
        """Returns a run by its name; None: the first one.

        Raises:
          Refused: If there is none of that name.
        """
        if name is None:
            return next(iter(self.runs.values()))
        if name not in self.runs:
            raise Refused(
                404, f"There is no model {name[:80]!r} here: choose from {', '.join(self.runs)}."
            )
        return self.runs[name]

    async def answer(
        self, name: str, network: LoadedNetwork, pictures: Sequence[Picture]
    ) -> Answered:
        """Answers encoded pictures.

        Args:
          name: The name of the run, for the metrics.
          network: Its network, which answers all of them, whatever is loaded meanwhile.
          pictures: The pictures.

        Raises:
          Refused: If there are too many, the queue is full, or the answer takes too long.
        """
        with self._room(len(pictures)):
            futures = []
            for picture in pictures:
                future: Future[Any] = Future()
                futures.append(future)
                self._decoders.submit(self._decode, network, picture, future)
            return await self._answered(name, network, futures)

    async def answer_pixels(
        self, name: str, network: LoadedNetwork, pixels: UInt8[np.ndarray, "B height width 3"]
    ) -> Answered:
        """Answers pictures that are decoded and of the network's size already, as `answer`."""
        with self._room(len(pixels)):
            futures = []
            for position, each in enumerate(pixels):
                future: Future[Any] = Future()
                futures.append(future)
                self._batcher.put(network, Waiting(f"image {position}", each, future))
            return await self._answered(name, network, futures)

    def _room(self, pictures: int) -> Any:
        if pictures > self.settings.max_pictures:
            raise Refused(
                413,
                f"The request holds {pictures:,} pictures, more than {self.settings.max_pictures}: "
                "send them in several requests.",
            )
        return self._batcher.room(pictures)

    async def _answered(
        self, name: str, network: LoadedNetwork, futures: Sequence["Future[Any]"]
    ) -> Answered:
        try:
            async with asyncio.timeout(self.settings.timeout):
                found = await asyncio.gather(*map(asyncio.wrap_future, futures))
        except TimeoutError as error:
            raise Refused(
                503,
                f"The answer took longer than {self.settings.timeout:g} s: send it again later.",
                retry_after=1,
            ) from error
        answers = tuple(_finite(each) for each in found)
        self.metrics.count_answers(name, answers)
        return Answered(network, answers)

    def _decode(self, network: LoadedNetwork, picture: Picture, future: "Future[Any]") -> None:
        if future.cancelled():
            return
        try:
            pixels = network.transform(picture.encoded)
        except Exception as error:  # a library may raise anything for what is no picture
            if not isinstance(error, BadImageError):
                log.warning("A picture cannot be decoded: %s: %s", type(error).__name__, error)
            if future.set_running_or_notify_cancel():
                future.set_result(self._unanswered(picture, error))
        else:
            self._batcher.put(network, Waiting(picture.name, pixels, future))

    def _unanswered(self, picture: Picture, error: Exception) -> Unanswered:
        if isinstance(error, TooLargeError):
            most = self.settings.max_pixels
            told = f"its {error.width:,} x {error.height:,} pixels are more than {most:,}"
            return Unanswered(picture.name, 413, f"The picture is too large: {told}.")
        reason = str(error) if isinstance(error, BadImageError) else "not a picture"
        return Unanswered(picture.name, 422, f"The picture cannot be read: {reason}.")

    def _observe(self, network: Any, pictures: int, seconds: float) -> None:
        self.metrics.count_batch(pictures, seconds)

    def _reload(self) -> None:
        while not self._ending.wait(self.settings.reload):
            for run in self.runs.values():
                exchanged = run.reload()
                if exchanged is not False:
                    self.metrics.count_reload(run.name, failed=exchanged is None)


def _finite(answer: Prediction | Unanswered) -> Prediction | Unanswered:
    """Returns an answer; JSON holds no number that is not finite, and nobody could use it."""
    if isinstance(answer, Unanswered) or np.isfinite(list(answer.probabilities.values())).all():
        return answer
    why = "The network's answer to this picture is not finite: its weights answer no such picture."
    return Unanswered(answer.name, 422, why)
