"""Says every few seconds what a long task is doing, where it cannot be said how far it is."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bcjax.runtime.live_line import clock

Told = Callable[[str], None]  # is told what is being done from now on


class Stages:
    """A line with what is being done and for how long.

    Where there is no terminal, plain lines are printed, one every `seconds`: none of a task that
    ends before.

    Examples:
      >>> with Stages(Console(stderr=True), "reading") as told:      # doctest: +SKIP
      ...     told("drawing")
    """

    def __init__(self, console: Console, first: str, seconds: float = 10.0):
        """Prepares the line.

        Args:
          console: Where.
          first: What is done first.
          seconds: See above.
        """
        self._console = console
        self._doing = first
        self._seconds = seconds
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._live: Progress | None = None
        # A thread, because a library that draws or fits for a minute says nothing meanwhile.
        self._thread = threading.Thread(target=self._print, name="bcjax-stages", daemon=True)

    def __call__(self, doing: str) -> None:
        """Says what is done from now on."""
        self._doing = doing
        if self._live is not None:
            self._live.update(self._live.task_ids[0], description=doing)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._live = Progress(*columns, console=self._console, transient=True)
            self._live.add_task(self._doing, total=None)
            self._live.start()
        else:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._live is not None:
            self._live.stop()
        else:
            self._thread.join()

    def _print(self) -> None:
        while not self._ended.wait(self._seconds):
            passed = clock(time.monotonic() - self._began)
            self._console.print(f"{self._doing} ({passed})", highlight=False, soft_wrap=True)
