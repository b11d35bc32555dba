"""A metric over several runs of one config: its mean, and differences of means, with intervals.

Two things vary. Other pictures would be answered otherwise, and another seed would make another
network. Neither can be left out: 10,000 pictures do not say what the next seed will do, and five
seeds that answered the same 100 pictures have the luck of these 100 in common. So the variance of a
mean over runs has two parts,

- what all runs of all configs have in common on these pictures: the bootstrap's variance, less what
  each run has there for itself,
- how far the runs of a config lie apart, divided by their number; at least what each run has for
  itself on these pictures,

and the interval and the p-value are Student's t, with the degrees of freedom of Satterthwaite
(1946). Radiology has long compared tests in this way, with readers in the place of runs: Obuchowski
and Rockette (1995), with the degrees of freedom of Hillis (2007).

Why not a bootstrap of seeds and pictures: of two or three seeds it makes intervals that are much
too narrow, because two seeds drawn with replacement are half of the time one seed twice. Why not a
t-test over pairs of equal seeds: it leaves out the luck that all runs have with these pictures, and
with two seeds it has one degree of freedom. The runs of two configs are taken as independent (as by
Welch 1947), also where they have the same seeds. If these go together, the interval is a little
too wide.

`benchmarks/seeds.py` simulates it: of equal configs with 2, 3 and 5 seeds 0.2 to 5.2 % are called
different, where 5 % is right; by the pictures alone it is 5 to 79 %.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bcjax.metrics import intervals, resampling
from bcjax.metrics.intervals import LEVEL
from bcjax.metrics.resampling import Difference, Resampled
from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class MeanOverRuns(Result):
    """A metric over several runs.

    Attributes:
      mean: Mean over the runs; None where the metric of one is undefined.
      deviation: Standard deviation of a run (denominator n - 1); None of a single run.
      low: Lower end of the mean's 95 % interval: of the mean over all the runs there might be, on
        all pictures of the kind. None: there is no interval.
      high: Upper end of that interval.
      n: Number of runs.
      interval: How it was computed: "t over runs and pictures", "t over runs and groups" (see the
        module), or "t over runs" where each run answered other pictures, or none were resampled.
        "clipped" stands before it where an end was moved into the range of the metric. None: there
        is no interval, or an earlier version wrote it.
    """

    mean: float | None
    deviation: float | None
    low: float | None
    high: float | None
    n: int
    interval: str | None = None


def mean(runs: Sequence[Resampled]) -> MeanOverRuns:
    """Returns the mean of a metric over runs, with its interval.

    Args:
      runs: The metric of each run, on the same pictures and resamples; without draws where the runs
        answered different pictures.
    """
    values = [run.value for run in runs]
    if any(map(math.isnan, values)):
        return MeanOverRuns(None, None, None, None, len(runs))
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    found = float(np.mean(values))
    spread = _spread(runs)
    if spread is None:
        return MeanOverRuns(found, deviation, None, None, len(runs))
    kind = "t over runs" if runs[0].draws is None else f"t over runs and {runs[0].unit}s"
    reach = spread.reach
    kind, low, high = intervals.clipped(kind, (found - reach, found + reach), runs[0].within)
    return MeanOverRuns(found, deviation, low, high, len(runs), kind)


def difference(runs: Sequence[Resampled], reference: Sequence[Resampled]) -> Difference:
    """Returns how much higher the mean of a metric is over some runs than over others.

    Args:
      runs: The metric of each run of one config, on the same pictures and resamples.
      reference: The same of another config.

    Returns:
      The difference, whose interval is called "t over runs and pictures", or "... and groups".
      Where a config has a single run, nothing tells how seeds vary: the interval is of the
      pictures alone, and there is no p-value; see `resampling.difference`.
    """
    if min(len(runs), len(reference)) < 2:
        return resampling.difference(resampling.mean(*runs), resampling.mean(*reference))
    value = float(np.mean([run.value for run in runs]) - np.mean([run.value for run in reference]))
    if math.isnan(value):
        return Difference(None, None, None)
    spread = None if runs[0].draws is None else _spread(runs, reference)
    if spread is None:
        return Difference(value, None, None)
    ends = value - spread.reach, value + spread.reach
    kind, low, high = intervals.clipped(
        f"t over runs and {runs[0].unit}s", ends, runs[0].within.of_differences
    )
    return Difference(value, kind, spread.p(value), low, high)


@dataclasses.dataclass(frozen=True)
class _Spread:
    """The variance of a mean over runs, or of a difference of two, and its degrees of freedom."""

    variance: float
    freedom: float

    @property
    def reach(self) -> float:
        """Half the width of the 95 % interval."""
        from scipy.stats import t  # here, because it takes a second to import

        return float(t.ppf((1 + LEVEL) / 2, self.freedom)) * math.sqrt(self.variance)

    def p(self, value: float) -> float:
        """Returns the two-sided p-value of a value whose expectation is 0."""
        from scipy.stats import t

        return float(2 * t.sf(abs(value) / math.sqrt(self.variance), self.freedom))


def _spread(*configs: Sequence[Resampled]) -> _Spread | None:
    """Returns the spread of the mean of one config, or of the difference of two.

    None where a config has a single run, or nothing varies.
    """
    if any(len(runs) < 2 for runs in configs):
        return None
    units = int(configs[0][0].units.max()) + 1
    draws = [_draws(runs) for runs in configs]
    # What the runs of a config have each for itself on these pictures, as a variance of their mean.
    own = [float(np.nanmean(np.var(each, axis=0, ddof=1))) / len(each) for each in draws]
    first, *second = (each.mean(axis=0) for each in draws)
    drawn = float(np.nanvar(first - sum(second)))
    common = max(0.0, drawn * units / max(1, units - 1) - sum(own))
    between = [
        max(float(np.var([run.value for run in runs], ddof=1)) / len(runs), least)
        for runs, least in zip(configs, own, strict=True)
    ]
    variance = common + sum(between)
    if not variance > 0:
        return None
    parts = [common**2 / max(1, units - 1)]
    parts += [part**2 / (len(runs) - 1) for part, runs in zip(between, configs, strict=True)]
    return _Spread(variance, variance**2 / sum(parts))


def _draws(runs: Sequence[Resampled]) -> Float[np.ndarray, "K R"]:
    """Returns how far each resample of each run is from the run's value; 0 without resamples."""
    return np.stack([np.zeros(1) if run.draws is None else run.draws - run.value for run in runs])
