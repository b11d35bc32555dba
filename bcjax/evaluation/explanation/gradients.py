"""Integrated gradients: the logit, shared out among the pixels that it came from."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bcjax.engine.state import Variables
from bcjax.evaluation.explanation.stages import Image, Logits


def explainer(
    logits: Logits, *, points: int = 64, batch_size: int = 32
) -> Callable[[Variables, Image, Image, int], Float[Array, "H W"]]:
    """Returns (variables, picture, baseline, class) -> map.

    The gradient of the logit is integrated on the straight line from the baseline to the picture,
    by Gauss and Legendre's rule, and multiplied by what lies between them. A map's sum is the logit
    of the picture less that of the baseline (Sundararajan et al., Axiomatic Attribution for Deep
    Networks, ICML 2017, arXiv:1703.01365), as nearly as the rule is exact. A pixel's three channels
    are summed; what speaks against the class is negative.

    Args:
      logits: The network, from `stages.logits`.
      points: At which the gradient is taken.
      batch_size: Points at a time: the compiled program's.
    """
    rule = np.stack(np.polynomial.legendre.leggauss(points)) / 2 + [[0.5], [0]]  # on [0, 1]
    rest = -points % batch_size  # of a last batch: they count for nothing
    batches = np.pad(rule, ((0, 0), (0, rest))).astype(np.float32).reshape(2, -1, batch_size)

    @jax.jit
    def part(
        variables: Variables, image: Array, baseline: Array, target: int, at: Array, share: Array
    ) -> Array:
        def score(images: Array) -> Array:
            return share @ logits(variables, images)[:, target]

        between = image - baseline
        gradients = jax.grad(score)(baseline + at[:, None, None, None] * between)
        return (gradients.sum(axis=0) * between).sum(axis=-1)

    def explain(variables: Variables, image: Image, baseline: Image, target: int) -> Array:
        parts = [
            part(variables, image, baseline, target, at, share)
            for at, share in zip(*batches, strict=True)
        ]
        return jnp.sum(jnp.stack(parts), axis=0)

    return explain
