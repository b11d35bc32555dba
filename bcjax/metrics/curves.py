"""ROC, precision-recall, reliability and risk-coverage curves, as arrays to draw."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bcjax.metrics.intervals import wilson
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.scores import BINS, bin_of

# Steps of each axis: finer than a pixel of a figure, coarser than 13,000 thresholds.
_RESOLUTION = 500


class Curve(NamedTuple):
    """The points of a curve in order, x and y in [0, 1]."""

    x: Float[np.ndarray, " P"]
    y: Float[np.ndarray, " P"]


class Reliability(NamedTuple):
    """The non-empty bins of a reliability diagram, from low to high confidence.

    Attributes:
      confidence: Mean highest probability of each bin's pictures.
      accuracy: Share of them that is predicted correctly.
      low: Lower end of the accuracy's 95 % interval (Wilson).
      high: Upper end of that interval.
      n: Number of pictures in each bin.
    """

    confidence: Float[np.ndarray, " B"]
    accuracy: Float[np.ndarray, " B"]
    low: Float[np.ndarray, " B"]
    high: Float[np.ndarray, " B"]
    n: Int[np.ndarray, " B"]


def roc(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"], label: int
) -> Curve | None:
    """Returns the ROC curve of one class against the rest: false (x) and true positive rate (y).

    None where all pictures, or none, are of the class.
    """
    from sklearn import metrics as sk  # here, for it takes two seconds to import

    positive = labels == label
    if positive.all() or not positive.any():
        return None
    false, true, _ = sk.roc_curve(positive, probabilities[:, label])
    return _thinned(false, true)


def precision_recall(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"], label: int
) -> Curve | None:
    """Returns recall (x) and precision (y) of one class, a step at each threshold.

    None where no picture is of the class.
    """
    from sklearn import metrics as sk

    positive = labels == label
    if not positive.any():
        return None
    precision, recall, _ = sk.precision_recall_curve(positive, probabilities[:, label])
    return _thinned(recall[::-1], precision[::-1])


def reliability(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]
) -> Reliability:
    """Returns the 15 bins of the expected calibration error, without the empty ones."""
    predictions = Predictions(probabilities, labels)
    bins = bin_of(predictions.confidence)
    n, right, confidence = (
        np.bincount(bins, values, minlength=BINS)
        for values in (None, predictions.correct, predictions.confidence)
    )
    full = n > 0
    n, right, confidence = n[full], right[full], confidence[full]
    low, high = np.transpose([wilson(k, of) for k, of in zip(right, n, strict=True)])
    return Reliability(confidence / n, right / n, low, high, n)


def risk_coverage(probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]) -> Curve:
    """Returns the share of pictures answered (x), the surest first, and their error rate (y)."""
    predictions = Predictions(probabilities, labels)
    reached = np.bincount(predictions.rank).cumsum()
    errors = np.bincount(predictions.rank, ~predictions.correct).cumsum()
    return _thinned(reached / predictions.n, errors / reached)


def _thinned(x: np.ndarray, y: np.ndarray) -> Curve:
    """Leaves out points in the same cell of the grid as their neighbour, but never the ends."""
    cells = np.floor(np.stack([x, y]) * _RESOLUTION)
    moved = (np.diff(cells, axis=1) != 0).any(axis=0)
    kept = np.append(True, moved)
    kept[-1] = True
    return Curve(x[kept], y[kept])
