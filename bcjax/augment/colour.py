"""Operations on colours: light, contrast, tone, histogram, and the stain of the slide.

Each is a function of single pixels, or of a pixel and a figure of the whole picture, such as its
mean or its histogram. Brightness, contrast and saturation are blends, as in Pillow's ImageEnhance:
strength s stands for Pillow's factor 1 + s.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment.op import Argument, Op, in_turn

# What most operations are written with


def blend(
    image: Float[Array, "H W C"],
    other: Float[Array, "..."] | float,
    share: Float[Array, ""] | float,
) -> Float[Array, "H W C"]:
    """Returns the picture with a `share` of `other` in it: the picture itself, to the bit, at 0.

    Args:
      image: The picture, in 0..1.
      other: Another picture, or what broadcasts to one.
      share: 1 gives `other`; below 0 the result is farther from `other` than the picture was.
    """
    plain = image.astype(jnp.float32)
    return clip_like(image, plain + share * (other - plain))


def clip_like(image: Float[Array, "H W C"], result: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    """Returns `result` clipped to 0..1, in the dtype of `image`."""
    return jnp.clip(result, 0, 1).astype(image.dtype)


def planes(image: Float[Array, "H W C"]) -> list[Float[Array, "H W"]]:
    """Returns the channels in float32.

    What mixes channels is written as sums of planes, which the compiler turns into one pass over
    the picture. A product with a 3x3 matrix is a pass of its own, and slow for so small a matrix.
    """
    plain = image.astype(jnp.float32)
    return [plain[..., channel] for channel in range(image.shape[-1])]


# Light and colour


def luma(image: Float[Array, "H W C"]) -> Float[Array, "H W 1"]:
    """Returns the brightness after ITU-R BT.601, in float32; of one channel, the channel."""
    if image.shape[-1] == 1:
        return image.astype(jnp.float32)
    red, green, blue = planes(image)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[..., None]


def brightness(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Moves the picture away from black; at -1 it is black."""
    return blend(image, 0.0, -strength)


