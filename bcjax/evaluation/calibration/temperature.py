"""Temperature scaling: one number by which confidence comes to mean what it says."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

_HIGHEST = 100.0  # and its inverse is the lowest


def fit(logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"]) -> float:
    """Returns the temperature over which logits have the least log loss (Guo et al., ICML 2017).

    The loss is convex in the temperature's inverse, so what is found is its only minimum. There is
    none where the true class of every picture has the highest logit: the colder, the better, and
    the pictures cannot say how cold. Then, and where no other is better, it is 1.

    Args:
      logits: Finite.
      labels: In [0, C).

    Returns:
      In [0.01, 100].
    """
    highest = logits.max(axis=1)
    if (np.take_along_axis(logits, labels[:, None], axis=1)[:, 0] == highest).all():
        return 1.0
    end = float(np.log(_HIGHEST))
    found = minimize_scalar(
        lambda log: log_loss(logits, labels, float(np.exp(log))),
        bounds=(-end, end),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(found.x)) if found.fun < log_loss(logits, labels, 1.0) else 1.0


def log_loss(
    logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"], temperature: float
) -> float:
    """Returns the mean log loss at a temperature, in nats."""
    scaled = logits.astype(np.float64) / temperature
    true = np.take_along_axis(scaled, labels[:, None], axis=1)
    return float(logsumexp(scaled - true, axis=1).mean())


def divide(logits: Float[np.ndarray, "N C"], temperature: float) -> Float[np.ndarray, "N C"]:
    """Returns the probabilities of logits at a temperature, float64."""
    return softmax(logits.astype(np.float64) / temperature, axis=1)
