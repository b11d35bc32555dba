"""What an evaluation during training shows beside its metrics."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax import traverse_util
from jaxtyping import Int, UInt8

from bcjax.metrics.measurements import Measurements
from bcjax.training.loggers.logger import Logger

_MOST_WRITTEN = 20  # with more classes than this, counts and names do not fit


def evaluated(
    loggers: Sequence[Logger], step: int, split: str, result: Measurements, params: dict[str, Any]
) -> None:
    """Logs the confusion matrix as an image, and histograms of the parameters.

    Args:
      loggers: Where to log.
      step: The step of the evaluation.
      split: The split that was evaluated.
      result: The evaluation, from `metrics.measure`.
      params: A pytree of float arrays. Those that lie on devices of other hosts are left out.
    """
    if not loggers:
        return
    # Copied, since the next step overwrites the arrays on the devices.
    kept = {
        path: np.array(leaf)
        for path, leaf in traverse_util.flatten_dict(params, sep="/").items()
        if leaf.is_fully_addressable or leaf.is_fully_replicated
    }
    picture = functools.cache(lambda: confusion(np.array(result.confusion_matrix), result.classes))

    def log(logger: Logger) -> None:
        logger.image(step, f"{split}/confusion", picture())
        for path, values in kept.items():
            logger.histogram(step, f"parameters/{path}", values)

    for logger in loggers:
        logger.defer(log)


def confusion(matrix: Int[np.ndarray, "C C"], classes: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Draws the counts, one row for each true class, coloured by their share of the row."""
    # Imported here: it takes most of a second, and the first step should not wait for it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = len(classes)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # Laid out in inches by hand: matplotlib's own layout draws everything several times.
    margin = 0.6 + 0.08 * max(len(name) for name in classes) * (size <= _MOST_WRITTEN)
    side = margin + min(1.2 + 0.45 * size, 10.0)
    figure = Figure(figsize=(side, side), dpi=80)
    corner, width = margin / side, 1 - (margin + 0.1) / side
    axis = figure.add_axes((corner, corner, width, width))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="predicted", ylabel="true")
    if size <= _MOST_WRITTEN:
        axis.set_xticks(range(size), classes, rotation=90)
        axis.set_yticks(range(size), classes)
        for row, column in np.argwhere(matrix):
            colour = "white" if share[row, column] > 0.5 else "black"
            count = str(matrix[row, column])
            axis.text(column, row, count, ha="center", va="center", color=colour, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
