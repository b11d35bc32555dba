"""Every metric at once, for values and for resamples alike."""

from collections.abc import Iterable

import numpy as np

from bcjax.metrics.calibration_error import NOISE, calibration_error
from bcjax.metrics.counts import counts
from bcjax.metrics.predictions import Measure, Predictions, Weights
from bcjax.metrics.ranking import ranking
from bcjax.metrics.scores import scores
from bcjax.metrics.selective import selective

PER_CLASS = ("precision", "recall", "specificity", "f1", "auc", "average_precision")


def every(predictions: Predictions) -> Measure:
    """Returns all metrics of predictions, sorted and counted once for any number of weights."""
    rooms = (counts, scores, calibration_error, ranking, selective)
    measures = [room(predictions) for room in rooms]

    def measure(weights: Weights) -> dict[str, np.ndarray]:
        return {name: found for each in measures for name, found in each(weights).items()}

    return measure


def headlines(names: Iterable[str]) -> list[str]:
    """Returns those that are metrics of all classes together."""
    return [name for name in names if name not in PER_CLASS and name not in NOISE.values()]


def plain(measure: Measure, n: int) -> dict[str, np.ndarray]:
    """Returns the values themselves: each picture counts once."""
    return {name: found[..., 0] for name, found in measure(np.ones((n, 1))).items()}
