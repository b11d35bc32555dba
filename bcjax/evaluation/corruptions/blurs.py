"""Blurs of the microscope: out of focus, and moved while the shutter was open.

Each is a sum of shifted pictures. Where they lie is said in pixels of a picture of 224, the
reference's; between the pixels of another size the shifts are interpolated.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment.colour import clip_like
from bcjax.augment.op import in_turn

SIDE = 224  # of the pictures that MedMNIST-C corrupts
DISC = 6  # radius of the widest one, in pixels of those
PATH = 20  # the longest way that the stage moves, likewise


def defocus_blur(
    key: Key[Array, ""], image: Float[Array, "H W 3"], radius: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """The mean over a disc of that radius (Hendrycks and Dietterich 2019), mirrored at the border.

    The reference smooths the disc by a Gaussian of a tenth of a pixel: by nothing.
    """
    place = jnp.arange(-DISC, DISC + 1)
    disc = (place[:, None] ** 2 + place**2 <= radius**2).astype(jnp.float32)
    onto = _onto(min(image.shape[:2]) / SIDE)
    kernel = jnp.einsum("yi,ij,xj->yx", onto, disc, onto, precision="highest")
    kernel /= kernel.sum()
    return in_turn(_averaged)(image, jnp.where(radius == 0, _alone(len(onto)), kernel))


def _onto(scale: float) -> np.ndarray:
    """Each shift's share in the shifts by whole pixels of a smaller or larger picture."""
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
    """A comet's tail of 2 * `radius` pixels, at up to 45 degrees from the rows, as ImageMagick's.

    Pixels along the way weigh as one side of a Gaussian of deviation `sigma`. Beyond the border
    lies its last pixel.
    """
    angle = jnp.deg2rad(jax.random.uniform(key, minval=-45.0, maxval=45.0))
    taps = jnp.arange(PATH + 1)
    weights = jnp.exp(-(taps**2) / (2 * jnp.maximum(sigma, 1e-3) ** 2))
    weights = jnp.where(taps <= 2 * radius, weights, 0)
    # To whole pixels of the reference's picture, halves towards zero and up as ImageMagick's.
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
