"""Temperature scaling: one number that the logits are divided by, so that confidence is honest."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

_HIGHEST = 100.0  # the highest temperature; the lowest is its inverse


def fit(logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"]) -> float:
    """Returns the temperature with the lowest log loss (Guo et al., ICML 2017), in [0.01, 100].

    The loss is convex in the temperature's inverse, so it has one minimum. It has none where the
    true class of every picture has the highest logit: the lower the temperature the better, and the
    pictures cannot say how low. Then the temperature is 1, as it is where no other one is better.

    Args:
      logits: Scores before the softmax, all finite.
      labels: True classes, in [0, C).
    """
    highest = logits.max(axis=1)
    if (np.take_along_axis(logits, labels[:, None], axis=1)[:, 0] == highest).all():
        return 1.0
    end = float(np.log(_HIGHEST))
    best = minimize_scalar(
        lambda log: log_loss(logits, labels, float(np.exp(log))),
        bounds=(-end, end),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(best.x)) if best.fun < log_loss(logits, labels, 1.0) else 1.0


def log_loss(
    logits: Float[np.ndarray, "N C"], labels: Int[np.ndarray, "N"], temperature: float
) -> float:
    """Returns the mean log loss at a temperature, in nats."""
    scaled = logits.astype(np.float64) / temperature
    true = np.take_along_axis(scaled, labels[:, None], axis=1)
    return float(logsumexp(scaled - true, axis=1).mean())


def probabilities(logits: Float[np.ndarray, "N C"], temperature: float) -> Float[np.ndarray, "N C"]:
    """Returns the softmax of the logits divided by the temperature, float64."""
    return softmax(logits.astype(np.float64) / temperature, axis=1)
