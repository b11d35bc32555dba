"""A line for the person who watches."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


class ProgressLine:
    """One live line: epoch, step, loss, accuracy, images/s, time left.

    Where there is no terminal, plain lines, at most one every `seconds`.
    """

    def __init__(self, console: Console, total: int, start: int, seconds: float = 10.0):
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
            self._task: TaskID = self._live.add_task("compiling ...", total=total, completed=start)

    def show(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Shows how far the run is; `values` as they are written to the metrics file."""
        now = time.monotonic()
        left = (now - self._began) / max(1, step - self._start) * (self._total - step)
        text = (
            f"epoch {epoch:.1f}  step {step:,}/{self._total:,}  loss {values['loss']:.4f}  "
            f"accuracy {values['accuracy']:.1%}  {values['images_per_s']:,.0f} images/s  "
            f"{_clock(left)} left"
        )
        if self._live is not None:
            self._live.update(self._task, completed=step, description=text)
        elif now - self._shown >= self._seconds or step == self._total:
            self._shown = now
            self._console.print(text, highlight=False)

    def restart_clock(self, step: int) -> None:
        """Starts the estimate of the time left at `step`: the first one compiles."""
        self._began, self._start = time.monotonic(), step

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
