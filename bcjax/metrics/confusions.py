"""Which class is taken for which other one, and how often."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from bcjax.metrics import intervals
from bcjax.metrics.intervals import Estimate
from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class Confusion(Result):
    """Pictures of one class that were predicted as one other class.

    Attributes:
      true: The class of the pictures.
      predicted: The class that they were taken for.
      count: How many there are; 1 or more.
      share: The share of the pictures of the true class that they are.
    """

    true: str
    predicted: str
    count: int
    share: Estimate


def ranked(
    labels: Int[np.ndarray, " N"],
    predicted: Int[np.ndarray, " N"],
    classes: Sequence[str],
    groups: Sequence[str] | None = None,
) -> tuple[Confusion, ...]:
    """Returns every pair of classes that was confused, the one with the most pictures first.

    Args:
      labels: True classes, in [0, C).
      predicted: Predicted classes, in [0, C).
      classes: Names of the C classes.
      groups: For each picture what it is sampled together with, as `metrics.measure` takes it; a
        group counts as one trial of the interval.
    """
    units = intervals.units(groups, len(labels))
    wrong = labels != predicted
    pairs, counts = np.unique(
        np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    found = []
    for (true, other), count in zip(pairs, counts, strict=True):
        own = labels == true
        share = intervals.proportion(predicted[own] == other, units[own])
        assert share  # the class has the pictures that were confused
        found.append(Confusion(classes[true], classes[other], int(count), share))
    return tuple(sorted(found, key=lambda pair: -pair.count))
