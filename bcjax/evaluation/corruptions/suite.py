"""The suite: the corruptions by name, and how strong each is at five severities."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, UInt8

from bcjax.augment import colour, filters
from bcjax.evaluation.corruptions.camera import (
    defocus_blur,
    motion_blur,
    pixelate,
    saturate,
)
from bcjax.evaluation.corruptions.slide import bubble, stain_deposit

SEVERITIES = (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A corruption of one float picture in 0..1, (H, W, 3).

    Attributes:
      apply: The pure function `(key, image, *numbers) -> image`.
      numbers: Its numbers at severity 0, which leaves the picture as it is, and at 1 to 5.
    """

    apply: Callable
    numbers: tuple[tuple[float, ...], ...]


def _brightness(
    key: Key[Array, ""], image: Float[Array, "H W 3"], factor: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    return colour.brightness(key, image, factor - 1)


def _contrast(
    key: Key[Array, ""], image: Float[Array, "H W 3"], factor: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    return colour.contrast(key, image, factor - 1)


def _jpeg(
    key: Key[Array, ""], image: Float[Array, "H W 3"], quality: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    return filters.jpeg(key, image, 1 - quality / 100)


def _of(apply: Callable, *numbers: float) -> Corruption:
    return Corruption(apply, tuple((number,) for number in numbers))


# In MedMNIST-C's order, with its numbers, except for the size of the deposits and for jpeg, whose
# chroma keeps its full resolution and whose blocks have 8 pixels, whatever the picture's size.
CORRUPTIONS: dict[str, Corruption] = {
    "pixelate": _of(pixelate, 1, 0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": _of(_jpeg, 100, 50, 30, 15, 10, 7),
    "defocus_blur": _of(defocus_blur, 0, 2, 3, 4, 5, 6),
    "motion_blur": Corruption(motion_blur, ((0, 0), (3, 3), (5, 5), (10, 5), (10, 7), (10, 9))),
    "brightness_up": _of(_brightness, 1, 1.1, 1.2, 1.3, 1.35, 1.4),
    "brightness_down": _of(_brightness, 1, 0.9, 0.8, 0.7, 0.6, 0.5),
    "contrast_up": _of(_contrast, 1, 1.1, 1.15, 1.2, 1.25, 1.3),
    "contrast_down": _of(_contrast, 1, 0.9, 0.8, 0.7, 0.6, 0.5),
    "saturate": _of(saturate, 0, 0.05, 0.1, 0.15, 0.17, 0.2),
    "stain_deposit": Corruption(
        stain_deposit, ((0, 1), (1, 1), (2, 1), (3, 1), (3, 1.2), (3, 1.4))
    ),
    "bubble": Corruption(bubble, ((3, 0), (5, 10), (7, 10), (10, 10), (12, 12), (15, 12))),
}


@functools.partial(jax.jit, static_argnames="name")
def corrupt(
    name: str,
    pixels: UInt8[Array, "B H W 3"],
    index: Int32[Array, "B"],
    severity: Int32[Array, ""] | int,
    seed: Int32[Array, ""] | int = 0,
) -> UInt8[Array, "B H W 3"]:
    """Corrupts pictures, each in the same way whatever batch it is in.

    Args:
      name: Name of the corruption; each is compiled once for all severities.
      pixels: The pictures, uint8.
      index: Position of each picture in its split. With the seed it gives the random key; a
        picture's draws are the same at all severities.
      severity: 0 (the picture as it is) to 5.
      seed: Seed of the suite.
    """
    corruption = CORRUPTIONS[name]
    own = jax.random.fold_in(jax.random.key(seed), list(CORRUPTIONS).index(name))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(own, index)
    numbers = jnp.asarray(corruption.numbers, jnp.float32)[severity]
    images = pixels.astype(jnp.float32) / 255
    images = jax.vmap(lambda key, image: corruption.apply(key, image, *numbers))(keys, images)
    return jnp.round(images * 255).astype(jnp.uint8)
