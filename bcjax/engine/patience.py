"""How long training has gone without improvement: early stopping and reduce-on-plateau.

Both live in one small pytree that is checkpointed with the state, so that a resumed run stops,
and lowers its learning rate, at the same evaluations as one that was never interrupted.
"""

import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from bcjax.metrics.names import sign


class Patience(NamedTuple):
    """The history of evaluations, as far as it matters; numpy or jax arrays of no dimensions.

    Attributes:
      best: float32, the metric's value at the last improvement; infinite before the first. Within
        `min_delta` of the best value seen, which is not always the best itself.
      since_best: int32, evaluations since the last improvement.
      lr_scale: float32 in (0, 1], the factor that the step applies to its updates.
      since_drop: int32, evaluations since the last improvement or the last drop of `lr_scale`.
    """

    best: Float[np.ndarray | jax.Array, ""]
    since_best: Int[np.ndarray | jax.Array, ""]
    lr_scale: Float[np.ndarray | jax.Array, ""]
    since_drop: Int[np.ndarray | jax.Array, ""]


def watched(config: ConfigDict) -> str:
    """Returns the name of the figure by which the best checkpoint is chosen.

    It is a metric of the pictures as they are, such as "accuracy", or of augmented ones, such as
    "blur(1)/accuracy".
    """
    best, under = config.checkpoint.best, config.checkpoint.best_under
    return f"{under}/{best}" if under else best


def init(metric: str) -> Patience:
    """Returns the patience before the first evaluation.

    Args:
      metric: The watched metric, `checkpoint.best` of the config.
    """
    return _arrays(-sign(metric) * math.inf, 0, 1.0, 0)


def update(patience: Patience, value: float, config: ConfigDict) -> Patience:
    """Returns the patience after one more evaluation.

    As Keras's EarlyStopping and ReduceLROnPlateau (without cooldown): after `plateau.patience`
    evaluations in a row without improvement the learning rate drops, and the count restarts.

    Args:
      patience: The patience before this evaluation. Its arrays are read on the host.
      value: The watched metric. An infinite value is no improvement; NaN, a metric that is
        undefined on these pictures, says nothing of the network, and changes nothing.
      config: A config; `train.min_delta`, in the metric's units, is what a value must beat the best
        by, and `optim.plateau` says when and by how much the learning rate drops.
    """
    if math.isnan(value):
        return patience
    better, plateau = sign(config.checkpoint.best), config.optim.plateau
    # In float32, as `best` is stored: else a value could improve on its own rounded self.
    value = float(np.float32(value))
    best, scale = float(patience.best), float(patience.lr_scale)
    if math.isfinite(value) and better * value > better * best + config.train.min_delta:
        return _arrays(value, 0, scale, 0)
    since_drop = int(patience.since_drop) + 1
    if 0 < plateau.patience <= since_drop:
        # A scale already below the floor (lowered by an earlier config) is not raised to it.
        scale = max(scale * plateau.factor, min(scale, plateau.min_scale))
        since_drop = 0
    return _arrays(best, int(patience.since_best) + 1, scale, since_drop)


def exhausted(patience: Patience, allowed: int) -> bool:
    """Whether to stop: `allowed` evaluations in a row brought no improvement; 0 never stops."""
    return 0 < allowed <= int(patience.since_best)


def _arrays(best: float, since_best: int, lr_scale: float, since_drop: int) -> Patience:
    """Returns a patience in numpy arrays of no dimensions."""
    return Patience(
        np.array(best, np.float32), np.array(since_best, np.int32),
        np.array(lr_scale, np.float32), np.array(since_drop, np.int32),
    )  # fmt: skip
