"""The cell alone: everything but the largest stained object is painted over.

`data.mask` does this to every picture when it is decoded. As an augmentation it happens to some
pictures, at some steps: `cell_mask(p=0.3)`. Both take the same steps, and the tests compare them.
"""

import math
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, Key

from bcjax.augment.colour import planes
from bcjax.augment.op import Argument, Op, in_turn

Number: TypeAlias = float | Float32[Array, ""]

# Lengths as fractions of the picture's shorter side, as in bcjax/data/input_transform.py.
_BLUR = 0.016  # sigma: closes the gaps between granules, and rounds the edge
_ERODE = 0.028  # radius: cuts off what only touches the cell
_DILATE = 0.042  # radius: gives back what was eroded, and the pale rim beyond


def cell_mask(
    key: Key[Array, ""],
    image: Float[Array, "H W C"],
    strength: Float32[Array, ""],
    hue_low: Number = 150.0,
    hue_high: Number = 244.0,
    saturation: Number = 36.0,
    value: Number = 40.0,
    background: Number = 255.0,
) -> Float[Array, "H W C"]:
    """Paints over everything but the largest stained object, the cell.

    A picture without a stained object, and one of one channel, stays as it is.

    Args:
      key: Unused: nothing is drawn.
      image: The picture, in 0..1.
      strength: The share of the background's colour in what is painted over.
      hue_low: The smallest hue of stain, 0 to 255.
      hue_high: The largest hue of stain, 0 to 255.
      saturation: The smallest saturation of stain, 0 to 255.
      value: The smallest value (of HSV) of stain, 0 to 255.
      background: The grey level that is painted, 0 to 255.
    """
    if image.shape[-1] == 1:
        return image

    def painted(image: Array, strength: Array, lowest: Array, hue_high: Array) -> Array:
        cell = find_cell(image, lowest, hue_high)
        share = jnp.where(cell | ~cell.any(), 0.0, strength)[..., None]
        mixed = image * (1 - share) + share * jnp.float32(background) / 255
        return jnp.where(share > 0, mixed, image).astype(image.dtype)

    def some(image: Array, strength: Array, lowest: Array, hue_high: Array) -> Array:
        return lax.cond(
            strength > 0, painted, lambda image, *_: image, image, strength, lowest, hue_high
        )

    lowest = jnp.stack([jnp.float32(each) for each in (hue_low, saturation, value)])
    return in_turn(some)(image, strength, lowest, jnp.float32(hue_high))


def find_cell(
    image: Float[Array, "H W 3"], lowest: Float32[Array, "3"], hue_high: Float32[Array, ""]
) -> Bool[Array, "H W"]:
    """Returns where the largest stained object is, with its holes filled.

    Args:
      image: The picture, in 0..1.
      lowest: The smallest hue, saturation and value of stain, 0 to 255.
      hue_high: The largest hue of stain, 0 to 255.
    """
    side = min(image.shape[:2])
    stained = _stained(image, lowest, hue_high)
    stained = _blurred(stained, max(_BLUR * side, 0.1)) > 127 / 255
    stained = ~_dilated(~stained, round(_ERODE * side))
    stained = _filled(_dilated(stained, round(_DILATE * side)))
    return _largest(stained)


