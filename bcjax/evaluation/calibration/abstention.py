"""Abstention: the confidence below which an answer is called `uncertain`."""

import dataclasses
import math

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from bcjax.runtime.result import Result

_STARTS = 4  # starts of the search, which share the probability of being wrong


@dataclasses.dataclass(frozen=True)
class Abstention(Result):
    """The confidence above which a picture is answered.

    Attributes:
      error_rate: The highest error rate allowed among answered pictures, in (0, 1).
      confidence: Probability, over the choice of the pictures it is fitted on, that it is kept.
      n: Number of pictures that it was fitted on.
      threshold: A picture is answered if its highest probability is above the threshold. 1: none
        is, because no threshold keeps the error rate. None: `n` is below `needed`, so no threshold
        can be vouched for.
    """

    error_rate: float
    confidence: float
    n: int
    threshold: float | None

    @property
    def needed(self) -> int:
        """The number of pictures, all answered correctly, that the error rate takes at least."""
        return math.ceil(math.log(_level(self.confidence)) / math.log1p(-self.error_rate))

    def uncertain(self, probabilities: Float[np.ndarray, "N C"]) -> Bool[np.ndarray, "N"] | None:
        """Returns which pictures are not answered; None without a threshold."""
        return None if self.threshold is None else probabilities.max(axis=1) <= self.threshold


def fit(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, "N"],
    error_rate: float,
    confidence: float = 0.95,
) -> Abstention:
    """Finds the lowest threshold that keeps the error rate with the given confidence.

    Thresholds are tried from the strictest on, until the upper end of Clopper and Pearson's
    interval (Biometrika 1934) for the error rate among answered pictures exceeds the allowed one.
    So that one early error does not end the search, it starts anew at the surest eighth, quarter,
    half and all of the pictures, each start with a quarter of 1 - `confidence`: Learn then Test
    with fixed sequences (Angelopoulos et al. 2021, section 4.2).

    Args:
      probabilities: Probabilities of pictures that the network was not trained on.
      labels: True classes, in [0, C).
      error_rate: The highest error rate allowed among answered pictures, in (0, 1).
      confidence: Probability that it is kept, in (0, 1).
    """
    n = len(labels)
    highest = probabilities.max(axis=1)
    order = np.argsort(-highest, kind="stable")
    highest = highest[order]
    errors = np.cumsum((probabilities.argmax(axis=1) != labels)[order])
    below = np.append(highest[1:], 0.0)  # thresholds that answer the first 1, 2, ... n
    possible = np.flatnonzero(highest > below)  # the equally sure are answered together
    answered, errors = possible + 1, errors[possible]
    bound = scipy.special.betaincinv(errors + 1, answered - errors, 1 - _level(confidence))
    # NaN, where all are errors, is not below the rate either.
    failing = np.append(np.flatnonzero(~(bound <= error_rate)), len(answered))
    starts = np.searchsorted(answered, n / 2.0 ** np.arange(_STARTS))
    stops = failing[np.searchsorted(failing, starts)]
    reached = stops[stops > starts]
    threshold = float(below[possible[reached.max() - 1]]) if len(reached) else 1.0
    fitted = Abstention(error_rate, confidence, n, threshold)
    return fitted if n >= fitted.needed else dataclasses.replace(fitted, threshold=None)


def _level(confidence: float) -> float:
    return (1 - confidence) / _STARTS