def contrast(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Moves the picture away from its mean luma; at -1 every pixel has that grey."""
    # From the 8-bit luma, as in Pillow: a sum of whole numbers is the same in any order, and the
    # order for one picture is not the order for many.
    levels = jnp.round(luma(image) * 255).astype(jnp.int32)
    return blend(image, levels.sum() / (255 * levels.size), -strength)


def saturation(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Moves each pixel away from its luma; at -1 the picture is grey."""
    return blend(image, luma(image), -strength)


def grey(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends each pixel with its luma; at 1 the picture is grey."""
    return blend(image, luma(image), strength)


def hue(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Turns the hue of HSV by `strength` turns; grey has no hue and stays grey."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = planes(image)
    value = jnp.maximum(red, jnp.maximum(green, blue))
    chroma = value - jnp.minimum(red, jnp.minimum(green, blue))
    is_red, is_green = value == red, value == green
    slope = jnp.where(is_red, green - blue, jnp.where(is_green, blue - red, red - green))
    sixths = jnp.where(is_red, 0, jnp.where(is_green, 2, 4)) + 6 * strength
    sixths += slope / jnp.where(chroma > 0, chroma, 1)
    turned = []
    # Back from HSV without its six cases: each channel is the largest for a third of the circle,
    # falls, and is the smallest for a third.
    for offset in (5, 3, 1):
        place = sixths + offset
        place -= 6 * jnp.floor(place / 6)
        turned.append(value - chroma * jnp.clip(jnp.minimum(place, 4 - place), 0, 1))
    return jnp.where(strength == 0, image, clip_like(image, jnp.stack(turned, axis=-1)))


def gamma(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Raises each value to the power 2 ** strength: 1 squares it, -1 takes the root."""
    # Many times faster on a CPU than `**`, which is not vectorised.
    powered = jnp.exp(jnp.exp2(strength) * jnp.log(image.astype(jnp.float32)))
    return jnp.where(strength == 0, image, clip_like(image, powered))


# Tone: each channel by itself


def invert(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends the picture with its negative."""
    return blend(image, 1 - image.astype(jnp.float32), strength)


def solarise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Inverts all values above 1 - strength.

    Pillow inverts values equal to the threshold too, but then white would be black at strength 0.
    """
    plain = image.astype(jnp.float32)
    return clip_like(image, jnp.where(plain > 1 - strength, 1 - plain, plain))


def posterise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Clears the last bits of the 8-bit value: as many as `strength`, rounded, says."""
    bits = jnp.round(strength).astype(jnp.int32)
    levels = jnp.round(image.astype(jnp.float32) * 255).astype(jnp.int32)
    return jnp.where(bits == 0, image, clip_like(image, (levels >> bits << bits) / 255))


def autocontrast(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends the picture with itself, each channel stretched to 0..1; a flat channel stays."""
    H, W, C = image.shape
    plain = image.astype(jnp.float32)
    # Along rows first, with a row as one long axis: channels are too short for fast loops.
    rows = plain.reshape(H, W * C)
    darkest = rows.min(0).reshape(W, C).min(0)
    span = rows.max(0).reshape(W, C).max(0) - darkest
    return blend(
        image,
        jnp.where(span > 0, (plain - darkest) / jnp.where(span > 0, span, 1), plain),
        strength,
    )


# Histogram equalisation

# Counting is the one operation here that costs much more than a pass over the pixels, and
# RandAugment chooses it for one picture in fourteen. So a CPU goes through the batch picture by
# picture and counts only where it must. An accelerator is slow at loops and counts for all pictures
# at once: a GPU by writing too, a TPU, which is slow at that, by products of matrices. Counts are
# whole numbers, so all three give the same picture.

Levels = Int32[Array, "H W C"]  # 0..255
LevelTable = Int32[Array, "C 256"]


def equalise(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Blends the picture with itself, its histogram flattened in each channel, as in Pillow."""
    return _equalise(image, jnp.asarray(strength, jnp.float32))


def equalise_by_writing(
    image: Float[Array, "H W C"], share: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Equalises; counts levels by adding to one bin after another."""
    channels = jnp.arange(image.shape[-1])

    def count(levels: Levels) -> LevelTable:
        bins = jnp.zeros((len(channels), 256), jnp.int32)
        return bins.at[channels, levels].add(1, mode="promise_in_bounds")

    def look_up(table: LevelTable, levels: Levels) -> Levels:
        # The table is increasing, so `cummax` changes nothing but the speed: without it the
        # compiler would compute an entry anew for each pixel, division included.
        table = lax.cummax(table, axis=1)
        return table.at[channels, levels].get(mode="promise_in_bounds")

    return _equalised(image, share, count, look_up)


def equalise_by_products(
    image: Float[Array, "H W C"], share: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Equalises; counts levels by one product of matrices per channel.

    A level is a number of two digits in base 16, and the pixels are counted in a table of 16x16:
    the sum of (one-hot first digit) x (one-hot second digit). Factors up to 256 are exact in any
    precision.
    """

    def digits(levels: Levels) -> tuple[Array, Array]:
        return jax.nn.one_hot(levels // 16, 16), jax.nn.one_hot(levels % 16, 16)

    def count(levels: Levels) -> LevelTable:
        counts = jnp.einsum("hwca,hwcb->cab", *digits(levels))
        return counts.reshape(-1, 256).astype(jnp.int32)

    def look_up(table: LevelTable, levels: Levels) -> Levels:
        first, second = digits(levels)
        rows = jnp.einsum("hwca,cab->hwcb", first, table.reshape(-1, 16, 16).astype(jnp.float32))
        return (rows * second).sum(-1).astype(jnp.int32)

    return _equalised(image, share, count, look_up)


def _equalised(
    image: Float[Array, "H W C"],
    share: Float[Array, ""],
    count: Callable[[Levels], LevelTable],
    look_up: Callable[[LevelTable, Levels], Levels],
) -> Float[Array, "H W C"]:
    levels = jnp.round(image.astype(jnp.float32) * 255).astype(jnp.int32)
    counts = count(levels)
    brightest = 255 - jnp.argmax(counts[:, ::-1] > 0, axis=1, keepdims=True)
    bins = jnp.arange(256)
    step = jnp.where(bins < brightest, counts, 0).sum(1, keepdims=True) // 255
    darker = jnp.cumsum(counts, axis=1) - counts
    table = jnp.minimum((darker + step // 2) // jnp.maximum(step, 1), 255)
    table = jnp.where(step > 0, table, bins)  # fewer than 255 pixels below the brightest level
    return blend(image, look_up(table, levels) / 255, share)


def _where_wanted(image: Float[Array, "H W C"], share: Float[Array, ""]) -> Float[Array, "H W C"]:
    return lax.cond(share != 0, equalise_by_writing, lambda image, _: image, image, share)


def _on_accelerators(
    image: Float[Array, "H W C"], share: Float[Array, ""]
) -> Float[Array, "H W C"]:
    return lax.platform_dependent(
        image, share, tpu=equalise_by_products, default=equalise_by_writing
    )


_equalise = in_turn(_where_wanted, at_once=_on_accelerators)


# Stain

# How much red, green and blue light haematoxylin, eosin and DAB absorb, a dye in each row: Ruifrok
# and Johnston 2001, "Quantification of histochemical staining by color deconvolution".
ABSORBED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_DYES = np.linalg.inv(ABSORBED)  # optical density of RGB to that of the dyes

_DARKEST = 1 / 255  # what an 8-bit camera tells from black; black has no optical density


def stain_jitter(
    key: Key[Array, ""], image: Float[Array, "H W 3"], strength: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """Changes the density c of each dye to c * (1 + alpha) + beta, as stains differ.

    For each dye, alpha and beta are drawn evenly from [-strength, strength]. Densities are optical,
    to base 10: at density 1 a tenth of the light comes through. A grey picture stays unchanged.
    """
    if image.shape[-1] == 1:
        return image
    alpha, beta = strength * jax.random.uniform(key, (6,), minval=-1.0).reshape(2, 3)
    # To dyes, the change, and back to light is linear in the logarithm of the light: one matrix.
    change = (_DYES[:, :, None] * alpha[:, None] * ABSORBED).sum(1)
    shift = -np.log(10) * (beta[:, None] * ABSORBED).sum(0)
    light = [jnp.log(jnp.maximum(plane, _DARKEST)) for plane in planes(image)]
    jittered = [
        jnp.exp(shift[c] + light[c] + sum(change[d, c] * light[d] for d in range(3)))
        for c in range(3)
    ]
    return jnp.where(strength == 0, image, clip_like(image, jnp.stack(jittered, axis=-1)))


_RANDAUGMENT = "Cubuk et al., RandAugment, NeurIPS 2020, arXiv:1909.13719"
_CHEN = "Chen et al., SimCLR, ICML 2020, arXiv:2002.05709"
_ISENSEE = "Isensee et al., nnU-Net, Nature Methods 2021, doi:10.1038/s41592-020-01008-z"
_AUTOAUGMENT = "Cubuk et al., AutoAugment, CVPR 2019, arXiv:1805.09501"
_SHARE = Argument(1, 0, 1, "share")
_AWAY = Argument(0.2, 0, 1, "change of the factor")

OPS: dict[str, Op] = {
    "brightness": Op(brightness, _AWAY, "signed", _RANDAUGMENT, full=0.9),
    "contrast": Op(contrast, _AWAY, "signed", _RANDAUGMENT, full=0.9),
    "saturation": Op(saturation, _AWAY, "signed", _RANDAUGMENT, full=0.9),
    "hue": Op(hue, Argument(0.05, 0, 0.5, "turns"), "signed", _CHEN, full=0.1),
    "gamma": Op(
        gamma, Argument(0.3, 0, 3, "doublings of the exponent"), "signed", _ISENSEE, full=1
    ),
    "grey": Op(grey, Argument(1, 0, 1, "share"), "share", _CHEN, full=1),
    "invert": Op(invert, _SHARE, "share", _AUTOAUGMENT, full=1),
    "solarise": Op(solarise, Argument(0.5, 0, 1, "1 - threshold"), "exact", _AUTOAUGMENT, full=1),
    "posterise": Op(posterise, Argument(4, 0, 8, "bits"), "exact", _AUTOAUGMENT, full=4),
    "autocontrast": Op(autocontrast, _SHARE, "share", _AUTOAUGMENT, full=1),
    "equalise": Op(equalise, _SHARE, "share", _AUTOAUGMENT, full=1),
    "stain_jitter": Op(
        stain_jitter,
        Argument(0.05, 0, 1, "optical density, and share of it"),
        "exact",
        "Tellez et al., Quantifying the effects of augmentation, MedIA 2019, arXiv:1902.06543",
        full=0.2,
    ),
}
