"""How long training has gone without improvement: early stopping and reduce-on-plateau.

Both live in one small pytree that is checkpointed with the state, so that a resumed run stops,
and lowers its learning rate, at the same evaluations as one that was never interrupted.
"""

import math
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

Mode = Literal["max", "min"]
_SIGN = {"max": 1, "min": -1}


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


def init(mode: Mode) -> Patience:
    """Returns the patience before the first evaluation.

    Args:
      mode: "max" where more of the metric is better (accuracy), "min" where less is (loss).
    """
    return _arrays(best=-_SIGN[mode] * math.inf, since_best=0, lr_scale=1.0, since_drop=0)


def update(
    patience: Patience,
    value: float,
    *,
    mode: Mode,
    min_delta: float,
    plateau_factor: float,
    plateau_patience: int,
    min_scale: float,
) -> Patience:
    """Returns the patience after one more evaluation.

    As Keras's EarlyStopping and ReduceLROnPlateau (without cooldown): after `plateau_patience`
    evaluations in a row without improvement the learning rate drops, and the count restarts.

    Args:
      patience: The state before this evaluation. Its arrays are read on the host.
      value: The metric. A value that is not finite is no improvement.
      mode: As given to `init`.
      min_delta: What a value must beat the best by, in the metric's units, 0 or more.
      plateau_factor: What `lr_scale` is multiplied by at a drop, in (0, 1).
      plateau_patience: Evaluations; 0 never drops.
      min_scale: `lr_scale` does not drop below this, in [0, 1].

    Returns:
      The state after it, in numpy arrays.
    """
    sign = _SIGN[mode]
    # In float32, as `best` is stored: else a value could improve on its own rounded self.
    value = float(np.float32(value))
    best, scale = float(patience.best), float(patience.lr_scale)
    if math.isfinite(value) and sign * value > sign * best + min_delta:
        return _arrays(best=value, since_best=0, lr_scale=scale, since_drop=0)
    since_drop = int(patience.since_drop) + 1
    if 0 < plateau_patience <= since_drop:
        # A scale already below the floor (lowered by an earlier config) is not raised to it.
        scale = max(scale * plateau_factor, min(scale, min_scale))
        since_drop = 0
    return _arrays(
        best=best,
        since_best=int(patience.since_best) + 1,
        lr_scale=scale,
        since_drop=since_drop,
    )


def exhausted(patience: Patience, allowed: int) -> bool:
    """Whether to stop: `allowed` evaluations in a row brought no improvement; 0 never stops."""
    return 0 < allowed <= int(patience.since_best)


def _arrays(*, best: float, since_best: int, lr_scale: float, since_drop: int) -> Patience:
    return Patience(
        best=np.array(best, np.float32),
        since_best=np.array(since_best, np.int32),
        lr_scale=np.array(lr_scale, np.float32),
        since_drop=np.array(since_drop, np.int32),
    )
