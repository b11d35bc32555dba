"""Corruptions of the camera: fewer pixels, and too much colour."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, Key

from bcjax.augment.colour import clip_like, planes


def pixelate(
    key: Key[Array, ""], image: Float[Array, "H W 3"], kept: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """Shrinks to the share `kept` of each side, by area, and back, as Pillow's BOX."""
    H, W, _ = image.shape
    # Sums of whole numbers are exact in any order, and so the same for one picture and for many.
    levels = jnp.round(image.astype(jnp.float32) * 255)
    across, down = _same_block(W, kept), _same_block(H, kept)
    levels = jnp.floor(
        jnp.einsum("yxc,wx->ywc", levels, across, precision="highest") / across.sum(1)[:, None]
        + 0.5
    )
    levels = jnp.floor(
        jnp.einsum("yxc,hy->hxc", levels, down, precision="highest") / down.sum(1)[:, None, None]
        + 0.5
    )
    return clip_like(image, levels / 255)


def _same_block(size: int, kept: Float[Array, ""]) -> Float[Array, "size size"]:
    """For each pixel of the result (rows), 1 for those that its block is the mean of."""
    blocks = jnp.maximum(jnp.floor(size * kept + 1e-4), 1).astype(jnp.int32)
    place = jnp.arange(size)
    block = (2 * place + 1) * blocks // (2 * size)

    def begin(block: Int32[Array, "size"]) -> Int32[Array, "size"]:
        return (2 * block * size + blocks) // (2 * blocks)

    inside: Bool[Array, "size size"] = (place >= begin(block)[:, None]) & (
        place < begin(block + 1)[:, None]
    )
    return inside.astype(jnp.float32)


def saturate(
    key: Key[Array, ""], image: Float[Array, "H W 3"], more: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """Adds `more` to the saturation of HSV; grey has the hue of red there."""
    red, green, blue = planes(image)
    value = jnp.maximum(red, jnp.maximum(green, blue))
    chroma = value - jnp.minimum(red, jnp.minimum(green, blue))
    grey = chroma == 0
    saturation = jnp.clip(chroma / jnp.where(value > 0, value, 1) + more, 0, 1)
    # Each channel lies below the value by a share of the chroma, which the hue decides.
    shares = [
        jnp.where(grey, float(channel > 0), (value - plane) / jnp.where(grey, 1, chroma))
        for channel, plane in enumerate((red, green, blue))
    ]
    saturated = jnp.stack([value * (1 - saturation * share) for share in shares], axis=-1)
    return jnp.where(more == 0, image, clip_like(image, saturated))
