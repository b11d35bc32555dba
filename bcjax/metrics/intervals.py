"""Estimates with 95 % intervals: Wilson's, and the bootstrap over pictures or groups of them."""

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from bcjax.metrics.names import EVERYWHERE, Bounds
from bcjax.metrics.predictions import WeightedMetrics, Weights
from bcjax.metrics.scores import COVERAGES, TOP
from bcjax.runtime.result import Result

LEVEL = 0.95

_PROPORTIONS = {"accuracy", "precision", "recall", "specificity"}
_PROPORTIONS |= {f"selective_accuracy_{coverage}" for coverage in COVERAGES}
_PROPORTIONS |= {f"top_{k}_accuracy" for k in TOP}

# Elements of a block of resampling weights: 2 MB, so that the few blocks alive at a time stay in
# the processor's cache.
_BLOCK = 250_000

_ROUNDING = 1e-12  # what sums of float64 differ by


@dataclasses.dataclass(frozen=True)
class Estimate(Result):
    """A metric's value with its 95 % interval.

    Attributes:
      value: The value; None if it is undefined.
      n: Number of pictures that it is computed from.
      interval: How the interval was computed: "wilson", "group wilson", "bootstrap" or "group
        bootstrap" (see `measure`), with "clipped" before it where an end was moved into the range
        of the metric; None: there is no interval.
      low: Lower end of the interval; None where there is none.
      high: Upper end of the interval; None where there is none.
    """

    value: float | None
    n: int
    interval: str | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Returns "0.9904 (0.9865 to 0.9931)"."""
        if self.value is None:
            return "undefined"
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def estimate(
    metric: str,
    value: float,
    units: Int[np.ndarray, " n"],
    draws: Float[np.ndarray, " R"] | None,
    noise: Float[np.ndarray, " R"] | None = None,
    within: Bounds = EVERYWHERE,
) -> Estimate:
    """Returns a metric's value with the kind of interval that suits it.

    Args:
      metric: The metric's name; proportions get Wilson's interval.
      value: Its value; NaN: undefined.
      units: For each picture that it is computed from, what that is resampled together with.
      draws: The metric on each resample; None: there are no resamples.
      noise: For a calibration error, the noise in each resample.
      within: The values that it can have.
    """
    n, trials = len(units), int(np.count_nonzero(np.bincount(units)))
    if math.isnan(value):
        return Estimate(None, n, None)
    group = "group " if trials < n else ""
    ends = None if draws is None else percentiles(draws)
    kind = f"{group}bootstrap"
    if metric in _PROPORTIONS and (not group or value in (0, 1)):
        kind, ends = f"{group}wilson", wilson(value * trials, trials)
    elif noise is not None and ends is not None:
        kind, low, high = clipped(kind, give_or_take(value, noise), within)
        ends = low, high
    return Estimate(value, n, None) if ends is None else Estimate(value, n, kind, *ends)


def clipped(kind: str, ends: tuple[float, float], within: Bounds) -> tuple[str, float, float]:
    """Returns the kind and the ends of an interval whose ends are moved into a range.

    The true value lies in the range, so it is in the interval as often as before.
    """
    low, high = (min(max(end, within.low), within.high) for end in ends)
    return (kind if (low, high) == ends else f"clipped {kind}"), low, high


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of a proportion of `n` > 0 trials (Wilson, JASA 1927)."""
    z = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # By its algebra the interval holds p and lies in [0, 1], but not by its rounding.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def proportion(
    which: Bool[np.ndarray, " N"], units: Int[np.ndarray, " N"] | None = None
) -> Estimate | None:
    """Returns the share that is true, with Wilson's interval; None for no pictures.

    Args:
      which: Whether each picture counts.
      units: For each picture its group; a group counts as one trial. None: each picture does.
    """
    n, trials = len(which), len(which) if units is None else len(np.unique(units))
    if not n:
        return None
    value = float(which.mean())
    kind = "wilson" if trials == n else "group wilson"
    return Estimate(value, n, kind, *wilson(value * trials, trials))


def units(groups: Sequence[str] | None, n: int) -> Int[np.ndarray, " N"]:
    """Returns a number from 0 for each picture; pictures with equal numbers are resampled together.

    Args:
      groups: The group of each picture, "" for a picture on its own; None: all are on their own.
      n: Number of pictures.

    Raises:
      ValueError: If there are not n groups.
    """
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"There are {len(groups)} groups for {n} pictures.")
    # A picture on its own is named by its position, which no string equals.
    names = [name or position for position, name in enumerate(groups)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.intp)


def bootstrap(
    metrics: WeightedMetrics, units: Int[np.ndarray, " N"], resamples: int, seed: int
) -> dict[str, Float[np.ndarray, "... R"]]:
    """Returns each metric on resamples of the units, drawn with replacement.

    Empty where there are no resamples, or only one unit. The same units, number and seed give the
    same resamples, whatever the metrics.
    """
    if units.max() == 0 or not resamples:
        return {}
    blocks = [metrics(weights) for weights in _weights(units, resamples, seed)]
    return {name: np.concatenate([b[name] for b in blocks], axis=-1) for name in blocks[0]}


def _weights(units: Int[np.ndarray, " N"], resamples: int, seed: int) -> Iterator[Weights]:
    """Yields how often each resample draws each picture, in blocks of resamples."""
    rng = np.random.default_rng(seed)
    count, size = int(units.max()) + 1, max(1, _BLOCK // len(units))
    for start in range(0, resamples, size):
        # One resample after another, so that the size of the blocks changes nothing.
        samples = [
            np.bincount(rng.integers(count, size=count), minlength=count)
            for _ in range(min(size, resamples - start))
        ]
        # Pictures first: sums over them then add whole rows.
        yield np.stack(samples, axis=1).astype(np.float64)[units]


def percentiles(draws: Float[np.ndarray, " R"]) -> tuple[float, float] | None:
    """Returns the 95 % percentile interval of a metric's draws.

    None where all are NaN, and where all are equal: a macro F1 of 1 is 1 on every resample, which
    does not say that it is 1 on other pictures.
    """
    if np.isnan(draws).all() or np.nanmax(draws) - np.nanmin(draws) < _ROUNDING:
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(draws, (tail, 1 - tail))
    return float(low), float(high)


def give_or_take(value: float, noise: Float[np.ndarray, " R"]) -> tuple[float, float]:
    """Returns the interval around a value that is as wide as the noise in 95 % of the draws."""
    reach = float(np.quantile(noise, LEVEL))
    return value - reach, value + reach
