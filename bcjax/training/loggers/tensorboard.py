"""TensorBoard's event files, written without TensorFlow."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loggers.logger import Logger

_BINS = 30  # as many as TensorBoard shows


class TensorBoard(Logger):
    """Scalars, pictures and histograms in `tensorboard/`."""

    def __init__(self, workdir: Path, step: int):
        folder = RunDir(workdir).tensorboard
        # Files are named by the second: without the suffix, a run taken up within it would
        # overwrite the first.
        with files.named_in_faults(folder):
            self._writer = SummaryWriter(str(folder), filename_suffix=f".{time.time_ns()}")
        # Written here and now, for this is called in a thread already: where the library's own
        # thread ends in a fault, such as a full disk, its queue fills and all waits for ever.
        self._events = self._writer.file_writer.event_writer
        self._events.add_event = self._write
        # Hides what an interrupted run wrote after its last checkpoint.
        start = SessionLog(status=SessionLog.START)
        for about in ({"file_version": "brain.Event:2"}, {"session_log": start}):
            self._write(Event(step=step + 1, wall_time=time.time(), **about))

    def _write(self, event: Any) -> None:
        with files.named_in_faults(self._events.get_logdir()):
            self._events._ev_writer.write_event(event)
            self._events.flush()

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
        with files.named_in_faults(self._events.get_logdir()):
            self._writer.close()