def _stained(
    image: Float[Array, "H W 3"], lowest: Float32[Array, "3"], hue_high: Float32[Array, ""]
) -> Bool[Array, "H W"]:
    """Compares hue, saturation and value with their bounds, in OpenCV's 8-bit numbers."""
    red, green, blue = (jnp.round(plane * 255) for plane in planes(image.astype(jnp.float32)))
    value = jnp.maximum(red, jnp.maximum(green, blue))
    chroma = value - jnp.minimum(red, jnp.minimum(green, blue))
    slope = jnp.where(
        value == red,
        green - blue,
        jnp.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    hue = jnp.round(slope / jnp.maximum(chroma, 1) * (256 / 6)) % 256
    saturation = jnp.round(255 * chroma / jnp.maximum(value, 1))
    enough = jnp.stack([hue, saturation, value], axis=-1) >= lowest
    return enough.all(axis=-1) & (hue <= hue_high)


def _blurred(mask: Bool[Array, "H W"], sigma: float) -> Float32[Array, "H W"]:
    """Blurs by a Gaussian, mirrored at the border: two products with small matrices."""
    H, W = mask.shape
    return _blur_matrix(H, sigma) @ mask.astype(jnp.float32) @ _blur_matrix(W, sigma).T


def _blur_matrix(size: int, sigma: float) -> Float32[np.ndarray, "N N"]:
    reach = min(math.ceil(4 * sigma), size - 1)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    source = np.abs(np.arange(size)[:, None] + offsets)
    source = (size - 1) - np.abs((size - 1) - source)
    matrix = np.zeros((size, size), np.float32)
    np.add.at(matrix, (np.arange(size)[:, None], source), weights / weights.sum())
    return matrix


def _dilated(mask: Bool[Array, "H W"], radius: int) -> Bool[Array, "H W"]:
    """Returns the pixels that have a pixel of the mask within OpenCV's disc around them."""
    H, W = mask.shape
    padded = jnp.pad(mask.astype(jnp.int32), ((radius, radius), (radius + 1, radius)))
    before = jnp.cumsum(padded, axis=1)  # pixels of the mask to the left, and here
    found = jnp.zeros((H, W), jnp.int32)
    for down in range(-radius, radius + 1):
        half = round(math.sqrt(radius**2 - down**2))
        rows = before[radius + down : radius + down + H]
        first, last = radius - half, radius + half + 1
        found += rows[:, last : last + W] - rows[:, first : first + W]
    return found > 0


def _filled(mask: Bool[Array, "H W"]) -> Bool[Array, "H W"]:
    """Fills what the border of the picture cannot be reached from."""
    H, W = mask.shape
    row, column = jnp.arange(H)[:, None], jnp.arange(W)
    border = (row == 0) | (row == H - 1) | (column == 0) | (column == W - 1)
    outside = _spread((border & ~mask).astype(jnp.int32), ~mask)
    return outside == 0


def _largest(mask: Bool[Array, "H W"]) -> Bool[Array, "H W"]:
    """Returns the object with the most pixels; all False if there is none."""
    places = jnp.arange(1, mask.size + 1, dtype=jnp.int32).reshape(mask.shape)
    labels = _spread(jnp.where(mask, places, 0), mask)
    sizes = jnp.zeros(mask.size + 1, jnp.int32).at[labels.ravel()].add(1)
    return mask & (labels == sizes.at[0].set(0).argmax())


def _spread(values: Int32[Array, "H W"], open_: Bool[Array, "H W"]) -> Int32[Array, "H W"]:
    """Gives each connected set of open pixels the largest value in it; 0 elsewhere.

    Each pass carries the values along whole rows and columns, so that a set without bends takes two
    passes, whatever its size.
    """

    def join(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        value = jnp.where(right[1], jnp.maximum(left[0], right[0]), right[0])
        return value, left[1] & right[1]

    def once(values: Array) -> Array:
        for axis in (0, 1):
            for reverse in (False, True):
                values, _ = lax.associative_scan(join, (values, open_), reverse, axis)
                values = jnp.where(open_, values, 0)
        return values

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        values = once(state[0])
        return values, (values != state[0]).any()

    return lax.while_loop(lambda state: state[1], step, (values, jnp.bool_(True)))[0]


_EIGHT_BIT = "0 to 255"

OPS: dict[str, Op] = {
    "cell_mask": Op(
        cell_mask,
        Argument(1.0, 0.0, 1.0, "share of the background"),
        "exact",
        "as `data.mask`, for some of the pictures",
        options={
            "hue_low": Argument(150.0, 0.0, 255.0, _EIGHT_BIT),
            "hue_high": Argument(244.0, 0.0, 255.0, _EIGHT_BIT),
            "saturation": Argument(36.0, 0.0, 255.0, _EIGHT_BIT),
            "value": Argument(40.0, 0.0, 255.0, _EIGHT_BIT),
            "background": Argument(255.0, 0.0, 255.0, _EIGHT_BIT),
        },
    ),
}
