"""A run's metrics as they are, and on resamples that are the same for all runs."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bcjax.evaluation.answers import Answers
from bcjax.metrics import intervals
from bcjax.metrics.calibration_error import NOISE
from bcjax.metrics.measures import every, plain
from bcjax.metrics.predictions import checked


@dataclasses.dataclass(frozen=True)
class Resampled:
    """Of one run. What is undefined is NaN.

    Attributes:
      values: Each metric; those of classes have a value for each class.
      draws: The same on each resample, in a last axis; {} where nothing was resampled.
      correct: Which pictures it has right.
      grouped: Whether pictures were resampled by groups of several.
    """

    values: dict[str, Float[np.ndarray, "..."]]
    draws: dict[str, Float[np.ndarray, "... R"]]
    correct: Bool[np.ndarray, "N"]
    grouped: bool


def of(answers: Answers, *, resamples: int, seed: int) -> Resampled:
    """Measures answers once, and on samples that depend on their groups and the seed alone."""
    predictions = checked(answers.probabilities(), answers.labels, answers.classes)
    units = intervals.units(answers.groups, answers.n)
    measure = every(predictions)
    return Resampled(
        values=plain(measure, answers.n),
        draws=intervals.bootstrap(measure, units, resamples, seed),
        correct=predictions.correct,
        grouped=int(units.max()) + 1 < answers.n,
    )


def difference(
    run: Resampled, reference: Resampled, metric: str, label: int | None = None
) -> dict[str, Any]:
    """Returns how much more a metric is in a run than in the reference.

    Args:
      run: The one.
      reference: The other, on the same resamples.
      metric: Its name.
      label: The class, for a metric of classes.

    Returns:
      `value`; `interval`, what kind, or None; with it `low` and `high`, 95 % percentiles of the
      paired differences, and `p`: twice the smaller share of resamples, the sample itself among
      them, in which the difference is not above, or not below, zero (Davison and Hinkley 1997,
      section 4.4). Of calibration errors, value give or take the noise of both. None where
      undefined.
    """
    at = () if label is None else (label,)
    value = float(run.values[metric][at] - reference.values[metric][at])
    found: dict[str, Any] = {"value": None, "interval": None, "p": None}
    if math.isnan(value):
        return found
    found["value"] = value
    if not run.draws:
        return found
    kind = "group bootstrap" if run.grouped else "bootstrap"
    if metric in NOISE:  # whose resamples lie elsewhere than their values: see NOISE
        noise = run.draws[NOISE[metric]] + reference.draws[NOISE[metric]]
        low, high = intervals.give_or_take(value, noise)
        p = (int((noise >= abs(value)).sum()) + 1) / (len(noise) + 1)
        return found | {"interval": kind, "low": low, "high": high, "p": p}
    draws = run.draws[metric][at] - reference.draws[metric][at]
    if bounds := intervals.percentiles(draws):
        found |= {"interval": kind, "low": bounds[0], "high": bounds[1], "p": _p_value(draws)}
    return found


def _p_value(draws: Float[np.ndarray, "R"]) -> float:
    fewer = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (int((~np.isnan(draws)).sum()) + 1))
