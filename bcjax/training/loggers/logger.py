"""The interface of a logger, and one that passes everything on in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from bcjax.runtime.training_sessions import Ending

_QUEUE_SIZE = 64  # calls that may wait before the caller waits


class Logger:
    """Receives what a run produces; by default each method ignores it."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Takes metrics of a step by name."""

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Takes a picture."""

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "..."]) -> None:
        """Takes numbers whose distribution matters."""

    def artifact(self, path: Path) -> None:
        """Takes a file that will not change any more."""

    def saved(self, step: int) -> None:
        """Takes the step of a checkpoint that is being written."""

    def ended(self, ending: Ending) -> None:
        """Takes what ended training, before `close`."""

    def defer(self, call: Callable[["Logger"], None]) -> None:
        """Calls a function with this logger if its work is worth doing here.

        For images and histograms that take long to make: a logger that ignores them ignores this.
        """

    def close(self) -> None:
        """Writes what is left and releases the logger."""


class BackgroundLogger(Logger):
    """Passes every call on to other loggers, in order, in a thread of its own.

    Drawing a confusion matrix and counting parameters takes half a second: with small pictures
    that is more than the training between two evaluations.
    """

    def __init__(self, loggers: Sequence[Logger]):
        self._loggers = loggers
        self._queue: queue.Queue[Callable[[Logger], None] | None] = queue.Queue(_QUEUE_SIZE)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="bcjax-loggers", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while call := self._queue.get():
            try:
                for logger in self._loggers if self._error is None else ():
                    call(logger)
            except Exception as error:
                self._error = error

    def defer(self, call: Callable[[Logger], None]) -> None:
        """Calls the function with each logger, later.

        Raises:
          Exception: An exception that a logger raised before, once.
        """
        self._raise()
        self._queue.put(call)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.defer(lambda logger: logger.scalars(step, values))

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        self.defer(lambda logger: logger.image(step, name, picture))

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "..."]) -> None:
        self.defer(lambda logger: logger.histogram(step, name, values))

    def artifact(self, path: Path) -> None:
        self.defer(lambda logger: logger.artifact(path))

    def close(self) -> None:
        """Waits until every call was passed on, and closes the loggers."""
        self._queue.put(None)
        self._thread.join()
        for logger in self._loggers:
            logger.close()
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error
