"""One line that says how far a long task is, with a bar where there is a terminal."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


class LiveLine:
    """A line that is drawn anew.

    Where there is no terminal, plain lines are printed, at most one every `seconds`.
    """

    def __init__(self, console: Console, total: int, start: int, first: str, seconds: float = 10.0):
        """Draws the line.

        Args:
          console: Where.
          total: What there is to do, in any unit.
          start: How much of it was done before.
          first: What the line says at first.
          seconds: See above.
        """
        self._console = console
        self._total = total
        self._start = start
        self._seconds = seconds
        self._began = self._shown = time.monotonic()
        self._live = None
        if console.is_terminal:
            self._live = Progress(
                BarColumn(bar_width=20), TextColumn("{task.description}"), console=console
            )
            self._live.start()
            self._task: TaskID = self._live.add_task(first, total=total, completed=start)

    def show(self, done: int, text: str) -> None:
        """Shows how much is done, and what is to be said about it."""
        now = time.monotonic()
        if self._live is not None:
            self._live.update(self._task, completed=done, description=text)
        elif now - self._shown >= self._seconds or done == self._total:
            self._shown = now
            self._console.print(text, highlight=False)

    def rate(self, done: int) -> float:
        """Returns how much is done in a second."""
        return (done - self._start) / max(1e-9, time.monotonic() - self._began)

    def time_left(self, done: int) -> str:
        """Returns how long it will take at the rate since the clock was started: "1:02:03"."""
        passed = time.monotonic() - self._began
        return clock(passed / max(1, done - self._start) * (self._total - done))

    def restart_clock(self, done: int) -> None:
        """Begins the estimate of the time left now, because what came before was slower."""
        self._began, self._start = time.monotonic(), done

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def clock(seconds: float) -> str:
    """Returns "1:02:03", or "2:03" for less than an hour."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
