"""Flips and quarter turns: the eight ways to lay a square picture down.

A smear has no up and no left, so all eight are equally good pictures of the same cell.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Shaped


def flip(key: Key[Array, ""], image: Shaped[Array, "H W C"]) -> Shaped[Array, "H W C"]:
    """Mirrors left-right with probability 1/2, and up-down with probability 1/2."""
    left_right, up_down = jax.random.bernoulli(key, shape=(2,))
    image = jnp.where(left_right, image[:, ::-1], image)
    return jnp.where(up_down, image[::-1], image)


def turn(key: Key[Array, ""], image: Shaped[Array, "S S C"]) -> Shaped[Array, "S S C"]:
    """Turns a square picture by 0, 90, 180 or 270 degrees, with probability 1/4 each."""
    quarter, half = jax.random.bernoulli(key, shape=(2,))
    # Two selects instead of a switch over four pictures: a half turn, then a quarter turn.
    image = jnp.where(half, image[::-1, ::-1], image)
    return jnp.where(quarter, image.swapaxes(0, 1)[:, ::-1], image)
