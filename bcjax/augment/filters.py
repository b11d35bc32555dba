"""What optics, cameras and storage do to a picture: sharper, blurred, noisy, compressed."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, UInt32

from bcjax.augment.blend import blend, like
from bcjax.augment.jpeg import jpeg
from bcjax.augment.op import Op, Range

_RADIUS = 8  # of the blur, in pixels: 2.7 times the largest deviation


def sharpness(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Away from the smoothed picture, as in Pillow (factor 1 + strength); the border stays.

    The smooth one is the mean over 3x3 pixels of which the middle one counts five times.
    """
    H, W, C = image.shape
    # A row's pixels and channels as one axis: the compiler's inner loops are then long.
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
    """Gaussian blur with a deviation of `strength` pixels, the picture mirrored at its border."""
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
    return like(image, blurred.reshape(image.shape))


def noise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Adds Gaussian noise with a deviation of `strength`, independent in pixels and channels."""
    middle = (_bits(key, image.shape) >> 9).astype(jnp.float32) + 0.5
    normal = math.sqrt(2) * lax.erf_inv(middle * 2.0**-22 - 1)
    return like(image, image.astype(jnp.float32) + strength * normal)


def _bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "H W C"]:
    """Hashes the places of the pixels: noise needs no cryptography, which takes far longer."""
    first, second = jax.random.bits(key, (2,))
    place = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _hash(_hash(place ^ first) + second)


def _hash(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """lowbias32, by C. Wellons, https://nullprogram.com/blog/2018/07/31/."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


_CUBUK = "Cubuk et al., RandAugment, NeurIPS 2020, arXiv:1909.13719"
_CHEN = "Chen et al., SimCLR, ICML 2020, arXiv:2002.05709"
_HENDRYCKS = "Hendrycks and Dietterich, ImageNet-C, ICLR 2019, arXiv:1903.12261"

OPS: dict[str, Op] = {
    "sharpness": Op(
        sharpness, Range(0.5, 0, 1, "change of the factor"), "signed", _CUBUK, full=0.9
    ),
    "blur": Op(blur, Range(1, 0, 3, "pixels"), "up_to", _CHEN, full=2),
    "noise": Op(noise, Range(0.05, 0, 1, "deviation"), "up_to", _HENDRYCKS, full=0.2),
    "jpeg": Op(jpeg, Range(0.5, 0, 0.99, "1 - quality / 100"), "up_to", _HENDRYCKS, full=0.9),
}
