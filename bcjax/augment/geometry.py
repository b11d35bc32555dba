"""Affine ops: each gives a matrix, so that a list of them costs one interpolation.

A matrix, float32 (2, 3), says where in the picture each pixel of the result lies, in pixels from
the middle, x to the right and y down: (x', y') = matrix @ (x, y, 1). Hence what enlarges has small
numbers, and what moves to the right a negative one.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key

from bcjax.augment.op import Op, Range

Matrix = Float32[Array, "2 3"]
Strength = Float32[Array, ""]
Shape = tuple[int, int]  # height, width
_Number = float | Strength


def compose(first: Matrix, second: Matrix) -> Matrix:
    """Returns the matrix of `first`, then `second`."""
    # From the result back to the picture: through the second, then through the first. Not a matrix
    # product, which an accelerator may compute in fewer bits.
    product = (first[:, :2, None] * second[None]).sum(axis=1)
    return product.at[:, 2].add(first[:, 2])


def _matrix(
    a: _Number = 1, b: _Number = 0, c: _Number = 0, d: _Number = 0, e: _Number = 1, f: _Number = 0
) -> Matrix:
    numbers = [jnp.asarray(number, jnp.float32) for number in (a, b, c, d, e, f)]
    return jnp.stack(numbers).reshape(2, 3)


def flip(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Mirrors left-right and up-down, each with probability strength/2.

    At strength 1 the four layouts are equally likely, and are those of `dihedral.flip`.
    """
    x, y = jnp.where(jax.random.uniform(key, (2,)) < strength / 2, -1.0, 1.0)
    return _matrix(a=x, e=y)


def turn(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Turns by a quarter and by a half, each with probability strength/2.

    At strength 1 the four layouts are equally likely, and are those of `dihedral.turn`. A picture
    that is not square is never turned by a quarter: parts of it would have no room.
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
    """Moves along both axes, each evenly drawn from +-`strength` of that side."""
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
    """Shears rows against each other: by `strength` pixels per row, the upper to the right."""
    return _matrix(b=strength)


def shear_y(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Shears columns against each other: by `strength` pixels per column, the left down."""
    return _matrix(d=strength)


def scale(key: Key[Array, ""], strength: Strength, shape: Shape) -> Matrix:
    """Enlarges 2**strength times, about the middle; shrinks if negative."""
    step = jnp.exp2(-jnp.asarray(strength, jnp.float32))
    return _matrix(a=step, e=step)


def resized_crop(
    key: Key[Array, ""], strength: Strength, shape: Shape, aspect: _Number = 4 / 3
) -> Matrix:
    """Crops a rectangle at random, and enlarges it to the whole.

    Its area is evenly drawn from [1 - strength, 1] of the picture's, its place from all where it
    lies within.

    Args:
      key: Of the draw.
      strength: In [0, 1).
      shape: Of the picture.
      aspect: Its width to height, over the picture's, is log-evenly drawn from [1/aspect, aspect],
        and from less where the area leaves less room (others draw again, then give up the area).
    """
    height, width = shape
    share, ratio, x, y = jax.random.uniform(key, (4,), minval=-1.0)
    log_area = jnp.log1p(-strength * (share + 1) / 2)
    log_ratio = ratio * jnp.minimum(jnp.log(aspect), -log_area)
    across, down = jnp.exp((log_area + log_ratio) / 2), jnp.exp((log_area - log_ratio) / 2)
    return _matrix(a=across, c=x * (1 - across) * width / 2, e=down, f=y * (1 - down) * height / 2)


_CUBUK = "Cubuk et al., AutoAugment, CVPR 2019, arXiv:1805.09501"
_KRIZHEVSKY = "Krizhevsky et al., ImageNet classification, NeurIPS 2012, doi:10.1145/3065386"
_CIRESAN = "Ciresan et al., Deep big simple nets, 2010, arXiv:1003.0358"
_SZEGEDY = "Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv:1409.4842"
_VEELING = "Veeling et al., Rotation equivariant CNNs, MICCAI 2018, arXiv:1806.03962"

_SHIFT = Range(0.1, 0.0, 0.5, "share of the side")
_SHEAR = Range(0.1, 0.0, 1.0, "pixels per pixel")
_OFTEN = Range(1.0, 0.0, 1.0, "twice the probability of each")

OPS: dict[str, Op] = {
    "flip": Op(flip, _OFTEN, "exact", _KRIZHEVSKY, geometric=True),
    "turn": Op(turn, _OFTEN, "exact", _VEELING, geometric=True),
    "rotate": Op(
        rotate, Range(180.0, 0.0, 180.0, "degrees"), "signed", _CUBUK, geometric=True, full=30.0
    ),
    "translate": Op(translate, _SHIFT, "exact", _KRIZHEVSKY, geometric=True),
    "translate_x": Op(translate_x, _SHIFT, "signed", _CUBUK, geometric=True, full=0.45),
    "translate_y": Op(translate_y, _SHIFT, "signed", _CUBUK, geometric=True, full=0.45),
    "shear_x": Op(shear_x, _SHEAR, "signed", _CUBUK, geometric=True, full=0.3),
    "shear_y": Op(shear_y, _SHEAR, "signed", _CUBUK, geometric=True, full=0.3),
    "scale": Op(
        scale, Range(0.25, 0.0, 2.0, "log2 of the zoom"), "signed", _CIRESAN, geometric=True
    ),
    "resized_crop": Op(
        resized_crop,
        Range(0.5, 0.0, 0.95, "share of the area"),
        "exact",
        _SZEGEDY,
        geometric=True,
        options={"aspect": Range(4 / 3, 1.0, 4.0, "width to height")},
    ),
}
