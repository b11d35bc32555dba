"""TensorBoard's event files, written without TensorFlow."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loggers.logger import Logger

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_BINS = 30  # as many as TensorBoard shows


class TensorBoard(Logger):
    """Scalars, pictures and histograms in `tensorboard/`."""

    def __init__(self, workdir: Path, step: int):
        """Opens nothing yet."""
        self._folder, self._step = RunDir(workdir).tensorboard, step

    @functools.cached_property
    def _writer(self) -> "SummaryWriter":
        """The library's writer, opened when there is something to write: after the first step.

        Where PyTorch is installed the library imports it, which takes more than a second.
        """
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # Files are named by the second: without the suffix, a run taken up within it would
        # overwrite the first.
        with files.named_in_faults(self._folder):
            writer = SummaryWriter(str(self._folder), filename_suffix=f".{time.time_ns()}")
        events = writer.file_writer.event_writer

        # Written here and now, for this is called in a thread already: where the library's own
        # thread ends in a fault, such as a full disk, its queue fills and all waits for ever.
        def write(event: Any) -> None:
            with files.named_in_faults(self._folder):
                events._ev_writer.write_event(event)
                events.flush()

        events.add_event = write
        # Hides what an interrupted run wrote after its last checkpoint.
        start = SessionLog(status=SessionLog.START)
        for about in ({"file_version": "brain.Event:2"}, {"session_log": start}):
            write(Event(step=self._step + 1, wall_time=time.time(), **about))
        return writer

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "..."]) -> None:
        # Counted here: the library's own 1,500 unequal bins take a hundred times as long.
        counts, edges = np.histogram(values.astype(np.float64), _BINS)
        self._writer.add_histogram_raw(
            name,
            min=float(values.min()),
            max=float(values.max()),
            num=values.size,
            sum=float(values.sum(dtype=np.float64)),
            sum_squares=float(np.square(values, dtype=np.float64).sum()),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )

    def close(self) -> None:
        if "_writer" in vars(self):
            with files.named_in_faults(self._folder):
                self._writer.close()
