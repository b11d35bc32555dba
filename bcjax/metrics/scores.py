"""Metrics that are a mean over pictures: proper scores, and the truth among the first answers."""

import numpy as np
from jaxtyping import Int
from scipy import sparse

from bcjax.metrics.predictions import Measure, Predictions, Weights

TOP = (3, 5)


def scores(predictions: Predictions) -> Measure:
    """Top-k accuracies (k less than the classes), log loss and Brier score.

    The log loss is in nats, of probabilities not below float64's epsilon. The Brier score is his
    own of 1950, the squared error summed over classes: 0 to 2, twice what is usual for two.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    of_truth = probabilities[np.arange(predictions.n), labels]
    # Float32 rows sum to 1 within rounding only; dividing all by it would part ties in the AUC.
    likelihood = of_truth / probabilities.sum(axis=1)
    before = _better(predictions)
    each = {
        **{f"top_{k}_accuracy": before < k for k in TOP if k < predictions.classes},
        "log_loss": -np.log(np.maximum(likelihood, np.finfo(np.float64).eps)),
        "brier": (probabilities**2).sum(axis=1) - 2 * of_truth + 1,
    }
    stacked = sparse.csr_array(np.stack(list(each.values())).astype(np.float64))

    def measure(weights: Weights) -> dict[str, np.ndarray]:
        return dict(zip(each, stacked @ weights / weights.sum(axis=0), strict=True))

    return measure


def _better(predictions: Predictions) -> Int[np.ndarray, " N"]:
    """How many classes are named before the true one; of equals the first, as argmax has it."""
    probabilities, labels = predictions.probabilities, predictions.labels[:, None]
    of_truth = np.take_along_axis(probabilities, labels, axis=1)
    first = np.arange(predictions.classes) < labels
    return ((probabilities > of_truth) | ((probabilities == of_truth) & first)).sum(axis=1)
