"""What optics, cameras and storage do to a picture: sharpness, blur, noise, JPEG."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, UInt32

from bcjax.augment.colour import blend, clip_like, planes
from bcjax.augment.op import Argument, Op

_RADIUS = 8  # pixels that a blur reaches: 2.7 times the largest deviation


def sharpness(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Moves the picture away from its smoothed self, by Pillow's factor 1 + strength.

    The smoothed picture is the mean over 3x3 pixels, of which the middle one counts five times;
    the pixels at the border stay.
    """
    H, W, C = image.shape
    # The pixels and channels of a row are one axis, so that the compiler's inner loops are long.
    plain = image.astype(jnp.float32).reshape(H, W * C)
    padded = jnp.pad(plain, ((1, 1), (C, C)))
    columns = padded[:-2] + padded[1:-1] + padded[2:]
    box = columns[:, : -2 * C] + columns[:, C:-C] + columns[:, 2 * C :]
    row, column = jnp.arange(H)[:, None], jnp.arange(W * C)
    inside = (row > 0) & (row < H - 1) & (column >= C) & (column < (W - 1) * C)
    smooth = jnp.where(inside, (box + 4 * plain) / 13, plain)
    return blend(image, smooth.reshape(image.shape), -strength)


def blur(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blurs by a Gaussian with a deviation of `strength` pixels, mirrored at the border."""
    H, _, C = image.shape
    offsets = jnp.arange(_RADIUS + 1)
    weights = jnp.exp(-(offsets**2) / (2 * jnp.maximum(strength**2, 1e-8)))
    weights /= weights[0] + 2 * weights[1:].sum()

    def weighted(padded: Array, axis: int, stride: int) -> Array:
        def shifted(offset: int) -> Array:
            start = (_RADIUS + offset) * stride
            size = padded.shape[axis] - 2 * _RADIUS * stride
            return lax.slice_in_dim(padded, start, start + size, axis=axis)

        pairs = (weights[i] * (shifted(-i) + shifted(i)) for i in range(1, _RADIUS + 1))
        return sum(pairs, weights[0] * shifted(0))

    around = ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0))
    padded = jnp.pad(image.astype(jnp.float32), around, mode="reflect").reshape(H + 2 * _RADIUS, -1)
    blurred = weighted(weighted(padded, 0, 1), 1, C)
    return clip_like(image, blurred.reshape(image.shape))


def noise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Adds Gaussian noise with a deviation of `strength`, independent in pixels and channels."""
    middle = (_bits(key, image.shape) >> 9).astype(jnp.float32) + 0.5
    normal = math.sqrt(2) * lax.erf_inv(middle * 2.0**-22 - 1)
    return clip_like(image, image.astype(jnp.float32) + strength * normal)


def _bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "H W C"]:
    """Hashes the places of the pixels: noise needs no cryptography, which takes much longer."""
    first, second = jax.random.bits(key, (2,))
    place = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _hash(_hash(place ^ first) + second)


def _hash(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Hashes by C. Wellons's lowbias32, https://nullprogram.com/blog/2018/07/31/."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


# JPEG

# The quantisation tables of the standard's annex K (ITU-T T.81), which encoders use, in steps of
# the 8-bit scale.
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
    """Compresses by JPEG at quality 100 * (1 - strength), with the chroma at full resolution.

    The frequencies of 8x8 blocks are rounded, the fine ones coarsely. Quality means what it does in
    libjpeg, except at 100, which leaves the picture unchanged.
    """
    H, W, C = image.shape
    # The standard's steps at quality 50; from there they fall linearly to 0 at quality 100.
    scale = jnp.where(strength < 0.5, 2 * strength, 0.5 / (1 - strength))
    steps = jnp.clip(jnp.floor(_STEPS[..., :C] * scale + 0.5), 1, 255)[:, None]
    colours = jnp.round(_to_luma_and_chroma(image) * 255)  # whole numbers, as in an encoder
    padded = jnp.pad(colours, ((0, -H % 8), (0, -W % 8), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8, C)
    waves = jnp.round(_product("uy,vx,iyjxc->iujvc", blocks) / steps) * steps
    padded = _product("uy,vx,iujvc->iyjxc", waves).reshape(padded.shape)
    return jnp.where(
        strength == 0, image, clip_like(image, _from_luma_and_chroma(padded[:H, :W] / 255))
    )


def _product(axes: str, blocks: Float[Array, "..."]) -> Float[Array, "..."]:
    # An accelerator would otherwise round the factors to fewer bits than JPEG's steps need.
    return jnp.einsum(axes, _DCT, _DCT, blocks, precision=lax.Precision.HIGHEST)


def _to_luma_and_chroma(image: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    """Returns JFIF's YCbCr, shifted to lie about 0."""
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


_CUBUK = "Cubuk et al., RandAugment, NeurIPS 2020, arXiv:1909.13719"
_CHEN = "Chen et al., SimCLR, ICML 2020, arXiv:2002.05709"
_HENDRYCKS = "Hendrycks and Dietterich, ImageNet-C, ICLR 2019, arXiv:1903.12261"

OPS: dict[str, Op] = {
    "sharpness": Op(
        sharpness, Argument(0.5, 0, 1, "change of the factor"), "signed", _CUBUK, full=0.9
    ),
    "blur": Op(blur, Argument(1, 0, 3, "pixels"), "up_to", _CHEN, full=2),
    "noise": Op(noise, Argument(0.05, 0, 1, "deviation"), "up_to", _HENDRYCKS, full=0.2),
    "jpeg": Op(jpeg, Argument(0.5, 0, 0.99, "1 - quality / 100"), "up_to", _HENDRYCKS, full=0.9),
}
