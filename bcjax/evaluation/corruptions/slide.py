"""Corruptions of the slide: deposits of stain, and bubbles under the cover glass.

Lengths are in pixels of a picture of 224.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment.colour import clip_like
from bcjax.evaluation.corruptions.camera import SIDE

MARKS = 3  # largest number of deposits
_SMALLEST, _LARGEST = 8.0, 20.0  # radius of a deposit
_LOBES = ((2, 0.22), (3, 0.14), (5, 0.08))  # waves around its edge, and their share of the radius
_MARGIN = 20.0  # distance between a deposit and the border

BUBBLES = 12  # largest number of bubbles
_FEWEST, _LEAST = 7, 3.0  # smallest number of bubbles, and smallest radius
_RIM = 2.0  # width of a bubble's brighter rim
_GLASS, _EDGE = 100 / 255, 130 / 255  # opacity of the white inside a bubble, and of its rim


def stain_deposit(
    key: Key[Array, ""],
    image: Float[Array, "H W 3"],
    most: Float[Array, ""],
    size: Float[Array, ""],
) -> Float[Array, "H W 3"]:
    """Lays 1 to `most` black blots of dye on the picture.

    The reference takes its blots from a file of masks; these are drawn. At another `size` a blot
    is scaled about the same place.
    """
    H, W, _ = image.shape
    scale = min(H, W) / SIDE
    drawn = jax.random.uniform(key, (1 + MARKS * 6,))
    count = jnp.ceil((1 - drawn[0]) * most)
    widest = 1 + sum(depth for _, depth in _LOBES)

    def covered(mark: Float[Array, "6"]) -> Float[Array, "H W"]:
        radius = scale * (_SMALLEST + (_LARGEST - _SMALLEST) * mark[0])
        reach = radius * widest + scale * _MARGIN
        across = jnp.arange(W) - (reach + mark[1] * (W - 1 - 2 * reach))
        down = jnp.arange(H)[:, None] - (reach + mark[2] * (H - 1 - 2 * reach))
        angle = jnp.arctan2(down, across)
        edge = sum(
            depth * jnp.cos(lobes * angle + 2 * jnp.pi * mark[3 + i])
            for i, (lobes, depth) in enumerate(_LOBES)
        )
        return _inside(jnp.hypot(across, down), size * radius * (1 + edge))

    each = jax.vmap(covered)(drawn[1:].reshape(MARKS, 6))
    there = jnp.arange(MARKS)[:, None, None] < count
    return clip_like(image, image * (1 - jnp.where(there, each, 0)).prod(0)[..., None])


class Bubbles(NamedTuple):
    """Bubbles of a picture: middle and radius of each, in pixels, and how many are drawn."""

    x: Float[Array, "12"]
    y: Float[Array, "12"]
    radius: Float[Array, "12"]
    number: Float[Array, ""]


def bubbles(
    key: Key[Array, ""], shape: tuple[int, ...], largest: Float[Array, ""], most: Float[Array, ""]
) -> Bubbles:
    """Draws 7 to `most` bubbles with radii of 3 to `largest`; none, where `most` is 0."""
    H, W = shape[:2]
    scale = min(H, W) / SIDE
    drawn = jax.random.uniform(key, (1 + BUBBLES * 3,))
    share, (large, x, y) = drawn[0], drawn[1:].reshape(3, BUBBLES)
    number = jnp.where(most > 0, _FEWEST + jnp.floor(share * (most - _FEWEST + 1)), 0)
    radius = scale * (_LEAST + jnp.floor(large * (largest - _LEAST + 1)))
    return Bubbles(radius + x * (W - 2 * radius), radius + y * (H - 2 * radius), radius, number)


def bubble(
    key: Key[Array, ""],
    image: Float[Array, "H W 3"],
    largest: Float[Array, ""],
    most: Float[Array, ""],
) -> Float[Array, "H W 3"]:
    """Lays white discs over the picture, one hiding another, each with a brighter rim."""
    H, W, _ = image.shape
    drawn = bubbles(key, image.shape, largest, most)
    rim = _RIM * min(H, W) / SIDE

    def lay(i: Int32[Array, ""], white: Float[Array, "H W"]) -> Float[Array, "H W"]:
        across, down = jnp.arange(W) - drawn.x[i], jnp.arange(H)[:, None] - drawn.y[i]
        distance = jnp.hypot(across, down)
        there = i < drawn.number
        white += there * _inside(distance, drawn.radius[i] + rim) * (_EDGE - white)
        return white + there * _inside(distance, drawn.radius[i]) * (_GLASS - white)

    white = jax.lax.fori_loop(0, BUBBLES, lay, jnp.zeros((H, W)))
    return clip_like(image, image + white[..., None] * (1 - image))


def _inside(distance: Float[Array, "H W"], radius: Float[Array, "..."]) -> Float[Array, "H W"]:
    """Returns, approximately, how much of a pixel lies within that distance."""
    return jnp.clip(radius - distance + 0.5, 0, 1)
