"""Changes of colour: a function of each pixel, and of the picture's mean.

Brightness, contrast and saturation are blends, as in Pillow's ImageEnhance: strength s stands for
its factor 1 + s.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from bcjax.augment.blend import blend, like, planes
from bcjax.augment.op import Op, Range


def luma(image: Float[Array, "H W C"]) -> Float[Array, "H W 1"]:
    """Returns the brightness after ITU-R BT.601, in float32; one channel alone is its own."""
    if image.shape[-1] == 1:
        return image.astype(jnp.float32)
    red, green, blue = planes(image)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[..., None]


def brightness(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Away from black; at -1 the picture is black."""
    return blend(image, 0.0, -strength)


def contrast(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Away from the mean luma; at -1 every pixel is that grey."""
    # Of the 8-bit luma, as in Pillow: a sum of whole numbers is the same in any order, which is
    # another for one picture than for many.
    levels = jnp.round(luma(image) * 255).astype(jnp.int32)
    return blend(image, levels.sum() / (255 * levels.size), -strength)


def saturation(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Away from the luma of each pixel; at -1 the picture is grey."""
    return blend(image, luma(image), -strength)


def grey(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends with the luma of each pixel; at 1 the picture is grey."""
    return blend(image, luma(image), strength)


def hue(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Turns the hue of HSV by `strength` turns; grey has no hue, and stays."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = planes(image)
    value = jnp.maximum(red, jnp.maximum(green, blue))
    chroma = value - jnp.minimum(red, jnp.minimum(green, blue))
    is_red, is_green = value == red, value == green
    slope = jnp.where(is_red, green - blue, jnp.where(is_green, blue - red, red - green))
    sixths = jnp.where(is_red, 0, jnp.where(is_green, 2, 4)) + 6 * strength
    sixths += slope / jnp.where(chroma > 0, chroma, 1)
    turned = []
    # Back from HSV without its six cases: each channel is the largest for a third of the circle,
    # falls, and is the smallest for a third.
    for offset in (5, 3, 1):
        place = sixths + offset
        place -= 6 * jnp.floor(place / 6)
        turned.append(value - chroma * jnp.clip(jnp.minimum(place, 4 - place), 0, 1))
    return jnp.where(strength == 0, image, like(image, jnp.stack(turned, axis=-1)))


def gamma(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Raises to the power 2 ** strength: 1 squares, -1 takes the root."""
    # Many times faster on a CPU than a power, which is not vectorised.
    powered = jnp.exp(jnp.exp2(strength) * jnp.log(image.astype(jnp.float32)))
    return jnp.where(strength == 0, image, like(image, powered))


_CUBUK = "Cubuk et al., RandAugment, NeurIPS 2020, arXiv:1909.13719"
_CHEN = "Chen et al., SimCLR, ICML 2020, arXiv:2002.05709"
_ISENSEE = "Isensee et al., nnU-Net, Nature Methods 2021, doi:10.1038/s41592-020-01008-z"
_AWAY = Range(0.2, 0, 1, "change of the factor")

OPS: dict[str, Op] = {
    "brightness": Op(brightness, _AWAY, "signed", _CUBUK, full=0.9),
    "contrast": Op(contrast, _AWAY, "signed", _CUBUK, full=0.9),
    "saturation": Op(saturation, _AWAY, "signed", _CUBUK, full=0.9),
    "hue": Op(hue, Range(0.05, 0, 0.5, "turns"), "signed", _CHEN, full=0.1),
    "gamma": Op(gamma, Range(0.3, 0, 3, "doublings of the exponent"), "signed", _ISENSEE, full=1),
    "grey": Op(grey, Range(1, 0, 1, "share"), "share", _CHEN, full=1),
}
