"""Writers that take long, kept out of training's way."""

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from bcjax.training.loggers.writer import Writer

_WAITING = 64  # things to be told, before the one who tells waits


class InBackground(Writer):
    """Tells other writers all that it is told, in order, in a thread of its own.

    A confusion matrix to draw and parameters to count take half a second: for small pictures, more
    than the training between two evaluations.
    """

    def __init__(self, writers: Sequence[Writer]):
        self._writers = writers
        self._queue: queue.Queue[Callable[[Writer], None] | None] = queue.Queue(_WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="bcjax-writers", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while story := self._queue.get():
            try:
                for writer in self._writers if self._error is None else ():
                    story(writer)
            except Exception as error:
                self._error = error

    def tell(self, story: Callable[[Writer], None]) -> None:
        """Calls it with each writer, later.

        Raises:
          Exception: What a writer raised, once.
        """
        self._raise()
        self._queue.put(story)

    def write(self, step: int, values: dict[str, float]) -> None:
        self.tell(lambda writer: writer.write(step, values))

    def show(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        self.tell(lambda writer: writer.show(step, name, picture))

    def spread(self, step: int, name: str, values: Float[np.ndarray, "..."]) -> None:
        self.tell(lambda writer: writer.spread(step, name, values))

    def keep(self, path: Path) -> None:
        self.tell(lambda writer: writer.keep(path))

    def close(self) -> None:
        """Returns once all is told, and closes the writers."""
        self._queue.put(None)
        self._thread.join()
        for writer in self._writers:
            writer.close()
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error
