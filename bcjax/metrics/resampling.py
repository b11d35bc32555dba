"""Metrics on bootstrap resamples, their means and differences, and McNemar's test."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from bcjax.metrics import intervals
from bcjax.metrics.intervals import Estimate
from bcjax.metrics.predictions import Predictions, WeightedMetrics
from bcjax.metrics.scores import NOISE, all_metrics, unweighted
from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class Resampled:
    """One metric of some pictures, and the same metric on resamples of them.

    Attributes:
      value: The value on the pictures themselves; NaN: undefined.
      draws: The value on each resample; None: there are no resamples.
      units: For each picture, what it is resampled together with.
      noise: For a calibration error, the noise in each resample; else None.
    """

    value: float
    draws: Float[np.ndarray, " R"] | None
    units: Int[np.ndarray, " N"]
    noise: Float[np.ndarray, " R"] | None = None

    def estimate(self, metric: str = "", units: Int[np.ndarray, " n"] | None = None) -> Estimate:
        """Returns the value with its interval.

        Args:
          metric: The metric's name: proportions get Wilson's interval. "": it is no proportion.
          units: The units of those pictures that the value is computed from; None: of all.
        """
        units = self.units if units is None else units
        return intervals.estimate(metric, self.value, units, self.draws, self.noise)


@dataclasses.dataclass(frozen=True)
class ResampledMetrics:
    """All metrics of one classifier, as they are and on resamples.

    Attributes:
      values: Metrics by name: (), or (C,) for a metric of each class. NaN: undefined.
      draws: The same on each resample, in a last axis; empty where nothing was resampled.
      units: For each picture, what it is resampled together with.
      correct: Which pictures are predicted correctly.
    """

    values: dict[str, Float[np.ndarray, "..."]]
    draws: dict[str, Float[np.ndarray, "... R"]]
    units: Int[np.ndarray, " N"]
    correct: Bool[np.ndarray, " N"]

    @property
    def grouped(self) -> bool:
        """Whether some pictures are resampled together as a group."""
        return int(self.units.max()) + 1 < len(self.units)

    def metric(self, name: str, label: int | None = None) -> Resampled:
        """Returns one metric; of one class where a label is given."""
        at = () if label is None else (label,)
        draws, noise = self.draws.get(name), self.draws.get(NOISE.get(name, ""))
        return Resampled(
            float(self.values[name][at]),
            None if draws is None else draws[at],
            self.units,
            noise,
        )

    def estimates(self, names: Sequence[str]) -> dict[str, Estimate]:
        """Returns metrics of all classes together, by name, with their intervals."""
        return {name: self.metric(name).estimate(name) for name in names}


def resample(
    predictions: Predictions,
    groups: Sequence[str] | None,
    *,
    resamples: int,
    seed: int = 0,
    kind: Callable[[Predictions], WeightedMetrics] = all_metrics,
) -> ResampledMetrics:
    """Computes metrics of pictures and of bootstrap resamples of them.

    The resamples depend only on the groups, their number and the seed. So those of two classifiers
    on the same pictures are the same resamples, and their differences are paired.

    Args:
      predictions: The predictions.
      groups: The group of each picture, "" for a picture on its own; None: all are on their own.
      resamples: Number of resamples; 0: none.
      seed: Seed of the resampling.
      kind: Which metrics: a function of `scores` or `ranking`, such as `counts`.
    """
    units = intervals.units(groups, predictions.n)
    metrics = kind(predictions)
    values = unweighted(metrics, predictions.n)
    draws = intervals.bootstrap(metrics, units, resamples, seed)
    return ResampledMetrics(values, draws, units, predictions.correct)


def combine(function: Callable, *parts: Resampled) -> Resampled:
    """Applies a function of numbers to metrics, value by value and draw by draw.

    The interval of the result is right for parts with the same pictures and seed (paired) and for
    parts with other pictures and another seed (independent). The result counts the pictures of the
    last part.
    """
    draws = [part.draws for part in parts]
    drawn = None if any(each is None for each in draws) else function(*draws)
    return Resampled(float(function(*(part.value for part in parts))), drawn, parts[-1].units)


def mean(*parts: Resampled) -> Resampled:
    """Returns the mean of metrics; see `combine`."""

    def average(*each: Any) -> Any:
        return sum(each) / len(each)

    whole = combine(average, *parts)
    noise = [part.noise for part in parts if part.noise is not None]
    return dataclasses.replace(whole, noise=average(*noise)) if noise else whole


@dataclasses.dataclass(frozen=True)
class Difference(Result):
    """How much higher a metric is for one classifier than for another, on the same pictures.

    Attributes:
      value: The difference; None: undefined.
      interval: "bootstrap" or "group bootstrap"; None: there is no interval.
      p: Twice the smaller share of resamples, the sample itself among them, in which the
        difference is not above, or not below, zero (Davison and Hinkley 1997, section 4.4).
      low: Lower end of its 95 % interval.
      high: Upper end.
    """

    value: float | None
    interval: str | None
    p: float | None
    low: float | None = None
    high: float | None = None


def difference(one: Resampled, reference: Resampled) -> Difference:
    """Returns how much higher a metric is than in a reference, on the same resamples.

    The interval is the percentiles of the paired differences; for calibration errors it is the
    value give or take the noise of both.
    """
    value = one.value - reference.value
    if math.isnan(value):
        return Difference(None, None, None)
    if one.draws is None or reference.draws is None:
        return Difference(value, None, None)
    grouped = int(one.units.max()) + 1 < len(one.units)
    kind = "group bootstrap" if grouped else "bootstrap"
    if one.noise is not None and reference.noise is not None:
        noise = one.noise + reference.noise
        p = (int((noise >= abs(value)).sum()) + 1) / (len(noise) + 1)
        return Difference(value, kind, p, *intervals.give_or_take(value, noise))
    draws = one.draws - reference.draws
    bounds = intervals.percentiles(draws)
    if bounds is None:
        return Difference(value, None, None)
    return Difference(value, kind, _p_value(draws), *bounds)


def _p_value(draws: Float[np.ndarray, " R"]) -> float:
    fewer = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (int((~np.isnan(draws)).sum()) + 1))


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The exact test of whether two classifiers are right equally often (McNemar 1947).

    Attributes:
      only_first: Number of pictures that only the first classifier has right.
      only_second: Number of pictures that only the second one has right.
      p: Two-sided p-value: how likely a fair coin would divide them so unevenly.
    """

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Bool[np.ndarray, " N"], second: Bool[np.ndarray, " N"]) -> McNemar:
    """Tests whether two classifiers are right equally often.

    Args:
      first: Whether the first classifier is right, for each of N independent pictures.
      second: The same for the second one, on the same pictures.
    """
    from scipy.stats import binomtest  # imported here, because it takes a second

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    p = float(binomtest(only_first, apart).pvalue) if apart else 1.0
    return McNemar(only_first, only_second, p)
