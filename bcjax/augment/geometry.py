"""Operations that move pixels: affine ones, flips and turns, elastic warps, turned quadrants.

An affine operation gives a matrix, so that a list of them costs one interpolation. A matrix,
float32 (2, 3), says where in the picture each pixel of the result lies, in pixels from the middle,
x to the right and y down: (x', y') = matrix @ (x, y, 1). So a matrix that enlarges has small
numbers, and one that moves the picture to the right has a negative shift.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32, Key, Shaped

from bcjax.augment.op import Argument, Op

Matrix = Float32[Array, "2 3"]
Strength = Float32[Array, ""]
Shape = tuple[int, int]  # height, width
Number = float | Strength


def warp(image: Float[Array, "H W C"], matrix: Matrix) -> Float[Array, "H W C"]:
    """Moves a picture by an affine matrix, with bilinear interpolation.

    Outside the picture lies its mirror image, repeated as often as needed, without a second copy
    of the edge (d c b | a b c d | c b a): there is no border that a network could learn to look
    for. Where the matrix leads from pixel to pixel (the identity, flips, quarter turns of a square)
    the result is exact, to the bit. Shrinking is not smoothed, as in AutoAugment.

    Args:
      image: A float32 or bfloat16 picture; the interpolation is in float32.
      matrix: Where in the picture each pixel of the result lies, in pixels from the middle.

    Returns:
      The moved picture, of the same dtype, within the range of values of `image`.
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


# Affine operations


def compose(first: Matrix, second: Matrix) -> Matrix:
    """Returns the matrix that moves a picture by `first`, and then by `second`."""
    # From the result back to the picture: through the second, then through the first. Not a matrix
    # product, which an accelerator may compute in fewer bits.
    product = (first[:, :2, None] * second[None]).sum(axis=1)
    return product.at[:, 2].add(first[:, 2])


def _matrix(
    a: Number = 1, b: Number = 0, c: Number = 0, d: Number = 0, e: Number = 1, f: Number = 0
) -> Matrix:
    numbers = [jnp.asarray(number, jnp.float32) for number in (a, b, c, d, e, f)]
    return jnp.stack(numbers).reshape(2, 3)


