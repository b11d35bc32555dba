"""Histogram equalisation, as in Pillow: on the 8-bit values, each channel by itself.

Counting is the one operation of its kind that costs much more than a pass over the pixels, and
RandAugment chooses it for one picture in fourteen. So a CPU goes through the batch picture by
picture and counts where it must. An accelerator is slow at loops, and counts all at once: a GPU by
writing too, a TPU, which is slow at that, by products of matrices. Counts are whole numbers, so all
three give the same picture.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment.blend import blend
from bcjax.augment.in_turn import in_turn

Levels = Int32[Array, "H W C"]  # 0..255
Table = Int32[Array, "C 256"]


def equalise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends with the picture in whose channels every level is about as frequent."""
    return _equalise(image, jnp.asarray(strength, jnp.float32))


def by_writing(image: Float[Array, "H W C"], share: Float[Array, ""]) -> Float[Array, "H W C"]:
    """Counts by adding to one bin after another."""
    channels = jnp.arange(image.shape[-1])

    def count(levels: Levels) -> Table:
        bins = jnp.zeros((len(channels), 256), jnp.int32)
        return bins.at[channels, levels].add(1, mode="promise_in_bounds")

    def look_up(table: Table, levels: Levels) -> Levels:
        # The table rises, so this changes nothing but the speed: the compiler would otherwise work
        # out an entry anew for each pixel, division and all.
        table = lax.cummax(table, axis=1)
        return table.at[channels, levels].get(mode="promise_in_bounds")

    return _equalised(image, share, count, look_up)


def by_products(image: Float[Array, "H W C"], share: Float[Array, ""]) -> Float[Array, "H W C"]:
    """Counts by one product of matrices per channel.

    A level is two digits of base 16, and the pixels are counted in a table of 16x16: the sum of
    (one-hot first digit) x (one-hot second digit). Factors up to 256 are exact in any precision.
    """

    def digits(levels: Levels) -> tuple[Array, Array]:
        return jax.nn.one_hot(levels // 16, 16), jax.nn.one_hot(levels % 16, 16)

    def count(levels: Levels) -> Table:
        counts = jnp.einsum("hwca,hwcb->cab", *digits(levels))
        return counts.reshape(-1, 256).astype(jnp.int32)

    def look_up(table: Table, levels: Levels) -> Levels:
        first, second = digits(levels)
        rows = jnp.einsum("hwca,cab->hwcb", first, table.reshape(-1, 16, 16).astype(jnp.float32))
        return (rows * second).sum(-1).astype(jnp.int32)

    return _equalised(image, share, count, look_up)


def _equalised(
    image: Float[Array, "H W C"],
    share: Float[Array, ""],
    count: Callable[[Levels], Table],
    look_up: Callable[[Table, Levels], Levels],
) -> Float[Array, "H W C"]:
    levels = jnp.round(image.astype(jnp.float32) * 255).astype(jnp.int32)
    counts = count(levels)
    brightest = 255 - jnp.argmax(counts[:, ::-1] > 0, axis=1, keepdims=True)
    bins = jnp.arange(256)
    step = jnp.where(bins < brightest, counts, 0).sum(1, keepdims=True) // 255
    darker = jnp.cumsum(counts, axis=1) - counts
    table = jnp.minimum((darker + step // 2) // jnp.maximum(step, 1), 255)
    table = jnp.where(step > 0, table, bins)  # fewer than 255 pixels below the brightest level
    return blend(image, look_up(table, levels) / 255, share)


def _where_wanted(image: Float[Array, "H W C"], share: Float[Array, ""]) -> Float[Array, "H W C"]:
    return lax.cond(share != 0, by_writing, lambda image, _: image, image, share)


def _on_accelerators(
    image: Float[Array, "H W C"], share: Float[Array, ""]
) -> Float[Array, "H W C"]:
    return lax.platform_dependent(image, share, tpu=by_products, default=by_writing)


_equalise = in_turn(_where_wanted, at_once=_on_accelerators)
