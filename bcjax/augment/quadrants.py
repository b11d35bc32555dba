"""Each quarter of the picture is turned on its own: texture stays, shape goes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Key

from bcjax.augment.op import Op, Range


def quadrants(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float32[Array, ""]
) -> Float[Array, "H W C"]:
    """Turns each quadrant by a quarter and by a half, each with probability strength/2.

    At strength 1 the four ways to lay each quadrant down are equally likely. No pixel is lost or
    changed. The middle row and column of an odd side stay where they are; quadrants that are not
    square are turned by a half only.
    """
    H, W, _ = image.shape
    h, w = H // 2, W // 2
    drawn = jax.random.uniform(key, (8,)).reshape(4, 2) < strength / 2
    corners = [(y, x) for y in (slice(h), slice(H - h, H)) for x in (slice(w), slice(W - w, W))]
    for corner, (quarter, half) in zip(corners, drawn, strict=True):
        part = image[corner]
        part = jnp.where(half, part[::-1, ::-1], part)
        if h == w:
            part = jnp.where(quarter, part.swapaxes(0, 1)[:, ::-1], part)
        image = image.at[corner].set(part)
    return image


OPS: dict[str, Op] = {
    "quadrants": Op(
        quadrants,
        Range(1.0, 0.0, 1.0, "twice the probability of each"),
        "exact",
        "Moon et al., Localizable rotation, ECCV 2022, arXiv:2207.10023 (there of one quadrant)",
    )
}
