"""Looking a picture up at other places: the one interpolation that every warp ends in."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32


def warp(image: Float[Array, "H W C"], matrix: Float32[Array, "2 3"]) -> Float[Array, "H W C"]:
    """Moves a picture by an affine matrix, bilinearly.

    Outside the picture lies its mirror image, as often as it takes, the edge not repeated
    (d c b | a b c d | c b a): no border arises that a network could learn to look for. Where the
    matrix leads from pixel to pixel (the identity, flips, quarter turns of a square) the result is
    exact, to the bit. Shrinking is not smoothed, as in AutoAugment.

    Args:
      image: float32 or bfloat16; interpolated in float32.
      matrix: Where in the picture each pixel of the result lies, in pixels from the middle.

    Returns:
      The moved picture, of the same dtype, within the values of `image`.
    """
    columns, rows = from_middle(*image.shape[:2])
    # Not a matrix product, which an accelerator may compute in fewer bits.
    x, y = (a * columns + b * rows + c for a, b, c in matrix)
    return sample(image, x, y)


def from_middle(height: int, width: int) -> tuple[Float32[Array, "1 W"], Float32[Array, "H 1"]]:
    """Returns the place of each column, and of each row, in pixels from the picture's middle."""
    x = jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2
    y = jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2
    return x[None, :], y[:, None]


def sample(
    image: Float[Array, "H W C"], x: Float32[Array, "h w"], y: Float32[Array, "h w"]
) -> Float[Array, "h w C"]:
    """Returns the picture's colours at places given in pixels from its middle; see `warp`."""
    H, W, _ = image.shape
    left, right, to_right = _neighbours(x, W)
    upper, lower, to_lower = _neighbours(y, H)
    above = _between(image[upper, left], image[upper, right], to_right)
    below = _between(image[lower, left], image[lower, right], to_right)
    return _between(above, below, to_lower).astype(image.dtype)


def _neighbours(
    place: Float32[Array, "h w"], size: int
) -> tuple[Int32[Array, "h w"], Int32[Array, "h w"], Float32[Array, "h w 1"]]:
    """Returns the two pixels that a place lies between, and its distance from the first."""
    last = size - 1
    period = max(2 * last, 1)
    place = place + last / 2
    # The distance to the nearest even multiple of `last` is the mirrored place.
    place = jnp.minimum(jnp.abs(place - period * jnp.round(place / period)), last)
    first = place.astype(jnp.int32)  # rounds down: no place is negative
    return first, jnp.minimum(first + 1, last), (place - first)[..., None]


def _between(
    start: Float[Array, "h w C"], end: Float[Array, "h w C"], share: Float32[Array, "h w 1"]
) -> Float32[Array, "h w C"]:
    # Exact at 0 and 1, and never beyond its ends, unlike start + share * (end - start).
    return start * (1 - share) + end * share