def flip(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Mirrors left-right and up-down, each with probability strength/2.

    At strength 1 the four layouts are equally likely, and are those of `flip_pixels`.
    """
    x, y = jnp.where(jax.random.uniform(key, (2,)) < strength / 2, -1.0, 1.0)
    return _matrix(a=x, e=y)


def turn(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Turns by a quarter and by a half, each with probability strength/2.

    At strength 1 the four layouts are equally likely, and are those of `turn_pixels`. A picture
    that is not square is never turned by a quarter: parts of it would not fit.
    """
    height, width = shape
    quarter, half = jax.random.uniform(key, (2,)) < strength / 2
    quarter &= height == width
    sign = jnp.where(half, -1.0, 1.0)
    straight, across = jnp.where(quarter, 0.0, sign), jnp.where(quarter, sign, 0.0)
    return _matrix(a=straight, b=across, d=-across, e=straight)


def rotate(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Rotates anticlockwise, about the middle, by `strength` degrees."""
    angle = jnp.deg2rad(strength)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _matrix(a=cos, b=-sin, d=sin, e=cos)


def translate(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Moves along both axes by shifts drawn evenly from +-`strength` of the side."""
    height, width = shape
    x, y = strength * jax.random.uniform(key, (2,), minval=-1.0)
    return _matrix(c=-x * width, f=-y * height)


def translate_x(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Moves to the right by `strength` of the width."""
    return _matrix(c=-strength * shape[1])


def translate_y(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Moves down by `strength` of the height."""
    return _matrix(f=-strength * shape[0])


def shear_x(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Shears rows against each other by `strength` pixels per row, the upper rows to the right."""
    return _matrix(b=strength)


def shear_y(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Shears columns against each other by `strength` pixels per column, the left ones down."""
    return _matrix(d=strength)


def scale(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Enlarges 2**strength times, about the middle; shrinks if negative."""
    step = jnp.exp2(-jnp.asarray(strength, jnp.float32))
    return _matrix(a=step, e=step)


def resized_crop(
    key: Key[Array, ""], strength: Strength, shape: Shape, aspect: Number = 4 / 3
) -> Matrix:
    """Crops a random rectangle and enlarges it to the size of the picture.

    The area is drawn evenly from [1 - strength, 1] of the picture's area, the place evenly from all
    places within the picture.

    Args:
      key: The key of all draws.
      strength: The largest share of the area that is cut away, in [0, 1).
      shape: Height and width of the picture.
      aspect: The rectangle's ratio of width to height, relative to the picture's, is drawn from
        [1/aspect, aspect], evenly in its logarithm, and from a smaller range where the area needs
        it (other libraries draw again, and in the end give up the area).
    """
    height, width = shape
    share, ratio, x, y = jax.random.uniform(key, (4,), minval=-1.0)
    log_area = jnp.log1p(-strength * (share + 1) / 2)
    log_ratio = ratio * jnp.minimum(jnp.log(aspect), -log_area)
    across, down = jnp.exp((log_area + log_ratio) / 2), jnp.exp((log_area - log_ratio) / 2)
    return _matrix(a=across, c=x * (1 - across) * width / 2, e=down, f=y * (1 - down) * height / 2)


# Flips and turns without interpolation


def flip_pixels(key: Key[Array, ""], image: Shaped[Array, "H W C"]) -> Shaped[Array, "H W C"]:
    """Mirrors left-right with probability 1/2, and up-down with probability 1/2.

    A smear has no up and no left, so all results are equally good pictures of the same cell.
    """
    left_right, up_down = jax.random.bernoulli(key, shape=(2,))
    image = jnp.where(left_right, image[:, ::-1], image)
    return jnp.where(up_down, image[::-1], image)


def turn_pixels(key: Key[Array, ""], image: Shaped[Array, "H W C"]) -> Shaped[Array, "H W C"]:
    """Turns a square picture by 0, 90, 180 or 270 degrees, with probability 1/4 each.

    A picture that is not square is turned by 0 or 180 degrees, with probability 1/2 each.
    """
    quarter, half = jax.random.bernoulli(key, shape=(2,))
    # Two selects instead of a switch over four pictures: a half turn, then a quarter turn.
    image = jnp.where(half, image[::-1, ::-1], image)
    if image.shape[0] != image.shape[1]:
        return image
    return jnp.where(quarter, image.swapaxes(0, 1)[:, ::-1], image)


# What needs no interpolation where nothing else moves the pixels: each is the same as the matrix
# of that name at strength 1.
EXACT = {"flip": flip_pixels, "turn": turn_pixels}


# Operations that are no matrix

ELASTIC_CELLS = 4  # cells of the coarse grid along each side


def elastic(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Strength
) -> Float[Array, "H W C"]:
    """Moves each pixel a little, and its neighbours nearly alike: a cell in a smear is soft.

    The displacement is a cubic B-spline over a grid of `ELASTIC_CELLS` x `ELASTIC_CELLS` cells,
    whose coefficients are drawn evenly from +-`strength` of the side: no pixel moves further along
    an axis. Up to 0.48 of a cell no part of the picture is folded over another (Choi and Lee,
    Graphical Models 2000, doi:10.1006/gmod.2000.0531), which sets the highest magnitude.
    """
    H, W, _ = image.shape
    # Drawn in one row: XLA takes seven times as long to compile a draw in the final shape.
    drawn = jax.random.uniform(key, (2 * (ELASTIC_CELLS + 3) ** 2,), minval=-1.0)
    coefficients = drawn.reshape(2, ELASTIC_CELLS + 3, ELASTIC_CELLS + 3)
    rows, columns = jnp.asarray(spline_basis(H)), jnp.asarray(spline_basis(W))
    # In full precision: an accelerator's matrix unit may use bfloat16, and the field be rough.
    field = jnp.einsum("hi,aij,wj->ahw", rows, coefficients, columns, precision="highest")
    across, down = strength * field
    x, y = from_middle(H, W)
    return sample(image, x + W * across, y + H * down)


def spline_basis(size: int) -> Float32[np.ndarray, "size coefficients"]:
    """Returns the weight of each spline coefficient at each pixel; each row sums to 1."""
    place = (np.arange(size) + 0.5) / size * ELASTIC_CELLS
    distance = np.abs(place[:, None] - np.arange(-1, ELASTIC_CELLS + 2))
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def quadrants(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Strength
) -> Float[Array, "H W C"]:
    """Turns each quadrant by a quarter and by a half, each with probability strength/2.

    Texture stays, shape goes. At strength 1 the four orientations of each quadrant are equally
    likely. No pixel is lost or changed. The middle row and column of an odd side stay where they
    are; quadrants that are not square are turned by a half only.
    """
    H, W, _ = image.shape
    h, w = H // 2, W // 2
    drawn = jax.random.uniform(key, (8,)).reshape(4, 2) < strength / 2
    corners = [(y, x) for y in (slice(h), slice(H - h, H)) for x in (slice(w), slice(W - w, W))]
    for corner, (quarter, half) in zip(corners, drawn, strict=True):
        part = image[corner]
        part = jnp.where(half, part[::-1, ::-1], part)
        if h == w:
            part = jnp.where(quarter, part.swapaxes(0, 1)[:, ::-1], part)
        image = image.at[corner].set(part)
    return image


_CUBUK = "Cubuk et al., AutoAugment, CVPR 2019, arXiv:1805.09501"
_KRIZHEVSKY = "Krizhevsky et al., ImageNet classification, NeurIPS 2012, doi:10.1145/3065386"
_CIRESAN = "Ciresan et al., Deep big simple nets, 2010, arXiv:1003.0358"
_SZEGEDY = "Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv:1409.4842"
_VEELING = "Veeling et al., Rotation equivariant CNNs, MICCAI 2018, arXiv:1806.03962"

_SHIFT = Argument(0.1, 0.0, 0.5, "share of the side")
_SHEAR = Argument(0.1, 0.0, 1.0, "pixels per pixel")
_OFTEN = Argument(1.0, 0.0, 1.0, "twice the probability of each")

OPS: dict[str, Op] = {
    "flip": Op(flip, _OFTEN, "exact", _KRIZHEVSKY, geometric=True),
    "turn": Op(turn, _OFTEN, "exact", _VEELING, geometric=True),
    "rotate": Op(
        rotate, Argument(180.0, 0.0, 180.0, "degrees"), "signed", _CUBUK, geometric=True, full=30.0
    ),
    "translate": Op(translate, _SHIFT, "exact", _KRIZHEVSKY, geometric=True),
    "translate_x": Op(translate_x, _SHIFT, "signed", _CUBUK, geometric=True, full=0.45),
    "translate_y": Op(translate_y, _SHIFT, "signed", _CUBUK, geometric=True, full=0.45),
    "shear_x": Op(shear_x, _SHEAR, "signed", _CUBUK, geometric=True, full=0.3),
    "shear_y": Op(shear_y, _SHEAR, "signed", _CUBUK, geometric=True, full=0.3),
    "scale": Op(
        scale, Argument(0.25, 0.0, 2.0, "log2 of the zoom"), "signed", _CIRESAN, geometric=True
    ),
    "resized_crop": Op(
        resized_crop,
        Argument(0.5, 0.0, 0.95, "share of the area"),
        "exact",
        _SZEGEDY,
        geometric=True,
        options={"aspect": Argument(4 / 3, 1.0, 4.0, "width to height")},
    ),
    "elastic": Op(
        elastic,
        Argument(0.05, 0.0, 0.48 / ELASTIC_CELLS, "share of the side"),
        "exact",
        "Simard et al., Best practices for CNNs, ICDAR 2003, doi:10.1109/ICDAR.2003.1227801; "
        "coarse grid: Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597",
    ),
    "quadrants": Op(
        quadrants,
        _OFTEN,
        "exact",
        "Moon et al., Localizable rotation, ECCV 2022, arXiv:2207.10023 (there of one quadrant)",
    ),
}
