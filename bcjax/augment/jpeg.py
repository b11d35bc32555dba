"""What JPEG does to a picture: 8x8 blocks whose frequencies are rounded, the fine ones coarsely."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from bcjax.augment.blend import like, planes

# The standard's examples, which encoders use (ITU-T T.81, annex K): steps of the 8-bit scale.
_LUMA_STEPS = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
_CHROMA_STEPS = np.full((8, 8), 99)
_CHROMA_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_STEPS = np.stack([_LUMA_STEPS, _CHROMA_STEPS, _CHROMA_STEPS], axis=-1).astype(np.float32)

# The orthonormal DCT-II: row u is the cosine of u half-waves over the eight pixels.
_U, _X = np.mgrid[:8, :8]
_DCT = np.cos((2 * _X + 1) * _U * np.pi / 16) * np.where(_U == 0, np.sqrt(1 / 8), 0.5)
_DCT = _DCT.astype(np.float32)


def jpeg(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """As after JPEG of quality 100 * (1 - strength), with the chroma at full resolution.

    Quality means what it does in libjpeg, except at 100, which leaves the picture as it is.
    """
    H, W, C = image.shape
    # The standard's steps at quality 50; from there to 100 linearly to nothing.
    scale = jnp.where(strength < 0.5, 2 * strength, 0.5 / (1 - strength))
    steps = jnp.clip(jnp.floor(_STEPS[..., :C] * scale + 0.5), 1, 255)[:, None]
    colours = jnp.round(_to_luma_and_chroma(image) * 255)  # whole numbers, as an encoder's
    padded = jnp.pad(colours, ((0, -H % 8), (0, -W % 8), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8, C)
    waves = jnp.round(_product("uy,vx,iyjxc->iujvc", blocks) / steps) * steps
    padded = _product("uy,vx,iujvc->iyjxc", waves).reshape(padded.shape)
    return jnp.where(strength == 0, image, like(image, _from_luma_and_chroma(padded[:H, :W] / 255)))


def _product(axes: str, blocks: Float[Array, "..."]) -> Float[Array, "..."]:
    # An accelerator would otherwise round the factors to fewer bits than JPEG's steps need.
    return jnp.einsum(axes, _DCT, _DCT, blocks, precision=lax.Precision.HIGHEST)


def _to_luma_and_chroma(image: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    """Returns JFIF's YCbCr, about 0."""
    if image.shape[-1] == 1:
        return image.astype(jnp.float32) - 128 / 255
    red, green, blue = planes(image)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return jnp.stack([luma - 128 / 255, (blue - luma) / 1.772, (red - luma) / 1.402], axis=-1)


def _from_luma_and_chroma(colours: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    if colours.shape[-1] == 1:
        return colours + 128 / 255
    luma, to_blue, to_red = planes(colours)
    luma += 128 / 255
    red, blue = luma + 1.402 * to_red, luma + 1.772 * to_blue
    return jnp.stack([red, (luma - 0.299 * red - 0.114 * blue) / 0.587, blue], axis=-1)
