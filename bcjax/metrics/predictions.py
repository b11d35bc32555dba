"""Predicted probabilities with the true labels: what every metric is computed from."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

# How often each of N pictures counts (a whole number), for each of R resamples.
Weights = Float[np.ndarray, "N R"]
# From weights to metrics by name: (R,) for a metric of all classes together, (C, R) for a metric of
# each class. NaN where a metric is undefined.
WeightedMetrics = Callable[[Weights], dict[str, Float[np.ndarray, "..."]]]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predicted probabilities of N pictures and their true classes.

    Attributes:
      probabilities: Float64 in [0, 1], each row summing to 1.
      labels: The true class of each picture, in [0, C).
    """

    probabilities: Float[np.ndarray, "N C"]
    labels: Int[np.ndarray, " N"]

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        return self.probabilities.shape[1]

    @functools.cached_property
    def predicted(self) -> Int[np.ndarray, " N"]:
        """The class with the highest probability; the first one of a tie."""
        return self.probabilities.argmax(axis=1)

    @functools.cached_property
    def correct(self) -> Bool[np.ndarray, " N"]:
        return self.predicted == self.labels

    @functools.cached_property
    def confidence(self) -> Float[np.ndarray, " N"]:
        """The highest probability."""
        return self.probabilities.max(axis=1)

    @functools.cached_property
    def rank(self) -> Int[np.ndarray, " N"]:
        """The rank by confidence: 0 for the surest pictures; equal confidences share a rank."""
        return np.unique(-self.confidence, return_inverse=True)[1]


def checked(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Predictions:
    """Returns the arrays as `Predictions` after checking them.

    Raises:
      ValueError: If the shapes do not fit, a label is no class, or a row is no probability
        distribution.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if len(classes) < 2:
        raise ValueError(f"Evaluation needs two classes or more; got {list(classes)}.")
    if labels.ndim != 1 or probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"Probabilities of shape {probabilities.shape} and labels of shape {labels.shape} do "
            f"not fit (N, {len(classes)}) and (N,)."
        )
    if not len(labels):
        raise ValueError("There is nothing to evaluate: no labels.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Labels must be integers; got {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(
            f"Labels must lie in [0, {len(classes)}); got {labels.min()} to {labels.max()}."
        )
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise ValueError("Probabilities must be finite and not negative.")
    sums = probabilities.sum(axis=1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(f"Probabilities must sum to 1; row {worst} sums to {sums[worst]:.4g}.")
    return Predictions(probabilities, labels.astype(np.intp))


def sum_by(
    keys: Int[np.ndarray, " N"], size: int, values: np.ndarray | None = None
) -> "scipy.sparse.csr_array":
    """Returns a (size, N) matrix whose product with weights sums them by key.

    Args:
      keys: The row that each picture is added to, in [0, size).
      size: Number of rows.
      values: What each picture adds, times its weight; None: 1.
    """
    n = len(keys)
    values = np.ones(n) if values is None else values.astype(np.float64)
    return scipy.sparse.csr_array((values, (keys, np.arange(n))), shape=(size, n))


def partial_sums(
    count: Float[np.ndarray, "K R"],
    pictures: Float[np.ndarray, "U R"],
    total: Float[np.ndarray, "U R"],
) -> Float[np.ndarray, "K R"]:
    """Returns the sum over the first `count` pictures of a ranking.

    Where a rank that several pictures share is cut in two, it counts in proportion, so the order
    of equals changes nothing.

    Args:
      count: How many pictures, at most the last of `pictures`.
      pictures: Cumulative number of pictures up to each rank, inclusive.
      total: Cumulative sum up to each rank, inclusive.
    """
    columns = zip(count.T, pictures.T, total.T, strict=True)
    sums = [np.interp(k, np.append(0, x), np.append(0, y)) for k, x, y in columns]
    return np.stack(sums, axis=1)


def macro(per_class: Float[np.ndarray, "C R"]) -> Float[np.ndarray, " R"]:
    """Returns the mean over the classes that are defined (not NaN); NaN where none is."""
    defined = ~np.isnan(per_class)
    with np.errstate(invalid="ignore"):
        return np.where(defined, per_class, 0).sum(axis=0) / defined.sum(axis=0)
