"""Class activation maps: which places of a stage's map the logit rests on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bcjax.engine.state import Variables
from bcjax.evaluation.explanation.stages import Image, Map, Tapped

Combine = Callable[[Float[Array, "h w c"], Float[Array, "h w c"]], Float[Array, "h w"]]


def grad_cam(
    activation: Float[Array, "h w c"], gradient: Float[Array, "h w c"]
) -> Float[Array, "h w"]:
    """Grad-CAM: channels weighed by their average gradient.

    Selvaraju et al., ICCV 2017 (arXiv:1610.02391), equations 1 and 2.

    Args:
      activation: What the stage hands on.
      gradient: Of the logit, with respect to it.

    Returns:
      What speaks for the class, no less than 0; in a network that averages this map and then
      weighs it, the logits that each place adds.
    """
    return jax.nn.relu(activation @ gradient.mean(axis=(0, 1)))


def grad_cam_plus_plus(
    activation: Float[Array, "h w c"], gradient: Float[Array, "h w c"]
) -> Float[Array, "h w"]:
    """Grad-CAM++: channels weighed by what raises the logit, each place by its own share.

    Chattopadhay et al., WACV 2018 (arXiv:1710.11063), equations 10 and 19, of the exponential of
    the logit, as they do. That factor, the same for each place, is left out: it overflows.

    Args:
      activation: What the stage hands on.
      gradient: Of the logit, with respect to it.

    Returns:
      What speaks for the class, no less than 0.
    """
    square = gradient**2
    below = 2 * square + activation.sum(axis=(0, 1)) * square * gradient
    share = square / jnp.where(below == 0, 1, below)
    weights = (share * jax.nn.relu(gradient)).sum(axis=(0, 1))
    return jax.nn.relu(activation @ weights)


METHODS: dict[str, Combine] = {"grad-cam": grad_cam, "grad-cam++": grad_cam_plus_plus}


def explainer(
    tapped: Tapped, shape: Map, combine: Combine
) -> Callable[[Variables, Image, int], Float[Array, "H W"]]:
    """Returns the compiled (variables, picture, class) -> map of the picture's size.

    Args:
      tapped: The network, from `stages.tapped`.
      shape: Of the stage's map.
      combine: One of `METHODS`.
    """

    @jax.jit
    def explain(variables: Variables, image: Array, target: int) -> Array:
        def score(change: Array) -> tuple[Array, Array]:
            answer, activation = tapped(variables, image[None], change)
            return answer[0, target], activation

        gradient, activation = jax.grad(score, has_aux=True)(jnp.zeros((1, *shape)))
        coarse = combine(activation[0].astype(jnp.float32), gradient[0])
        return jax.image.resize(coarse, image.shape[:2], "linear")

    return explain
