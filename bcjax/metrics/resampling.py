"""Metrics on bootstrap resamples, their means and differences, and McNemar's test."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from bcjax.metrics import intervals
from bcjax.metrics.intervals import Estimate
from bcjax.metrics.names import EVERYWHERE, Bounds, describe
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
      within: The values that the metric can have.
    """

    value: float
    draws: Float[np.ndarray, " R"] | None
    units: Int[np.ndarray, " N"]
    noise: Float[np.ndarray, " R"] | None = None
    within: Bounds = EVERYWHERE

    @property
    def unit(self) -> str:
        """What is resampled: "group" where several pictures are resampled together."""
        return "group" if int(self.units.max()) + 1 < len(self.units) else "picture"

    def estimate(self, metric: str = "", units: Int[np.ndarray, " n"] | None = None) -> Estimate:
        """Returns the value with its interval.

        Args:
          metric: The metric's name: proportions get Wilson's interval. "": it is no proportion.
          units: The units of those pictures that the value is computed from; None: of all.
        """
        units = self.units if units is None else units
        return intervals.estimate(metric, self.value, units, self.draws, self.noise, self.within)


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
            describe(name).bounds,
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
    """Returns the mean of several values of one metric; see `combine`."""

    def average(*each: Any) -> Any:
        return sum(each) / len(each)

    noise = [part.noise for part in parts if part.noise is not None]
    return dataclasses.replace(
        combine(average, *parts),
        noise=average(*noise) if noise else None,
        within=parts[0].within,
    )


@dataclasses.dataclass(frozen=True)
class Difference(Result):
    """How much higher a metric is for one classifier than for another, on the same pictures.

    Attributes:
      value: The difference; None: undefined.
      interval: "bootstrap" or "group bootstrap" for two runs, whose seeds vary nothing; of several
        runs each, see `runs.difference`. "clipped" stands before it where an end was moved into
        the range of the differences. None: there is no interval.
      p: Two-sided p-value, of several runs each; None: there is none.
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
    value give or take the noise of both. It says how much other pictures would change, and nothing
    of what another seed would: there is no p-value.
    """
    value = one.value - reference.value
    if math.isnan(value):
        return Difference(None, None, None)
    if one.draws is None or reference.draws is None:
        return Difference(value, None, None)
    ends = intervals.percentiles(one.draws - reference.draws)
    if ends is None:
        return Difference(value, None, None)
    if one.noise is not None and reference.noise is not None:
        ends = intervals.give_or_take(value, one.noise + reference.noise)
    kind = "group bootstrap" if one.unit == "group" else "bootstrap"
    kind, low, high = intervals.clipped(kind, ends, one.within.of_differences)
    return Difference(value, kind, None, low, high)


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The exact test of whether two classifiers are right equally often (McNemar 1947).

    Attributes:
      only_first: Number of pictures that only the first classifier has right.
      only_second: Number of pictures that only the second one has right.
      p: Two-sided p-value: how likely a fair coin would divide them so unevenly. None where there
        are no such pictures, which leaves nothing to test.
    """

    only_first: int
    only_second: int
    p: float | None


def mcnemar(first: Bool[np.ndarray, " N"], second: Bool[np.ndarray, " N"]) -> McNemar:
    """Tests whether two classifiers are right equally often.

    Args:
      first: Whether the first classifier is right, for each of N independent pictures.
      second: The same for the second one, on the same pictures.
    """
    from scipy.stats import binomtest  # imported here, because it takes a second

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    p = float(binomtest(only_first, apart).pvalue) if apart else None
    return McNemar(only_first, only_second, p)
