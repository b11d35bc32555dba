"""All metrics of a set of predictions, each with its n and its interval."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import scipy
from jaxtyping import Float, Int

from bcjax.metrics.intervals import Estimate
from bcjax.metrics.predictions import Predictions, checked
from bcjax.metrics.resampling import ResampledMetrics, resample
from bcjax.metrics.scores import COVERAGES, PER_CLASS, answered, overall
from bcjax.runtime.result import Result

_WHOLE = 100  # classes up to which a file holds the whole confusion matrix


@dataclasses.dataclass(frozen=True)
class ClassMetrics(Result):
    """The metrics of one class; None where a metric is undefined.

    Attributes:
      name: The class.
      n: Number of pictures of the class.
      precision: Share of the pictures predicted as the class that are of it.
      recall: Share of the pictures of the class that are predicted as it.
      specificity: Share of the other pictures that are not predicted as it.
      f1: Harmonic mean of precision and recall.
      auc: Area under the ROC curve of the class against the rest.
      average_precision: Average precision of the class against the rest.
    """

    name: str
    n: int
    precision: Estimate | None
    recall: Estimate | None
    specificity: Estimate | None
    f1: Estimate | None
    auc: Estimate | None
    average_precision: Estimate | None

    def items(self) -> list[tuple[str, Estimate | None]]:
        """Returns (name of the metric, its estimate) for each metric."""
        return [(name, getattr(self, name)) for name in PER_CLASS]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements(Result):
    """All metrics of a set of predictions.

    Attributes:
      n: Number of pictures.
      groups: Number of groups that were resampled as a whole; n if every picture is on its own.
      classes: Names of the classes, in the order of the probabilities' columns.
      resamples: Number of bootstrap resamples.
      seed: Seed of the bootstrap.
      metrics: Metrics of all classes together, by name: `accuracy`, `balanced_accuracy`,
        `macro_f1`, `weighted_f1`, `macro_precision`, `kappa`, `mcc`, `top_3_accuracy`,
        `top_5_accuracy`, `log_loss`,
        `brier`, `ece`, `ace`, `mce`, `macro_auc`, `macro_average_precision`, `aurc`,
        `selective_accuracy_80`, `_90` and `_95`.
      per_class: The metrics of each class.
      confusion_matrix: Number of pictures, `[true class][predicted class]`. In a file of more than
        100 classes: the positions `true` and `predicted` and the `count` of each pair that occurs.
      undefined: For each metric of a class, the names of the classes for which it is undefined.
    """

    n: int
    groups: int
    classes: tuple[str, ...]
    resamples: int
    seed: int
    metrics: Mapping[str, Estimate]
    per_class: tuple[ClassMetrics, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    undefined: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values; of many classes, the pairs alone that were confused.

        The whole matrix of 1,000 classes is a million numbers, all but a few of them 0: 10 MB.
        """
        page = super().to_dict()
        if len(self.classes) > _WHOLE:
            pairs = scipy.sparse.coo_array(np.array(self.confusion_matrix))
            page["confusion_matrix"] = {
                "true": pairs.row.tolist(),
                "predicted": pairs.col.tolist(),
                "count": pairs.data.tolist(),
            }
        return page

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the measurements that `to_dict` turned into plain values, in either form."""
        pairs = page["confusion_matrix"]
        if isinstance(pairs, Mapping):
            shape = (len(page["classes"]), len(page["classes"]))
            positions = (pairs["true"], pairs["predicted"])
            matrix = scipy.sparse.coo_array((pairs["count"], positions), shape).toarray()
            page = {**page, "confusion_matrix": matrix.tolist()}
        return super().from_dict(page)

    @property
    def average(self) -> ClassMetrics:
        """The macro averages: the mean of each metric over the classes that it is defined for.

        Recall's is the balanced accuracy. Specificity's has no interval, and in evaluations that
        version 0.1 wrote precision's has none either.
        """
        return ClassMetrics(
            "macro average", self.n, **{key: self._average(key) for key in PER_CLASS}
        )

    def _average(self, key: str) -> Estimate | None:
        name = "balanced_accuracy" if key == "recall" else f"macro_{key}"
        if name in self.metrics:
            return self.metrics[name]
        known = [getattr(row, key) for row in self.per_class]
        values = [each.value for each in known if each and each.value is not None]
        return Estimate(sum(values) / len(values), self.n, None) if values else None

    @property
    def values(self) -> dict[str, float]:
        """{"accuracy": 0.97, ...}: the values alone, without the undefined ones."""
        return {name: m.value for name, m in self.metrics.items() if m.value is not None}


def measure(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Measurements:
    """Computes all metrics of predictions, with 95 % intervals.

    The kinds of interval:

    - "wilson": for a proportion of independent pictures
    - "bootstrap": percentiles over resampled pictures (Efron and Tibshirani 1993, ch. 13); for a
      calibration error the value give or take its noise, see `scores.calibration_error`
    - "group bootstrap": over resampled groups, because pictures of one patient or slide err
      together (Field and Welsh 2007); also for proportions, for which Wilson's would be too narrow
    - "group wilson": for a proportion that is 0 or 1, where resampling has nothing to vary:
      Wilson's with the groups as trials
    - "clipped" before one of these: an end would have left the range of the metric (`names`), and
      was moved into it

    A metric that is the same on every resample, such as a macro F1 of 1, has no interval: nothing
    varies there, which does not make it certain.

    A metric that is undefined is left out of the macro averages:

    - a class without pictures has no recall, no AUC and no average precision
    - where all pictures are of one class it has no AUC and no specificity
    - a class that is never predicted has no precision; one that neither occurs nor is predicted has
      no F1

    Args:
      probabilities: Predicted probabilities in [0, 1], each row summing to 1 within 1e-3; any float
        dtype.
      labels: True classes, in [0, C).
      classes: Names of the C classes, in the order of the columns.
      groups: For each picture the name of what it is sampled together with, such as a patient; ""
        for a picture on its own. None: all are on their own.
      resamples: Number of bootstrap resamples; 0: only proportions get an interval.
      seed: Seed of the bootstrap.

    Raises:
      ValueError: If the arrays are not as described.
    """
    predictions = checked(probabilities, labels, classes)
    resampled = resample(predictions, groups, resamples=resamples, seed=seed)
    values, units = resampled.values, resampled.units
    surest = predictions.rank.argsort(kind="stable")
    units_of = {
        f"selective_accuracy_{coverage}": units[surest[: answered(predictions.n, coverage)]]
        for coverage in COVERAGES
    }
    return Measurements(
        n=predictions.n,
        groups=int(units.max()) + 1,
        classes=tuple(classes),
        resamples=resamples,
        seed=seed,
        metrics={
            name: resampled.metric(name).estimate(name, units_of.get(name))
            for name in overall(values)
        },
        per_class=tuple(
            _class_metrics(name, label, predictions, resampled)
            for label, name in enumerate(classes)
        ),
        confusion_matrix=tuple(map(tuple, _confusion(predictions).tolist())),
        undefined={
            metric: tuple(
                name for name, value in zip(classes, values[metric], strict=True) if np.isnan(value)
            )
            for metric in PER_CLASS
        },
    )


def _class_metrics(
    name: str, label: int, predictions: Predictions, resampled: ResampledMetrics
) -> ClassMetrics:
    true, predicted = predictions.labels == label, predictions.predicted == label
    units = resampled.units
    units_of = {
        "precision": units[predicted],
        "recall": units[true],
        "specificity": units[~true],
        "f1": units[true | predicted],
    }
    metrics = {}
    for metric in PER_CLASS:
        estimate = resampled.metric(metric, label).estimate(metric, units_of.get(metric))
        metrics[metric] = None if estimate.value is None else estimate
    return ClassMetrics(name=name, n=int(true.sum()), **metrics)


def _confusion(predictions: Predictions) -> Int[np.ndarray, "C C"]:
    c = predictions.classes
    pairs = predictions.labels * c + predictions.predicted
    return np.bincount(pairs, minlength=c * c).reshape(c, c)
