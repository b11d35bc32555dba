"""Which runs no other run beats on both counts."""

import numpy as np
from jaxtyping import Bool, Float


def front(cost: Float[np.ndarray, "R"], value: Float[np.ndarray, "R"]) -> Bool[np.ndarray, "R"]:
    """Marks the runs that are dominated by none: none costs as little and is as good, or better.

    Args:
      cost: Less is better.
      value: More is better.

    Returns:
      Among equals on both counts all are marked.
    """
    cheaper, better = cost[:, None] <= cost, value[:, None] >= value
    other = (cost[:, None] != cost) | (value[:, None] != value)
    return ~(cheaper & better & other).any(axis=0)
