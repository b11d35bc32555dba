"""The result of an evaluation: each figure with its n and its interval."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bcjax.metrics import intervals
from bcjax.metrics.calibration_error import NOISE
from bcjax.metrics.measures import PER_CLASS, every, headlines, plain
from bcjax.metrics.predictions import Predictions, checked
from bcjax.metrics.scores import TOP
from bcjax.metrics.selective import COVERAGES, answered

_SELECTIVE = {f"selective_accuracy_{coverage}": coverage for coverage in COVERAGES}
_PROPORTIONS = {"accuracy", "precision", "recall", "specificity", *_SELECTIVE} | {
    f"top_{k}_accuracy" for k in TOP
}


def evaluate(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures predictions against the truth.

    A figure is `{"value", "n", "interval", "low", "high"}`, n being the pictures that it is of.
    The interval is of 95 %:

    - "wilson": a proportion's, of independent pictures
    - "bootstrap": percentiles over resampled pictures (Efron and Tibshirani 1993, ch. 13); of a
      calibration error the value give or take its noise, see `calibration_error`
    - "group bootstrap": over resampled groups, for pictures of one patient or slide err together
      (Field and Welsh 2007); then of proportions too, for which Wilson's would be too narrow
    - "group wilson": of a proportion that is 0 or 1, where resampling has nothing to vary: Wilson's
      with groups for trials

    Without an interval, `interval` is None and `low` and `high` are absent. What is undefined is
    None, is left out of the macro averages, and is listed:

    - a class without pictures has no recall, no AUC and no average precision, nor is there an AUC
      or a specificity where all pictures are of one class; a class never predicted has no
      precision; one that neither occurs nor is predicted has no F1.

    Args:
      probabilities: In [0, 1], each row summing to 1 within 1e-3; any float dtype.
      labels: In [0, C).
      classes: C names, in the order of the columns.
      groups: N names of what is sampled together; "" is a picture alone. None: all are alone.
      resamples: For the bootstrap; 0 leaves its intervals out.
      seed: Of the bootstrap.

    Returns:
      Plain Python values, ready for JSON (never NaN):

      - `n`, `classes`, `resamples`, `seed`, and `groups`, how many there are (n if all are alone)
      - `metrics`: figures by name, each defined where it is measured: accuracy and its kin in
        `counts`, top-k, log loss and Brier in `scores`, `calibration_error`, AUC and average
        precision of one class against the rest in `ranking`, abstention in `selective`
      - `per_class`: for each class its `name`, `n`, and figures `precision`, `recall`,
        `specificity`, `f1`, `auc`, `average_precision`
      - `confusion_matrix`: counts, `[true class][predicted class]`
      - `undefined`: for each metric of a class, the classes that have none

    Raises:
      ValueError: The arrays are not what is said above.
    """
    predictions = checked(probabilities, labels, classes)
    units = intervals.units(groups, predictions.n)
    measure = every(predictions)
    values = plain(measure, predictions.n)
    draws = intervals.bootstrap(measure, units, resamples, seed)
    surest = predictions.place.argsort(kind="stable")
    of = {
        name: units[surest[: answered(predictions.n, coverage)]]
        for name, coverage in _SELECTIVE.items()
    }
    headline = {
        name: figure(
            name,
            float(values[name]),
            of.get(name, units),
            draws.get(name),
            draws.get(NOISE.get(name, "")),
        )
        for name in headlines(values)
    }
    return {
        "n": predictions.n,
        "groups": int(units.max()) + 1,
        "classes": list(classes),
        "resamples": resamples,
        "seed": seed,
        "metrics": headline,
        "per_class": [
            {"name": name, **_of_class(label, predictions, units, values, draws)}
            for label, name in enumerate(classes)
        ],
        "confusion_matrix": _confusion(predictions).tolist(),
        "undefined": {
            metric: [
                name for name, value in zip(classes, values[metric], strict=True) if np.isnan(value)
            ]
            for metric in PER_CLASS
        },
    }


def _of_class(
    label: int,
    predictions: Predictions,
    units: Int[np.ndarray, " N"],
    values: dict[str, np.ndarray],
    draws: dict[str, np.ndarray],
) -> dict[str, Any]:
    """The pictures of a class, and its figures; None for one that is undefined."""
    true, said = predictions.labels == label, predictions.predicted == label
    of = {
        "precision": units[said],
        "recall": units[true],
        "specificity": units[~true],
        "f1": units[true | said],
    }
    figures = {}
    for name in PER_CLASS:
        drawn = draws[name][label] if draws else None
        found = figure(name, float(values[name][label]), of.get(name, units), drawn)
        figures[name] = None if found["value"] is None else found
    return {"n": int(true.sum()), **figures}


def figure(
    name: str,
    value: float,
    units: Int[np.ndarray, " n"],
    draws: Float[np.ndarray, " R"] | None,
    noise: Float[np.ndarray, " R"] | None = None,
) -> dict[str, Any]:
    """Returns a value with the interval that suits it.

    Args:
      name: Of the metric.
      value: NaN: undefined.
      units: What is resampled together, for each picture that it is of.
      draws: The metric on resamples; None: there are none.
      noise: What of them is noise, for a calibration error.
    """
    n, trials = len(units), int(np.count_nonzero(np.bincount(units)))
    if math.isnan(value):
        return {"value": None, "n": n, "interval": None}
    group = "group " if trials < n else ""
    bounds = None if draws is None else intervals.percentiles(draws)
    kind = f"{group}bootstrap"
    if name in _PROPORTIONS and (not group or value in (0, 1)):
        kind, bounds = f"{group}wilson", intervals.wilson(value * trials, trials)
    elif noise is not None:
        low, high = intervals.give_or_take(value, noise)
        bounds = max(0.0, low), min(1.0, high)
    if bounds is None:
        return {"value": value, "n": n, "interval": None}
    return {"value": value, "n": n, "interval": kind, "low": bounds[0], "high": bounds[1]}


def _confusion(predictions: Predictions) -> Int[np.ndarray, "C C"]:
    c = predictions.classes
    pairs = predictions.labels * c + predictions.predicted
    return np.bincount(pairs, minlength=c * c).reshape(c, c)
