"""MixUp and CutMix: each picture of a batch is mixed with its neighbour, and so are their labels.

Both are a weighted sum of two pictures and differ in the weights: MixUp has one weight for the
whole picture, CutMix has 0 inside a rectangle and 1 outside. The label's share is the mean weight,
so that it is what can be seen of each picture, also where the border cuts off the rectangle.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

Shape = tuple[int, int]


def share(key: Key[Array, ""], alpha: float) -> Float[Array, ""]:
    """Draws how much of itself a picture keeps, from Beta(alpha, alpha) as in both papers."""
    return jax.random.beta(key, alpha, alpha)


def mixup(key: Key[Array, ""], share: Float[Array, ""], shape: Shape) -> Float[Array, "H W"]:
    """Returns the weight `share` everywhere (Zhang et al. 2018, arXiv:1710.09412)."""
    return jnp.full(shape, share)


def cutmix(key: Key[Array, ""], share: Float[Array, ""], shape: Shape) -> Float[Array, "H W"]:
    """Returns 0 in a rectangle of area 1 - `share`, and 1 outside (Yun et al., arXiv:1905.04899).

    The middle of the rectangle is anywhere in the picture, and what lies outside the picture is cut
    off, as in the paper.
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
    """Returns `weights` times each picture plus the rest times the picture before it in the batch.

    A weight of 1 leaves a pixel unchanged, to the bit.
    """
    weights = weights[..., None].astype(images.dtype)
    return weights * images + (1 - weights) * jnp.roll(images, 1, axis=0)


def soft_labels(
    labels: Int[Array, "B"], share: Float[Array, ""], classes: int
) -> Float[Array, "B classes"]:
    """Returns the labels of mixed pictures: `share` for the own class, the rest for the other."""
    own = jax.nn.one_hot(labels, classes)
    return share * own + (1 - share) * jnp.roll(own, 1, axis=0)


MIXES = {"mixup": (mixup, 0.2), "cutmix": (cutmix, 1.0)}  # the weights, and the customary alpha
