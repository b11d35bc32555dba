"""Abstention: how sure a network must be for its answer to count, else it is `uncertain`."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv

_STARTS = 4  # of the search, which share what error is allowed


@dataclasses.dataclass(frozen=True)
class Abstention:
    """Above which confidence a picture is answered.

    Attributes:
      error_rate: Asked for: the most among answered pictures, in (0, 1).
      confidence: With which it is kept, over what pictures it might have been fitted on.
      n: Pictures that it was fitted on.
      threshold: A picture is answered where its highest probability is above it; 1: none is, for
        no threshold keeps the error rate. None: `n` is below `needed`, so nothing is known.
    """

    error_rate: float
    confidence: float
    n: int
    threshold: float | None

    @property
    def needed(self) -> int:
        """Pictures, all of them answered rightly, without which no error rate is vouched for."""
        return math.ceil(math.log(_level(self.confidence)) / math.log1p(-self.error_rate))

    def uncertain(self, probabilities: Float[np.ndarray, "N C"]) -> Bool[np.ndarray, "N"] | None:
        """Returns which pictures are not answered; None where that is not known."""
        return None if self.threshold is None else probabilities.max(axis=1) <= self.threshold


def fit(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, "N"],
    error_rate: float,
    confidence: float = 0.95,
) -> Abstention:
    """Finds the lowest threshold above which the error rate is vouched for.

    Thresholds are tried from the strictest on, until the upper end of Clopper and Pearson's
    interval (Biometrika 1934) for the errors of what is answered is more than the error rate. So
    that one early error does not end it, it is begun anew at the surest eighth, quarter, half and
    all of the pictures, each with a quarter of 1 - `confidence` to be wrong by: Learn then Test
    with fixed sequences (Angelopoulos et al. 2021, section 4.2).

    Args:
      probabilities: Of pictures that the network was not trained on.
      labels: In [0, C).
      error_rate: In (0, 1).
      confidence: In (0, 1).
    """
    n = len(labels)
    highest = probabilities.max(axis=1)
    order = np.argsort(-highest, kind="stable")
    highest = highest[order]
    errors = np.cumsum((probabilities.argmax(axis=1) != labels)[order])
    below = np.append(highest[1:], 0.0)  # thresholds that answer the first 1, 2, ... n
    possible = np.flatnonzero(highest > below)  # the equally sure are answered together
    answered, errors = possible + 1, errors[possible]
    bound = betaincinv(errors + 1, answered - errors, 1 - _level(confidence))
    # NaN, where all are errors, is not below the rate either.
    failing = np.append(np.flatnonzero(~(bound <= error_rate)), len(answered))
    starts = np.searchsorted(answered, n / 2.0 ** np.arange(_STARTS))
    stops = failing[np.searchsorted(failing, starts)]
    reached = stops[stops > starts]
    threshold = float(below[possible[reached.max() - 1]]) if len(reached) else 1.0
    found = Abstention(error_rate, confidence, n, threshold)
    return found if n >= found.needed else dataclasses.replace(found, threshold=None)


def _level(confidence: float) -> float:
    return (1 - confidence) / _STARTS
