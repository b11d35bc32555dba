"""Metrics of the answers alone: how often each class was right, missed, or said in vain."""

import numpy as np
from jaxtyping import Float

from bcjax.metrics.predictions import Measure, Predictions, Weights, summing


def counts(predictions: Predictions) -> Measure:
    """Accuracy, its balanced and chance-corrected kin, and F1; for each class what they rest on.

    Kappa is Cohen's (1960); `mcc` is Matthews' coefficient for many classes (Gorodkin 2004), 0 as
    in scikit-learn where all pictures or all answers are of one class. The weighted F1 is the mean
    of the classes' weighted by their pictures.
    """
    # Never C * C numbers for each sample: a network of ImageNet has a thousand classes.
    by_label = summing(predictions.labels, predictions.classes)
    by_answer = summing(predictions.predicted, predictions.classes)
    by_hit = summing(predictions.labels, predictions.classes, predictions.correct)

    def measure(weights: Weights) -> dict[str, np.ndarray]:
        true, said, hits = by_label @ weights, by_answer @ weights, by_hit @ weights
        n, right = true.sum(axis=0), hits.sum(axis=0)
        chance = (true * said).sum(axis=0)
        spread = np.sqrt((n**2 - (true**2).sum(axis=0)) * (n**2 - (said**2).sum(axis=0)))
        with np.errstate(divide="ignore", invalid="ignore"):
            recall, f1 = hits / true, 2 * hits / (true + said)
            return {
                "accuracy": right / n,
                "balanced_accuracy": macro(recall),
                "macro_f1": macro(f1),
                "weighted_f1": np.where(true > 0, true * f1, 0).sum(axis=0) / n,
                "kappa": (n * right - chance) / (n**2 - chance),
                "mcc": np.where(spread > 0, (n * right - chance) / spread, 0),
                "precision": hits / said,
                "recall": recall,
                "specificity": (n - true - said + hits) / (n - true),
                "f1": f1,
            }

    return measure


def macro(per_class: Float[np.ndarray, "C R"]) -> Float[np.ndarray, " R"]:
    """The mean over the classes that are defined (not NaN); NaN where none is."""
    defined = ~np.isnan(per_class)
    with np.errstate(invalid="ignore"):
        return np.where(defined, per_class, 0).sum(axis=0) / defined.sum(axis=0)
