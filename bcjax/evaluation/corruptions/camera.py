"""Corruptions of microscope and camera: blur by defocus and motion, fewer pixels, more colour.

A blur is a sum of shifted pictures. The shifts are given in pixels of a picture of 224, as in the
reference, and interpolated for pictures of another size.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int32, Key

from bcjax.augment.colour import clip_like, planes
from bcjax.augment.op import in_turn

SIDE = 224  # side of the pictures that MedMNIST-C corrupts
DISC = 6  # radius of the widest disc, in pixels of those pictures
PATH = 20  # longest movement of the stage, in pixels of those pictures


def defocus_blur(
    key: Key[Array, ""], image: Float[Array, "H W 3"], radius: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """Averages over a disc of that radius (Hendrycks and Dietterich 2019), mirrored at the border.

    The reference also smooths the disc by a Gaussian of a tenth of a pixel, which changes nothing.
    """
    place = jnp.arange(-DISC, DISC + 1)
    disc = (place[:, None] ** 2 + place**2 <= radius**2).astype(jnp.float32)
    onto = _onto(min(image.shape[:2]) / SIDE)
    kernel = jnp.einsum("yi,ij,xj->yx", onto, disc, onto, precision="highest")
    kernel /= kernel.sum()
    return in_turn(_averaged)(image, jnp.where(radius == 0, _alone(len(onto)), kernel))


def _onto(scale: float) -> np.ndarray:
    """Returns each shift's share in the whole-pixel shifts of a smaller or larger picture."""
    reach = math.ceil(DISC * scale)
    distance = np.arange(-reach, reach + 1)[:, None] - scale * np.arange(-DISC, DISC + 1)
    return np.maximum(1 - np.abs(distance) / max(1, scale), 0).astype(np.float32)


def _alone(side: int) -> np.ndarray:
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2, side // 2] = 1
    return kernel


def _averaged(
    image: Float[Array, "H W 3"], kernel: Float[Array, "side side"]
) -> Float[Array, "H W 3"]:
    side = len(kernel)
    reach = side // 2
    around = ((reach, reach), (reach, reach), (0, 0))
    padded = jnp.pad(image.astype(jnp.float32), around, mode="reflect")

    def add(i: Int32[Array, ""], total: Array) -> Array:
        y, x = i // side, i % side
        return total + kernel[y, x] * lax.dynamic_slice(padded, (y, x, 0), image.shape)

    return clip_like(image, lax.fori_loop(0, side**2, add, jnp.zeros(image.shape)))


def motion_blur(
    key: Key[Array, ""],
    image: Float[Array, "H W 3"],
    radius: Float[Array, ""],
    sigma: Float[Array, ""],
) -> Float[Array, "H W 3"]:
    """Smears over 2 * `radius` pixels, at up to 45 degrees from the rows, as ImageMagick does.

    Pixels along the movement weigh as one side of a Gaussian of deviation `sigma`. Beyond the
    border the last pixel is repeated.
    """
    angle = jnp.deg2rad(jax.random.uniform(key, minval=-45.0, maxval=45.0))
    taps = jnp.arange(PATH + 1)
    weights = jnp.exp(-(taps**2) / (2 * jnp.maximum(sigma, 1e-3) ** 2))
    weights = jnp.where(taps <= 2 * radius, weights, 0)
    # Rounded to whole pixels of the reference's picture, halves down, as ImageMagick does.
    down, across = (jnp.ceil(taps * way - 0.5) for way in (jnp.sin(angle), jnp.cos(angle)))
    return in_turn(_along)(image, weights / weights.sum(), down, across)


def _along(
    image: Float[Array, "H W 3"],
    weights: Float[Array, "taps"],
    down: Float[Array, "taps"],
    across: Float[Array, "taps"],
) -> Float[Array, "H W 3"]:
    scale = min(image.shape[:2]) / SIDE
    reach = math.ceil(PATH * scale) + 1
    around = ((reach, reach), (reach, reach), (0, 0))
    padded = jnp.pad(image.astype(jnp.float32), around, mode="edge")

    def add(tap: Int32[Array, ""], total: Array) -> Array:
        place = scale * jnp.stack([down[tap], across[tap]])
        first = jnp.floor(place)
        share = place - first
        y, x = reach + first.astype(jnp.int32)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            own = jnp.abs(1 - i - share[0]) * jnp.abs(1 - j - share[1]) * weights[tap]
            total += own * lax.dynamic_slice(padded, (y + i, x + j, 0), image.shape)
        return total

    return clip_like(image, lax.fori_loop(0, PATH + 1, add, jnp.zeros(image.shape)))


def pixelate(
    key: Key[Array, ""], image: Float[Array, "H W 3"], kept: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """Shrinks each side to the share `kept`, by area, and enlarges it again, as Pillow's BOX."""
    H, W, _ = image.shape
    # Sums of whole numbers are exact in any order, so the same for one picture and for many.
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
    """Returns for each pixel of the result (rows) 1 for the pixels that its block averages."""
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
    """Adds `more` to the saturation of HSV, in which grey has the hue of red."""
    red, green, blue = planes(image)
    value = jnp.maximum(red, jnp.maximum(green, blue))
    chroma = value - jnp.minimum(red, jnp.minimum(green, blue))
    grey = chroma == 0
    saturation = jnp.clip(chroma / jnp.where(value > 0, value, 1) + more, 0, 1)
    # Each channel lies below the value by a share of the chroma that depends on the hue.
    shares = [
        jnp.where(grey, float(channel > 0), (value - plane) / jnp.where(grey, 1, chroma))
        for channel, plane in enumerate((red, green, blue))
    ]
    saturated = jnp.stack([value * (1 - saturation * share) for share in shares], axis=-1)
    return jnp.where(more == 0, image, clip_like(image, saturated))
