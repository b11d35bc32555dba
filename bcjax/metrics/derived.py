"""Figures made of figures, means and differences, whose intervals come from their resamples."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bcjax.metrics import intervals
from bcjax.metrics.counts import counts
from bcjax.metrics.evaluation import figure
from bcjax.metrics.measures import plain
from bcjax.metrics.predictions import Predictions

METRICS = ("accuracy", "balanced_accuracy")


@dataclasses.dataclass(frozen=True)
class Resampled:
    """A metric of some pictures, and of resamples of them.

    Attributes:
      value: NaN: undefined.
      draws: On each resample; None: there are none.
      units: What was resampled together, for each picture.
    """

    value: float
    draws: Float[np.ndarray, " R"] | None
    units: Int[np.ndarray, " N"]

    def figure(self, name: str = "difference") -> dict[str, Any]:
        """Returns it as `evaluate` does; of the metrics by name, proportions have Wilson's."""
        return figure(name, self.value, self.units, self.draws)


def measured(
    predictions: Predictions, groups: Sequence[str] | None, *, resamples: int, seed: int = 0
) -> dict[str, Resampled]:
    """Returns accuracy and balanced accuracy, by name.

    Of the same pictures, number of resamples and seed, all resamples are the same ones.

    Args:
      predictions: Of N pictures.
      groups: As for `evaluate`.
      resamples: 0: there are no draws.
      seed: Of the bootstrap.
    """
    units = intervals.units(groups, predictions.n)
    measure = counts(predictions)
    values = plain(measure, predictions.n)
    draws = intervals.bootstrap(measure, units, resamples, seed)
    return {name: Resampled(float(values[name]), draws.get(name), units) for name in METRICS}


def derived(function: Callable, *parts: Resampled) -> Resampled:
    """Returns what a function of numbers makes of metrics, value by value and draw by draw.

    It is of the last one's pictures. The intervals hold for parts of the same pictures and seed
    (paired) and for parts of other pictures and another seed (independent).
    """
    draws = [part.draws for part in parts]
    drawn = None if any(each is None for each in draws) else function(*draws)
    return Resampled(float(function(*(part.value for part in parts))), drawn, parts[-1].units)


def mean(*parts: Resampled) -> Resampled:
    """Returns the mean of metrics; see `derived`."""
    return derived(lambda *each: sum(each) / len(each), *parts)
