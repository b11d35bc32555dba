"""Curves of predictions, as arrays to draw: the areas under them are in the evaluation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bcjax.metrics.calibration_error import BINS, bin_of
from bcjax.metrics.intervals import wilson
from bcjax.metrics.predictions import Predictions

# Steps of each axis: finer than a pixel of a figure, coarser than 13,000 thresholds.
_RESOLUTION = 500


class Curve(NamedTuple):
    """Points in order, x and y in [0, 1]."""

    x: Float[np.ndarray, " P"]
    y: Float[np.ndarray, " P"]


class Reliability(NamedTuple):
    """The bins of a reliability diagram that hold pictures, from low to high confidence.

    Attributes:
      confidence: Mean top probability.
      accuracy: Share that is right.
      low: Of accuracy, Wilson's 95 % interval.
      high: The same.
      n: Pictures.
    """

    confidence: Float[np.ndarray, " B"]
    accuracy: Float[np.ndarray, " B"]
    low: Float[np.ndarray, " B"]
    high: Float[np.ndarray, " B"]
    n: Int[np.ndarray, " B"]


def roc(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"], label: int
) -> Curve | None:
    """False against true positive rate of a class against the rest; None without both."""
    from sklearn import metrics as sk  # here, for it takes two seconds to import

    positive = labels == label
    if positive.all() or not positive.any():
        return None
    false, true, _ = sk.roc_curve(positive, probabilities[:, label])
    return _thinned(false, true)


def precision_recall(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"], label: int
) -> Curve | None:
    """Recall against precision of a class, a step at each threshold; None without pictures."""
    from sklearn import metrics as sk

    positive = labels == label
    if not positive.any():
        return None
    precision, recall, _ = sk.precision_recall_curve(positive, probabilities[:, label])
    return _thinned(recall[::-1], precision[::-1])


def reliability(
    probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]
) -> Reliability:
    """The 15 bins of the expected calibration error, those that are empty left out."""
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
    """Share of pictures answered, the surest first, against the error rate among them."""
    predictions = Predictions(probabilities, labels)
    reached = np.bincount(predictions.place).cumsum()
    errors = np.bincount(predictions.place, ~predictions.correct).cumsum()
    return _thinned(reached / predictions.n, errors / reached)


def _thinned(x: np.ndarray, y: np.ndarray) -> Curve:
    """Leaves out points that stay in their neighbour's cell of the grid; never the ends."""
    cells = np.floor(np.stack([x, y]) * _RESOLUTION)
    moved = (np.diff(cells, axis=1) != 0).any(axis=0)
    kept = np.append(True, moved)
    kept[-1] = True
    return Curve(x[kept], y[kept])
