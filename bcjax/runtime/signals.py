"""SIGTERM, SIGINT and a closed terminal (SIGHUP) make a run save and stop."""

import signal
import threading
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils

EXIT_STATUS: dict[int, int] = {signal.SIGHUP: 129, signal.SIGTERM: 143, signal.SIGINT: 130}


def name_of(number: int) -> str:
    """Returns "SIGTERM (15)"."""
    return f"{signal.Signals(number).name} ({number})"


class Interrupts:
    """Notes the first signal inside its `with` block; a second signal has its usual effect.

    Only the main thread of a process can handle signals: in another thread nothing is noted.
    """

    def __init__(self) -> None:
        self.received: int = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in EXIT_STATUS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # as nohup asks; a shell ignores SIGINT for all that it runs beside itself
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for other, handler in self._before.items():
            signal.signal(other, handler)  # type: ignore[arg-type]

    def agreed(self) -> int:
        """Returns the signal that any process of the job has received, or 0.

        This is a collective operation: all processes must call it at the same steps, and so they
        stop at the same step.
        """
        if jax.process_count() == 1:
            return self.received
        return int(np.max(multihost_utils.process_allgather(np.int32(self.received))))
