"""TensorBoard's event files, written without TensorFlow."""

import time
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from tensorboardX import SummaryWriter

from bcjax.runtime.run_dir import RunDir
from bcjax.training.loggers.logger import Logger

_BINS = 30  # as many as TensorBoard shows


class TensorBoard(Logger):
    """Scalars, pictures and histograms in `tensorboard/`."""

    def __init__(self, workdir: Path, step: int):
        # purge_step hides what an interrupted run wrote after its last checkpoint. Files are named
        # by the second: without the suffix, a run taken up within it would overwrite the first.
        self._writer = SummaryWriter(
            str(RunDir(workdir).tensorboard),
            purge_step=step + 1,
            filename_suffix=f".{time.time_ns()}",
        )

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
        self._writer.close()
