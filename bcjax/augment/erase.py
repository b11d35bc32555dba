"""Erasing: parts of a picture are hidden, so that a network learns to look at all of it.

Hidden pixels take the picture's mean colour, which says nothing about the place (the papers erase
after normalisation, where 0 is the mean colour of all pictures).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Key

from bcjax.augment.geometry import from_middle
from bcjax.augment.op import Argument, Op

# The range of GridMask's period, as share of the picture's side: 96 to 224 pixels of 224.
GRID_PERIOD = (96 / 224, 1.0)


def erase(image: Float[Array, "H W C"], hidden: Bool[Array, "H W"]) -> Float[Array, "H W C"]:
    """Gives the hidden pixels the picture's mean colour."""
    mean = image.mean(axis=(0, 1), dtype=jnp.float32).astype(image.dtype)
    return jnp.where(hidden[..., None], mean, image)


def cutout(
    key: Key[Array, ""],
    image: Float[Array, "H W C"],
    strength: Float32[Array, ""],
    aspect: float | Float32[Array, ""] = 1.0,
) -> Float[Array, "H W C"]:
    """Hides a rectangle that lies anywhere within the picture.

    Args:
      key: The key of all draws.
      image: The picture, in 0..1.
      strength: The rectangle's share of the area, kept to within half a row of pixels.
      aspect: The rectangle's ratio of width to height, relative to the picture's, is drawn from
        [1/aspect, aspect], evenly in its logarithm, and from a smaller range where a rectangle of
        that area would not fit.
    """
    H, W, _ = image.shape
    ratio, top, left = jax.random.uniform(key, (3,))
    log_ratio = (2 * ratio - 1) * jnp.minimum(jnp.log(aspect), -jnp.log(strength))
    # In whole pixels: first the height, then the width that fits and comes nearest to the area.
    height = jnp.round(H * jnp.sqrt(strength) * jnp.exp(-log_ratio / 2))
    area = strength * H * W
    height = jnp.minimum(height, jnp.floor(area))  # so that the width is at least one pixel
    height = jnp.clip(height, jnp.maximum(jnp.ceil(strength * H), 1), H)
    width = jnp.round(area / height)
    top, left = jnp.floor(top * (H - height + 1)), jnp.floor(left * (W - width + 1))
    row, column = jnp.arange(H)[:, None], jnp.arange(W)
    rows = (row >= top) & (row < top + height)
    return erase(image, rows & (column >= left) & (column < left + width))


def grid_mask(
    key: Key[Array, ""],
    image: Float[Array, "H W C"],
    strength: Float32[Array, ""],
    ratio: float | Float32[Array, ""] = 0.6,
    rotate: float | Float32[Array, ""] = 360.0,
) -> Float[Array, "H W C"]:
    """Hides the squares between the bars of a grid, turned and moved at random.

    Each pixel is kept with probability 1 - strength * (1 - ratio)**2, so that on average over the
    grid's places this share of the picture is kept.

    Args:
      key: The key of all draws.
      image: The picture, in 0..1.
      strength: The share of the area between the bars that is hidden; the paper hides all of it, 1.
      ratio: The ratio of a bar's breadth to the grid's period, the paper's r.
      rotate: The largest angle by which the grid is turned, in degrees.
    """
    H, W, _ = image.shape
    period, angle, across, down = jax.random.uniform(key, (4,))
    period = min(H, W) * (GRID_PERIOD[0] + (GRID_PERIOD[1] - GRID_PERIOD[0]) * period)
    angle = jnp.deg2rad(rotate * angle)
    cos, sin = jnp.cos(angle) / period, jnp.sin(angle) / period
    x, y = from_middle(H, W)
    square = jnp.sqrt(strength) * (1 - ratio)  # its side, in periods
    hidden_across = (cos * x - sin * y + across) % 1 < square
    hidden_down = (sin * x + cos * y + down) % 1 < square
    return erase(image, hidden_across & hidden_down)


_AREA = "share of the area"
_ASPECT = "width to height"

OPS: dict[str, Op] = {
    "cutout": Op(
        cutout,
        Argument(0.25, 0.0, 0.9, _AREA),
        "exact",
        "DeVries and Taylor, Cutout, 2017, arXiv:1708.04552",
        options={"aspect": Argument(1.0, 1.0, 10.0, _ASPECT)},
    ),
    "random_erasing": Op(
        cutout,
        Argument(1 / 3, 0.0, 0.9, _AREA),
        "up_to",
        "Zhong et al., Random erasing, AAAI 2020, arXiv:1708.04896",
        options={"aspect": Argument(10 / 3, 1.0, 10.0, _ASPECT)},
    ),
    "grid_mask": Op(
        grid_mask,
        Argument(1.0, 0.0, 1.0, "share of the squares"),
        "exact",
        "Chen et al., GridMask, 2020, arXiv:2001.04086",
        options={
            "ratio": Argument(0.6, 0.0, 1.0, "share of the period"),
            "rotate": Argument(360.0, 0.0, 360.0, "degrees"),
        },
    ),
}
