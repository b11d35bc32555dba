"""How much the networks of an ensemble disagree about each picture.

The entropy of the averaged probabilities is all that is uncertain about the class. The mutual
information of class and network is the part of it that the networks disagree about: the entropy of
the mean, minus the mean of the networks' own entropies (Houlsby et al., Bayesian active learning,
2011, arXiv:1112.5745; Depeweg et al., ICML 2018, arXiv:1710.07283). It is high for pictures that
are unlike the training pictures; pictures that lie between two classes have a high entropy, and a
low mutual information.
"""

import dataclasses
from typing import Self

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True, eq=False)
class Disagreement:
    """What is uncertain about each of N pictures, in nats, from probabilities before calibration.

    Attributes:
      entropy: Entropy of the mean of the networks' probabilities, in 0..log(C).
      mutual_information: The part of it that the networks disagree about: 0 where all of them give
        the same probabilities.
    """

    entropy: Float[np.ndarray, "N"]
    mutual_information: Float[np.ndarray, "N"]

    @classmethod
    def of(cls, each: Float[np.ndarray, "M N C"]) -> Self:
        """Measures M networks by the logarithms of their probabilities."""
        whole = _entropy(log_mean(each))
        return cls(whole, np.clip(whole - _entropy(each).mean(axis=0), 0.0, None))

    def take(self, rows: Int[np.ndarray, "n"] | slice) -> Self:
        """Returns the disagreement about the pictures at these positions."""
        return type(self)(self.entropy[rows], self.mutual_information[rows])


@dataclasses.dataclass(frozen=True)
class MeanDisagreement(Result):
    """How much the networks of an ensemble disagree about a split, in nats.

    Attributes:
      entropy: Mean over the pictures of the entropy of the averaged probabilities.
      mutual_information: Mean of the part of it that the networks disagree about.
      where_right: Mean mutual information of the pictures that are answered rightly; None: none is.
      where_wrong: The same of those that are answered wrongly.
    """

    entropy: float
    mutual_information: float
    where_right: float | None
    where_wrong: float | None

    @classmethod
    def of(cls, each: Disagreement, right: Bool[np.ndarray, "N"]) -> Self:
        """Averages the disagreement about each picture.

        Args:
          each: The disagreement.
          right: Whether the answer of the ensemble is right.
        """
        shared = each.mutual_information
        means = (
            float(part.mean()) if len(part) else None for part in (shared[right], shared[~right])
        )
        return cls(float(each.entropy.mean()), float(shared.mean()), *means)


def log_mean(each: Float[np.ndarray, "M N C"]) -> Float[np.ndarray, "N C"]:
    """Returns the logarithms of the mean of probabilities that are given as logarithms."""
    return scipy.special.logsumexp(each, axis=0) - np.log(len(each))


def _entropy(logs: Float[np.ndarray, "*M N C"]) -> Float[np.ndarray, "*M N"]:
    return -(np.exp(logs) * logs).sum(axis=-1)
