"""The methods of explanation: each returns a function that draws one map of one image.

A map has the image's size and is in logits: what speaks for the class is positive.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bcjax.engine.state import Variables
from bcjax.evaluation.explanation.stages import Image, Logits, MapShape, StageOutput

Weighting = Callable[[Float[Array, "h w c"], Float[Array, "h w c"]], Float[Array, "h w"]]
Method = Callable[[Variables, Image, int], Float[Array | np.ndarray, "H W"]]
FromBaseline = Callable[[Variables, Image, Image, int], Float[Array | np.ndarray, "H W"]]


def grad_cam(
    activation: Float[Array, "h w c"], gradient: Float[Array, "h w c"]
) -> Float[Array, "h w"]:
    """Grad-CAM: the channels of a stage, weighted by their mean gradient.

    Selvaraju et al., ICCV 2017 (arXiv:1610.02391), equations 1 and 2.

    Args:
      activation: Output of the stage.
      gradient: Gradient of the class's logit with respect to `activation`.

    Returns:
      The evidence for the class, at least 0. In a network that averages this map and then applies
      a linear classifier, these are the logits that each place adds.
    """
    return jax.nn.relu(activation @ gradient.mean(axis=(0, 1)))


def grad_cam_plus_plus(
    activation: Float[Array, "h w c"], gradient: Float[Array, "h w c"]
) -> Float[Array, "h w"]:
    """Grad-CAM++: the channels, weighted by positive gradients, each place by its own share.

    Chattopadhay et al., WACV 2018 (arXiv:1710.11063), equations 10 and 19, for the exponential of
    the logit, as in the paper. The exponential itself is the same factor for each place; it is
    left out because it overflows.

    Args:
      activation: Output of the stage.
      gradient: Gradient of the class's logit with respect to `activation`.

    Returns:
      The evidence for the class, at least 0.
    """
    square = gradient**2
    below = 2 * square + activation.sum(axis=(0, 1)) * square * gradient
    share = square / jnp.where(below == 0, 1, below)
    weights = (share * jax.nn.relu(gradient)).sum(axis=(0, 1))
    return jax.nn.relu(activation @ weights)


WEIGHTINGS: dict[str, Weighting] = {"grad-cam": grad_cam, "grad-cam++": grad_cam_plus_plus}


def class_activation_map(
    stage_output: StageOutput, shape: MapShape, weighting: Weighting
) -> Method:
    """Returns the compiled function (variables, image, class) -> map.

    Args:
      stage_output: The network, from `stages.stage_output`.
      shape: Height, width and channels of the stage's output.
      weighting: One of `WEIGHTINGS`.
    """

    @jax.jit
    def explain(variables: Variables, image: Array, target: int) -> Array:
        def score(change: Array) -> tuple[Array, Array]:
            logits, activation = stage_output(variables, image[None], change)
            return logits[0, target], activation

        gradient, activation = jax.grad(score, has_aux=True)(jnp.zeros((1, *shape)))
        coarse = weighting(activation[0].astype(jnp.float32), gradient[0])
        return jax.image.resize(coarse, image.shape[:2], "linear")

    return explain


def integrated_gradients(logits: Logits, *, points: int = 64, batch_size: int = 32) -> FromBaseline:
    """Returns the function (variables, image, baseline, class) -> map.

    The gradient of the logit is integrated along the straight line from the baseline to the image,
    by Gauss-Legendre quadrature, and multiplied by their difference. The sum of a map is the logit
    of the image minus the logit of the baseline (Sundararajan et al., Axiomatic Attribution for
    Deep Networks, ICML 2017, arXiv:1703.01365), up to the error of the quadrature. The three
    channels of a pixel are summed; evidence against the class is negative.

    Args:
      logits: The network, from `stages.logits`.
      points: Number of points on the line where the gradient is taken.
      batch_size: Points in one call of the compiled program.
    """
    rule = np.stack(np.polynomial.legendre.leggauss(points)) / 2 + [[0.5], [0]]  # on [0, 1]
    rest = -points % batch_size  # padding of the last batch, with weight 0
    batches = np.pad(rule, ((0, 0), (0, rest))).astype(np.float32).reshape(2, -1, batch_size)

    @jax.jit
    def part(
        variables: Variables, image: Array, baseline: Array, target: int, at: Array, weight: Array
    ) -> Array:
        def score(images: Array) -> Array:
            return weight @ logits(variables, images)[:, target]

        between = image - baseline
        gradients = jax.grad(score)(baseline + at[:, None, None, None] * between)
        return (gradients.sum(axis=0) * between).sum(axis=-1)

    def explain(variables: Variables, image: Image, baseline: Image, target: int) -> Array:
        parts = [
            part(variables, image, baseline, target, at, weight)
            for at, weight in zip(*batches, strict=True)
        ]
        return jnp.sum(jnp.stack(parts), axis=0)

    return explain


def occlusion(logits: Logits, *, patch: int, stride: int, batch_size: int = 32) -> FromBaseline:
    """Returns the function (variables, image, cover, class) -> map.

    A square of the cover is laid over the image, place by place (Zeiler and Fergus, Visualizing and
    Understanding Convolutional Networks, ECCV 2014, arXiv:1311.2901). The value of a pixel is the
    mean drop of the logit over the squares that cover it; it is negative where the class becomes
    likelier when the pixel is covered.

    Args:
      logits: The network, from `stages.logits`.
      patch: Side of the square, in pixels.
      stride: Pixels between two squares, at most `patch`.
      batch_size: Covered images in one call of the compiled program.
    """

    @jax.jit
    def covered(
        variables: Variables, image: Array, cover: Array, target: int, inside: Array
    ) -> Array:
        images = jnp.where(inside[..., None], cover, image)
        return logits(variables, images)[:, target]

    def explain(
        variables: Variables, image: Image, cover: Image, target: int
    ) -> Float[np.ndarray, "H W"]:
        # The first square covers nothing: it gives the logit that the others are compared with.
        squares = np.pad(_squares(image.shape[:2], patch, stride), ((1, 0), (0, 0), (0, 0)))
        parts = []
        for start in range(0, len(squares), batch_size):
            batch = squares[start : start + batch_size]
            padded = np.pad(batch, ((0, batch_size - len(batch)), (0, 0), (0, 0)))
            parts.append(covered(variables, image, cover, target, padded)[: len(batch)])
        uncovered, *rest = np.concatenate(jax.device_get(parts))
        lost = uncovered - np.array(rest)
        return np.einsum("p,phw->hw", lost, squares[1:]) / squares[1:].sum(axis=0)

    return explain


def _squares(shape: tuple[int, ...], patch: int, stride: int) -> Bool[np.ndarray, "n H W"]:
    """Where each square lies; together they cover the image."""
    rows, columns = (_intervals(side, patch, stride) for side in shape)
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, *shape)


def _intervals(side: int, patch: int, stride: int) -> Bool[np.ndarray, "n side"]:
    """Where each interval of `patch` pixels lies; the last one ends where the side ends."""
    starts = np.append(np.arange(0, side - patch, stride), side - patch)[:, None]
    at = np.arange(side)
    return (at >= starts) & (at < starts + patch)
