"""What is gained by leaving the least sure pictures to a person."""

from typing import TypeVar

import numpy as np

from bcjax.metrics.predictions import Measure, Predictions, Weights, share, summing

Count = TypeVar("Count", int, np.ndarray)

COVERAGES = (80, 90, 95)  # percent, for whole numbers round to the same count everywhere


def answered(n: Count, coverage: int) -> Count:
    """Returns how many of n pictures are answered, `coverage` percent of them at least."""
    return -(-coverage * n // 100)


def selective(predictions: Predictions) -> Measure:
    """Accuracy on the surest 80, 90 and 95 %, and the area under the risk-coverage curve.

    Sure is what has a high top probability. The area is the error rate among the surest k
    pictures, averaged over k = 1 to N (Geifman and El-Yaniv 2017; AURC, Geifman et al. 2019). Equal
    confidences are taken in proportion, which is the mean over their orders.
    """
    places = predictions.place.max() + 1
    wrong_at, count_at = (
        summing(predictions.place, places, values) for values in (~predictions.correct, None)
    )

    def measure(weights: Weights) -> dict[str, np.ndarray]:
        wrong, count = wrong_at @ weights, count_at @ weights
        errors, reached = wrong.cumsum(axis=0), count.cumsum(axis=0)
        n = reached[-1]
        kept = np.stack([answered(n, coverage) for coverage in COVERAGES])
        rates = 1 - share(kept, reached, errors) / kept
        names = [f"selective_accuracy_{coverage}" for coverage in COVERAGES]
        return {"aurc": _area(wrong, count, errors, reached) / n} | dict(
            zip(names, rates, strict=True)
        )

    return measure


def _area(wrong, count, errors, reached) -> np.ndarray:
    """The sum over k of errors(k) / k, where errors grow in a line from place to place.

    From a place that begins after k0 pictures and e0 errors, errors(k) / k is rate + (e0 - rate *
    k0) / k, and the sum of 1 / k is a difference of harmonic numbers.
    """
    harmonic = np.append(0, (1 / np.arange(1, reached[-1].max() + 1)).cumsum())
    rate = wrong / np.maximum(count, 1)
    before = reached - count
    inverses = np.diff(harmonic[reached.astype(np.intp)], axis=0, prepend=0)
    return ((errors - wrong - rate * before) * inverses + wrong).sum(axis=0)
