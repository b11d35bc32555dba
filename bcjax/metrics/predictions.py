"""Probabilities beside the truth, and what every metric asks of them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

Weights = Float[np.ndarray, "N R"]
# Metrics by name for each of R columns of weights: (R,) of all classes, or (C, R) of each class.
# NaN is what is undefined. Weights count how often a picture is there, so they are whole numbers.
Measure = Callable[[Weights], dict[str, Float[np.ndarray, "..."]]]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities, float64 (N, C), and true classes, (N,)."""

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
        """The class of the highest probability, the first of those that tie."""
        return self.probabilities.argmax(axis=1)

    @functools.cached_property
    def correct(self) -> Bool[np.ndarray, " N"]:
        return self.predicted == self.labels

    @functools.cached_property
    def confidence(self) -> Float[np.ndarray, " N"]:
        """The highest probability."""
        return self.probabilities.max(axis=1)

    @functools.cached_property
    def place(self) -> Int[np.ndarray, " N"]:
        """The place in the order of confidence: the surest have 0, and equals share a place."""
        return np.unique(-self.confidence, return_inverse=True)[1]


def checked(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Predictions:
    """Returns the arrays, refused where they are not probabilities of these classes.

    Raises:
      ValueError: The shapes do not fit, labels are no class, or rows are no probabilities.
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


def summing(
    keys: Int[np.ndarray, " N"], size: int, values: np.ndarray | None = None
) -> sparse.csr_array:
    """Returns a (size, N) matrix: its product with weights sums them, or values, by key."""
    n = len(keys)
    values = np.ones(n) if values is None else values.astype(np.float64)
    return sparse.csr_array((values, (keys, np.arange(n))), shape=(size, n))


def share(
    count: Float[np.ndarray, "K R"],
    reached: Float[np.ndarray, "U R"],
    total: Float[np.ndarray, "U R"],
) -> Float[np.ndarray, "K R"]:
    """Returns what the first `count` pictures of an order sum to.

    A place of equals that is cut in two is shared in proportion, so that the order in which they
    happen to stand changes nothing.

    Args:
      count: Up to the last of `reached`.
      reached: Pictures up to each place, itself included.
      total: What is summed, up to each place.
    """
    columns = zip(count.T, reached.T, total.T, strict=True)
    found = [np.interp(k, np.append(0, x), np.append(0, y)) for k, x, y in columns]
    return np.stack(found, axis=1)
