"""Changes of tone: each channel by itself is inverted, cut into levels or stretched."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from bcjax.augment.blend import blend, like
from bcjax.augment.equalise import equalise
from bcjax.augment.op import Op, Range


def invert(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends with the negative."""
    return blend(image, 1 - image.astype(jnp.float32), strength)


def solarise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Inverts what is brighter than 1 - strength.

    Not what is just as bright, unlike in Pillow, or else white would be black at strength 0.
    """
    plain = image.astype(jnp.float32)
    return like(image, jnp.where(plain > 1 - strength, 1 - plain, plain))


def posterise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Clears the last bits of the 8-bit value: `strength` of them, rounded."""
    bits = jnp.round(strength).astype(jnp.int32)
    levels = jnp.round(image.astype(jnp.float32) * 255).astype(jnp.int32)
    return jnp.where(bits == 0, image, like(image, (levels >> bits << bits) / 255))


def autocontrast(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends with the picture whose channels each go from 0 to 1; a flat channel stays."""
    H, W, C = image.shape
    plain = image.astype(jnp.float32)
    # Along the rows first, a row being one long axis: channels are too short for fast loops.
    rows = plain.reshape(H, W * C)
    darkest = rows.min(0).reshape(W, C).min(0)
    span = rows.max(0).reshape(W, C).max(0) - darkest
    return blend(
        image,
        jnp.where(span > 0, (plain - darkest) / jnp.where(span > 0, span, 1), plain),
        strength,
    )


_CUBUK = "Cubuk et al., AutoAugment, CVPR 2019, arXiv:1805.09501"
_SHARE = Range(1, 0, 1, "share")

OPS: dict[str, Op] = {
    "invert": Op(invert, _SHARE, "share", _CUBUK, full=1),
    "solarise": Op(solarise, Range(0.5, 0, 1, "1 - threshold"), "exact", _CUBUK, full=1),
    "posterise": Op(posterise, Range(4, 0, 8, "bits"), "exact", _CUBUK, full=4),
    "autocontrast": Op(autocontrast, _SHARE, "share", _CUBUK, full=1),
    "equalise": Op(equalise, _SHARE, "share", _CUBUK, full=1),
}
