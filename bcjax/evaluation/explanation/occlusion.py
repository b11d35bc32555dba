"""Occlusion: what the logit loses when a patch of the picture is covered."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bcjax.engine.state import Variables
from bcjax.evaluation.explanation.stages import Image, Logits


def explainer(
    logits: Logits, *, patch: int, stride: int, batch_size: int = 32
) -> Callable[[Variables, Image, Image, int], Float[np.ndarray, "H W"]]:
    """Returns (variables, picture, cover, class) -> map.

    A square of the cover is laid on the picture, place by place (Zeiler and Fergus, Visualizing and
    Understanding Convolutional Networks, ECCV 2014, arXiv:1311.2901). A pixel's value is the
    average, over the squares that cover it, of the logits lost by them; negative where the class
    is likelier without.

    Args:
      logits: The network, from `stages.logits`.
      patch: Side of the square, in pixels.
      stride: Pixels between two squares, no more than `patch`.
      batch_size: Covered pictures at a time: the compiled program's.
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
        # The first square covers nothing: the logit that the others are compared with.
        squares = np.pad(_squares(image.shape[:2], patch, stride), ((1, 0), (0, 0), (0, 0)))
        answers = []
        for start in range(0, len(squares), batch_size):
            some = squares[start : start + batch_size]
            whole = np.pad(some, ((0, batch_size - len(some)), (0, 0), (0, 0)))
            answers.append(covered(variables, image, cover, target, whole)[: len(some)])
        whole_picture, *without = np.concatenate(jax.device_get(answers))
        lost = whole_picture - np.array(without)
        return np.einsum("p,phw->hw", lost, squares[1:]) / squares[1:].sum(axis=0)

    return explain


def _squares(shape: tuple[int, ...], patch: int, stride: int) -> Bool[np.ndarray, "n H W"]:
    """Where each square is; together they cover the picture."""
    rows, columns = (_intervals(side, patch, stride) for side in shape)
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, *shape)


def _intervals(side: int, patch: int, stride: int) -> Bool[np.ndarray, "n side"]:
    """Where each interval of `patch` pixels is; the last ends where the side does."""
    starts = np.append(np.arange(0, side - patch, stride), side - patch)[:, None]
    at = np.arange(side)
    return (at >= starts) & (at < starts + patch)
