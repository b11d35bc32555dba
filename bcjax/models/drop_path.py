"""Stochastic depth: a residual branch is left out for some pictures."""

import jax
from flax import linen as nn
from jaxtyping import Array, Float


class DropPath(nn.Module):
    """Drops a branch for each picture alone, and scales what is kept so that its mean stays.

    Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, arXiv:1603.09382.

    Attributes:
      rate: Probability that a picture's branch is dropped, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, branch: Float[Array, "B *rest"], train: bool) -> Float[Array, "B *rest"]:
        if not train or self.rate == 0:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return branch * kept.astype(branch.dtype) / (1 - self.rate)


def rates(last: float, blocks: int) -> list[float]:
    """Returns the rate of each block: from 0 at the first, linearly, to `last` at the last."""
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]
