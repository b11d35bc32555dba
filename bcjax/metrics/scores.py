"""The metrics: accuracy and F1, proper scores, calibration error, selective accuracy.

Each is defined once, for weighted pictures. With a weight of 1 for every picture it gives the
value; with the counts of a resample it gives a draw of the bootstrap.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import scipy
from jaxtyping import Float, Int

from bcjax.metrics.predictions import (
    Predictions,
    WeightedMetrics,
    Weights,
    macro,
    partial_sums,
    sum_by,
)
from bcjax.metrics.ranking import ranking

Count = TypeVar("Count", int, np.ndarray)

PER_CLASS = ("precision", "recall", "specificity", "f1", "auc", "average_precision")
TOP = (3, 5)  # the k of top-k accuracy
COVERAGES = (80, 90, 95)  # percent, for whole numbers round to the same count everywhere
BINS = 15  # of the calibration errors
# The metric that holds a resample's noise, by the calibration error that the noise is part of.
NOISE = {name: f"{name}_noise" for name in ("ece", "ace", "mce")}

# Metrics from outside, see `bcjax.register.metric`: from probabilities (N, C) and labels (N,).
REGISTERED: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {}


def all_metrics(predictions: Predictions) -> WeightedMetrics:
    """Returns every metric as a function of weights; what can be sorted and counted once, is."""
    kinds = (counts, mean_scores, calibration_error, ranking, selective, registered)
    functions = [kind(predictions) for kind in kinds]

    def metrics(weights: Weights) -> dict[str, np.ndarray]:
        return {name: value for each in functions for name, value in each(weights).items()}

    return metrics


def unweighted(metrics: WeightedMetrics, n: int) -> dict[str, np.ndarray]:
    """Returns the metrics of n pictures, each counted once."""
    return {name: value[..., 0] for name, value in metrics(np.ones((n, 1))).items()}


def overall(names: Iterable[str]) -> list[str]:
    """Returns those names that are metrics of all classes together."""
    return [name for name in names if name not in PER_CLASS and name not in NOISE.values()]


def registered(predictions: Predictions) -> WeightedMetrics:
    """The metrics that were registered from outside, see `bcjax.register.metric`."""

    def metrics(weights: Weights) -> dict[str, np.ndarray]:
        # A picture that counts twice is there twice; the metric knows of no weights.
        draws = [np.repeat(np.arange(predictions.n), column.astype(int)) for column in weights.T]
        return {
            name: np.array(
                [function(predictions.probabilities[i], predictions.labels[i]) for i in draws],
                dtype=np.float64,
            )
            for name, function in REGISTERED.items()
        }

    return metrics


def counts(predictions: Predictions) -> WeightedMetrics:
    """Accuracy, balanced accuracy, F1, macro precision, kappa, MCC; each class's precision, ...

    Kappa is Cohen's (1960). `mcc` is Matthews' correlation coefficient for many classes (Gorodkin
    2004); as in scikit-learn it is 0 where all labels or all predictions are of one class. The
    weighted F1 weighs each class by its number of pictures.
    """
    # Never C * C numbers for each resample: ImageNet has a thousand classes.
    by_label = sum_by(predictions.labels, predictions.classes)
    by_prediction = sum_by(predictions.predicted, predictions.classes)
    by_correct = sum_by(predictions.labels, predictions.classes, predictions.correct)

    def metrics(weights: Weights) -> dict[str, np.ndarray]:
        true, predicted = by_label @ weights, by_prediction @ weights
        hits = by_correct @ weights
        n, right = true.sum(axis=0), hits.sum(axis=0)
        chance = (true * predicted).sum(axis=0)
        squares = (n**2 - (true**2).sum(axis=0)) * (n**2 - (predicted**2).sum(axis=0))
        scale = np.sqrt(squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision, recall = hits / predicted, hits / true
            f1 = 2 * hits / (true + predicted)
            return {
                "accuracy": right / n,
                "balanced_accuracy": macro(recall),
                "macro_f1": macro(f1),
                "weighted_f1": np.where(true > 0, true * f1, 0).sum(axis=0) / n,
                "macro_precision": macro(precision),
                "kappa": (n * right - chance) / (n**2 - chance),
                "mcc": np.where(scale > 0, (n * right - chance) / scale, 0),
                "precision": precision,
                "recall": recall,
                "specificity": (n - true - predicted + hits) / (n - true),
                "f1": f1,
            }

    return metrics


def mean_scores(predictions: Predictions) -> WeightedMetrics:
    """Top-k accuracy (k below the number of classes), log loss and Brier score.

    The log loss is in nats; probabilities below float64's epsilon count as that epsilon. The Brier
    score is the original one (1950), the squared error summed over the classes: it lies in [0, 2],
    and for two classes it is twice the usual one.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    of_truth = probabilities[np.arange(predictions.n), labels]
    # Float32 rows sum to 1 only within rounding. Dividing all of them would break ties in the AUC.
    likelihood = of_truth / probabilities.sum(axis=1)
    before = _ranked_before_truth(predictions)
    each = {
        **{f"top_{k}_accuracy": before < k for k in TOP if k < predictions.classes},
        "log_loss": -np.log(np.maximum(likelihood, np.finfo(np.float64).eps)),
        "brier": (probabilities**2).sum(axis=1) - 2 * of_truth + 1,
    }
    stacked = scipy.sparse.csr_array(np.stack(list(each.values())).astype(np.float64))

    def metrics(weights: Weights) -> dict[str, np.ndarray]:
        return dict(zip(each, stacked @ weights / weights.sum(axis=0), strict=True))

    return metrics


