"""Conformal prediction: sets of classes that hold the true one with a chosen probability."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int

from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class Conformal(Result):
    """The rule by which classes are in a picture's set: those above a threshold of probability.

    For pictures drawn like those it was fitted on, the share of sets that hold the true class is at
    least `coverage`, on average over fits, and at most 1 / (n + 1) more if no two probabilities are
    equal. So where the coverage is below the network's accuracy, some sets are empty.

    Attributes:
      coverage: The share of sets that should hold the true class, in (0, 1).
      least: The lowest probability with which a class is in a set.
      least_by_class: The same for each class, so that the coverage holds among the pictures of
        each class (Vovk's Mondrian sets). It is 0, and the class is in every set, for a class with
        too few pictures.
      counts: Number of pictures of each class that it was fitted on.
    """

    coverage: float
    least: float
    least_by_class: tuple[float, ...]
    counts: tuple[int, ...]

    def sets(
        self, probabilities: Float[np.ndarray, "N C"], *, by_class: bool = False
    ) -> Bool[np.ndarray, "N C"]:
        """Returns which classes are in the set of each picture; there may be none."""
        return probabilities >= np.array(self.least_by_class if by_class else self.least)

    @property
    def needed(self) -> int:
        """The number of pictures, of a class or of all, below which every set is complete."""
        return math.ceil(round(self.coverage / (1 - self.coverage), 9))


def fit(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, "N"],
    coverage: float,
    weights: Float[np.ndarray, "C"] | None = None,
) -> Conformal:
    """Fits sets by the probability of the true class (LAC: Sadinle, Lei and Wasserman, JASA 2019).

    For pictures of other shares of the classes each picture of the fit has the weight of its class,
    and the new picture the weight that its class would have (Podkopaev and Ramdas, UAI 2021,
    arXiv:2103.03323). Here that is the largest weight of any class, so that one threshold serves
    all: the coverage is kept, and the sets are a little larger than they must be. Among the
    pictures of one class all weights are equal, and those sets need none.

    Args:
      probabilities: Probabilities of pictures that the network was not trained on.
      labels: True classes, in [0, C).
      coverage: The share of sets that should hold the true class, in (0, 1).
      weights: How much more often each class occurs among new pictures than among these; infinity
        for one that has no picture here, which leaves every class in every set. None: as often.
    """
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    classes = range(probabilities.shape[1])
    return Conformal(
        coverage=coverage,
        least=_least(true, coverage)
        if weights is None
        else _weighted(true, labels, coverage, weights),
        least_by_class=tuple(_least(true[labels == label], coverage) for label in classes),
        counts=tuple(int((labels == label).sum()) for label in classes),
    )


def _weighted(
    true: Float[np.ndarray, "N"],
    labels: Int[np.ndarray, "N"],
    coverage: float,
    weights: Float[np.ndarray, "C"],
) -> float:
    """Returns the highest threshold above which lies the share of the weight; 0: there is none."""
    order = np.argsort(-true, kind="stable")
    above = np.cumsum(weights[labels[order]])
    wanted = coverage * (above[-1] + weights.max())
    enough = np.flatnonzero(above >= wanted * (1 - 1e-9))
    return float(true[order[enough[0]]]) if np.isfinite(wanted) and len(enough) else 0.0


def _least(true: Float[np.ndarray, "n"], coverage: float) -> float:
    """Returns the ceil((n + 1) coverage)-th highest; 0 if there are fewer (Vovk et al. 2005)."""
    rank = math.ceil(round((len(true) + 1) * coverage, 9))  # 0.55 * 100 is 55.000000000000007
    return float(np.sort(true)[-rank]) if rank <= len(true) else 0.0
