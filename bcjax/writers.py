"""Where a run's numbers go: `metrics.jsonl`, TensorBoard events, and a line for the person."""

import json
import os
import time
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"


class Writer(Protocol):
    """Takes the numbers of a step."""

    def write(self, step: int, values: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line; those after `step` are dropped: a resumed run writes them anew."""

    def __init__(self, workdir: Path, step: int):
        path = workdir / METRICS_FILE
        kept = [line for line in read(path) if line["step"] <= step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(partial, path)
        self._file = path.open("a", buffering=1)  # a killed run loses no whole line

    def write(self, step: int, values: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step} | values) + "\n")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a metrics file; one cut short by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


class TensorBoard:
    """Event files, written without TensorFlow."""

    def __init__(self, workdir: Path, step: int):
        # purge_step hides what an interrupted run wrote after its last checkpoint. Files are named
        # by the second: without the suffix, a run taken up within it would overwrite the first.
        self._writer = SummaryWriter(
            str(workdir / "tensorboard"),
            purge_step=step + 1,
            filename_suffix=f".{time.time_ns()}",
        )

    def write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


def open_writers(workdir: Path, step: int) -> list[Writer]:
    """Opens the files of a run that starts, or goes on, at `step`."""
    return [JsonLines(workdir, step), TensorBoard(workdir, step)]


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
