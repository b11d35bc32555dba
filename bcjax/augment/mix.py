"""MixUp and CutMix: each picture of a batch is mixed with its neighbour, and so are their labels.

Both are one weighted sum of two pictures, and differ in the weights: MixUp has one for the whole
picture, CutMix 0 inside a rectangle and 1 outside. The label's share is the mean weight, so it is
what is really seen of each, also where the rectangle was cut off at the border.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

Shape = tuple[int, int]


def share(key: Key[Array, ""], alpha: float) -> Float[Array, ""]:
    """How much of itself a picture is to keep: from Beta(alpha, alpha), as both papers draw it."""
    return jax.random.beta(key, alpha, alpha)


def mixup(key: Key[Array, ""], share: Float[Array, ""], shape: Shape) -> Float[Array, "H W"]:
    """`share` everywhere (Zhang et al. 2018, https://arxiv.org/abs/1710.09412)."""
    return jnp.full(shape, share)


def cutmix(key: Key[Array, ""], share: Float[Array, ""], shape: Shape) -> Float[Array, "H W"]:
    """0 in a rectangle of area 1 - `share`, 1 outside (Yun et al. 2019, arXiv:1905.04899).

    Its middle is anywhere in the picture, and what is outside is cut off, as in the paper.
    """
    size = jnp.asarray(shape, jnp.float32)
    middle = jnp.floor(jax.random.uniform(key, (2,)) * size)
    half = jnp.floor(0.5 * jnp.sqrt(1 - share) * size)
    rows, columns = (
        (jnp.arange(n) >= middle[axis] - half[axis]) & (jnp.arange(n) < middle[axis] + half[axis])
        for axis, n in enumerate(shape)
    )
    return 1.0 - (rows[:, None] & columns[None, :])


def blend(images: Float[Array, "B H W C"], weights: Float[Array, "H W"]) -> Float[Array, "B H W C"]:
    """Each picture by its `weights` in 0..1, plus the one before it in the batch by the rest.

    A weight of 1 leaves a pixel as it is, to the bit.
    """
    weights = weights[..., None].astype(images.dtype)
    return weights * images + (1 - weights) * jnp.roll(images, 1, axis=0)


def soft_labels(
    labels: Int[Array, "B"], share: Float[Array, ""], classes: int
) -> Float[Array, "B classes"]:
    """The probabilities of blended pictures: `share` for the own label, the rest for the other."""
    own = jax.nn.one_hot(labels, classes)
    return share * own + (1 - share) * jnp.roll(own, 1, axis=0)


MIXES = {"mixup": (mixup, 0.2), "cutmix": (cutmix, 1.0)}  # with the alpha that is customary