def _ranked_before_truth(predictions: Predictions) -> Int[np.ndarray, " N"]:
    """Returns how many classes rank before the true one; of equals the first, as argmax does."""
    probabilities, labels = predictions.probabilities, predictions.labels[:, None]
    of_truth = np.take_along_axis(probabilities, labels, axis=1)
    first = np.arange(predictions.classes) < labels
    return ((probabilities > of_truth) | ((probabilities == of_truth) & first)).sum(axis=1)


def calibration_error(predictions: Predictions) -> WeightedMetrics:
    """Expected, adaptive and maximum calibration error of the predicted class.

    Confidence and accuracy are compared bin by bin:

    - `ece`: bins of equal width, the mean gap weighted by pictures (Naeini et al. 2015; Guo et al.
      2017)
    - `ace`: bins of equal mass, the mean gap (Nguyen and O'Connor 2015; "adaptive ECE"). Equal
      confidences across a border are shared between its bins in proportion.
    - `mce`: the largest gap in the bins of equal width

    Noise makes each of them larger. A resample has more noise than the sample, so percentiles over
    resamples would miss the true value. Therefore each error comes with its noise (`NOISE`): the
    same error computed from the gaps minus the sample's own gaps. By the triangle inequality the
    true value is no farther than that from the sample's.
    """
    gap = predictions.correct - predictions.confidence
    bins, ranks = bin_of(predictions.confidence), predictions.rank.max() + 1
    gap_in_bin, count_in_bin = sum_by(bins, BINS, gap), sum_by(bins, BINS)
    gap_at, count_at = sum_by(predictions.rank, ranks, gap), sum_by(predictions.rank, ranks)
    borders = np.arange(BINS + 1) / BINS

    def gaps(weights: Weights) -> dict[str, Float[np.ndarray, "B R"]]:
        """Returns the gap of each bin; for `ece` and `ace` times its share of the pictures."""
        n, wide, filled = weights.sum(axis=0), gap_in_bin @ weights, count_in_bin @ weights
        reached, total = (count_at @ weights).cumsum(axis=0), (gap_at @ weights).cumsum(axis=0)
        return {
            "ece": wide / n,
            "ace": np.diff(partial_sums(np.outer(borders, n), reached, total), axis=0) / n,
            "mce": wide / np.maximum(filled, 1),
        }

    own = gaps(np.ones((predictions.n, 1)))

    def metrics(weights: Weights) -> dict[str, np.ndarray]:
        gap_of = gaps(weights)
        noise = {NOISE[name]: each - own[name] for name, each in gap_of.items()}
        return {
            name: np.abs(each).max(axis=0) if "mce" in name else np.abs(each).sum(axis=0)
            for name, each in (gap_of | noise).items()
        }

    return metrics


def bin_of(confidence: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Returns the bin of equal width of each confidence: (0, 1/15], (1/15, 2/15], ..."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")


def answered(n: Count, coverage: int) -> Count:
    """Returns how many of n pictures are answered at a coverage in percent, rounded up."""
    return -(-coverage * n // 100)


def selective(predictions: Predictions) -> WeightedMetrics:
    """Accuracy on the surest 80, 90 and 95 %, and the area under the risk-coverage curve.

    Pictures are ranked by their highest probability. The area is the error rate among the surest k
    pictures, averaged over k = 1 to N (Geifman and El-Yaniv 2017; AURC, Geifman et al. 2019). Equal
    confidences count in proportion, which is the mean over all their orders.
    """
    ranks = predictions.rank.max() + 1
    wrong_at, count_at = (
        sum_by(predictions.rank, ranks, values) for values in (~predictions.correct, None)
    )

    def metrics(weights: Weights) -> dict[str, np.ndarray]:
        wrong, count = wrong_at @ weights, count_at @ weights
        errors, reached = wrong.cumsum(axis=0), count.cumsum(axis=0)
        n = reached[-1]
        kept = np.stack([answered(n, coverage) for coverage in COVERAGES])
        rates = 1 - partial_sums(kept, reached, errors) / kept
        names = [f"selective_accuracy_{coverage}" for coverage in COVERAGES]
        return {"aurc": _area(wrong, count, errors, reached) / n} | dict(
            zip(names, rates, strict=True)
        )

    return metrics


def _area(wrong, count, errors, reached) -> np.ndarray:
    """Returns the sum over k of errors(k) / k, where errors grow linearly from rank to rank.

    For a rank that begins after k0 pictures and e0 errors, errors(k) / k is rate + (e0 - rate *
    k0) / k, and the sum of 1 / k is a difference of harmonic numbers.
    """
    harmonic = np.append(0, (1 / np.arange(1, reached[-1].max() + 1)).cumsum())
    rate = wrong / np.maximum(count, 1)
    before = reached - count
    inverses = np.diff(harmonic[reached.astype(np.intp)], axis=0, prepend=0)
    return ((errors - wrong - rate * before) * inverses + wrong).sum(axis=0)
