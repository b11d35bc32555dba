"""Whether a map depends on what the network has learnt."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float
from scipy import stats

from bcjax.engine.state import Variables
from bcjax.models import initial


def randomised(model: nn.Module, variables: Variables, picture: tuple[int, ...]) -> Variables:
    """Returns the parameters and statistics of a network that has seen nothing.

    The model-parameter randomisation test of Adebayo et al., Sanity Checks for Saliency Maps,
    NeurIPS 2018 (arXiv:1810.03292), all layers at once.

    Args:
      model: The network.
      variables: Those that were learnt, whose place on the devices is kept.
      picture: Height, width and channels of what it is fed.
    """
    fresh = jax.jit(
        lambda key: initial.variables(model, key, jnp.zeros((1, *picture)), train=False)
    )
    drawn: Variables = {"batch_stats": {}} | dict(fresh(jax.random.key(0)))
    return jax.device_put(drawn, jax.tree.map(lambda leaf: leaf.sharding, variables))


def rank_correlation(
    one: Float[np.ndarray, "H W"], other: Float[np.ndarray, "H W"]
) -> float | None:
    """Spearman's, in [-1, 1]: 1 for maps that rank the pixels alike; None if one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    value = float(stats.spearmanr(one, other, axis=None).statistic)
    return None if math.isnan(value) else value
