"""AUC and average precision: how well the probability of a class ranks the pictures."""

from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Int

from bcjax.metrics.predictions import Predictions, WeightedMetrics, Weights, macro


def ranking(predictions: Predictions) -> WeightedMetrics:
    """Area under the ROC curve and average precision of each class, and their means.

    The first is the share of (positive, negative) pairs in the right order, a tie counting one
    half (Mann and Whitney 1947). The second is precision averaged over recall, a step at each
    threshold, as in scikit-learn: no line is drawn between them (Davis and Goadrich 2006). A class
    without pictures has neither; where all pictures are of one class it has no AUC.
    """
    sorted_by_class = {
        label: _sorted(predictions.probabilities[:, label], predictions.labels == label)
        for label in np.unique(predictions.labels)
    }

    def measure(weights: Weights) -> dict[str, np.ndarray]:
        areas = np.full((2, predictions.classes, weights.shape[1]), np.nan)
        for label, by_score in sorted_by_class.items():
            areas[:, label] = _areas(by_score, weights)
        auc, precision = areas
        return {
            "macro_auc": macro(auc),
            "macro_average_precision": macro(precision),
            "auc": auc,
            "average_precision": precision,
        }

    return measure


class _Sorted(NamedTuple):
    """Matrices that sum weights in the order of a score, of which the positives take U values.

    Attributes:
      everyone: (2U + 1, N): the pictures below the first of those values, at it, between it and
        the next, and so on.
      positive: (U, N): the positives with each value.
    """

    everyone: "scipy.sparse.csr_array"
    positive: "scipy.sparse.csr_array"


def _sorted(scores: Float[np.ndarray, " N"], positive: np.ndarray) -> _Sorted:
    n = len(scores)
    order = scores.argsort(kind="stable")
    own = order[positive[order]]
    values, first = np.unique(scores[own], return_index=True)
    cuts = [np.searchsorted(scores[order], values, side) for side in ("left", "right")]
    return _Sorted(_slices(order, np.stack(cuts, axis=1).ravel(), n), _slices(own, first[1:], n))


def _slices(
    order: Int[np.ndarray, " K"], cuts: Int[np.ndarray, " S"], n: int
) -> "scipy.sparse.csr_array":
    """Returns an (S + 1, N) matrix that sums weights over each part of an order, cut."""
    bounds = np.concatenate([[0], cuts, [len(order)]])
    return scipy.sparse.csr_array((np.ones(len(order)), order, bounds), shape=(len(bounds) - 1, n))


def _areas(
    by_score: _Sorted, weights: Weights
) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " R"]]:
    up_to = (by_score.everyone @ weights).cumsum(axis=0)
    below, at_most, everyone = up_to[:-1:2], up_to[1::2], up_to[-1]
    gained = by_score.positive @ weights
    own_at_most = gained.cumsum(axis=0)
    own_below, positives = own_at_most - gained, own_at_most[-1]
    with np.errstate(invalid="ignore"):
        # Negatives below and negatives not above, twice the pairs won.
        won = (gained * ((below - own_below) + (at_most - own_at_most))).sum(axis=0)
        auc = won / (2 * positives * (everyone - positives))
        precision = (positives - own_below) / (everyone - below)
        average = np.where(gained > 0, gained * precision, 0).sum(axis=0) / positives
    return auc, average
