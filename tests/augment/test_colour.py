import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cells import ANY, CELL, PICTURES, levels_apart
from PIL import Image, ImageEnhance, ImageOps
from skimage import color

from bcjax.augment import colour

KEY = jax.random.key(0)
OPS = {name: jax.jit(op.apply) for name, op in colour.OPS.items()}
by_products, by_writing = jax.jit(colour.equalise_by_products), jax.jit(colour.equalise_by_writing)


def applied(name, picture, strength):
    """Returns the 8-bit result on an 8-bit picture."""
    result = np.asarray(OPS[name](KEY, np.float32(picture) / 255, jnp.float32(strength)))
    return np.round(result * 255).astype(np.uint8)


@PICTURES
@pytest.mark.parametrize("strength", [-0.9, -0.3, 0.4, 0.9])
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_enhancing_agrees_with_pillow(name, reference, strength, picture):
    expected = reference(Image.fromarray(picture)).enhance(1 + strength)
    assert levels_apart(applied(name, picture, strength), expected) <= 1


@PICTURES
@pytest.mark.parametrize(
    ("name", "strength", "reference", "tolerance"),
    [
        ("grey", 1, lambda image: image.convert("L").convert("RGB"), 1),
        ("invert", 1, ImageOps.invert, 0),
        # Pillow inverts from its threshold on, bcjax above it.
        ("solarise", 0.5, lambda image: ImageOps.solarize(image, 128), 0),
        ("solarise", 0.25, lambda image: ImageOps.solarize(image, 192), 0),
        ("posterise", 1, lambda image: ImageOps.posterize(image, 7), 0),
        ("posterise", 4, lambda image: ImageOps.posterize(image, 4), 0),
        ("posterise", 7, lambda image: ImageOps.posterize(image, 1), 0),
        ("autocontrast", 1, ImageOps.autocontrast, 1),  # Pillow rounds down
        ("equalise", 1, ImageOps.equalize, 0),
    ],
)
def test_tones_agree_with_pillow(name, strength, reference, tolerance, picture):
    expected = reference(Image.fromarray(picture))
    assert levels_apart(applied(name, picture, strength), expected) <= tolerance


@PICTURES
@pytest.mark.parametrize("turns", [-0.5, -0.1, 0.05, 0.3])
def test_hue_agrees_with_the_standard_library(turns, picture):
    def turned(red, green, blue):
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        return colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)

    expected = [turned(*pixel) for pixel in picture.reshape(-1, 3) / 255]
    result = OPS["hue"](KEY, np.float32(picture) / 255, jnp.float32(turns))
    np.testing.assert_allclose(result.reshape(-1, 3), expected, atol=2e-6)


def test_a_whole_turn_of_the_hue_is_none():
    np.testing.assert_allclose(applied("hue", ANY, 1), ANY)


def test_gamma_is_a_power_of_the_light():
    light = np.linspace(0, 1, 24 * 24 * 3, dtype=np.float32).reshape(24, 24, 3)
    for strength, exponent in [(1, 2), (-1, 0.5), (0.5, np.sqrt(2))]:
        result = OPS["gamma"](KEY, light, jnp.float32(strength))
        np.testing.assert_allclose(result, light.astype(np.float64) ** exponent, atol=1e-6)


def test_without_saturation_a_picture_is_grey():
    grey = applied("saturation", ANY, -1)
    assert np.ptp(grey, axis=-1).max() == 0
    assert np.array_equal(grey, applied("grey", ANY, 1))


def test_without_contrast_a_picture_is_flat():
    assert np.ptp(applied("contrast", CELL, -1)) == 0


def test_the_negative_of_the_negative_is_the_picture():
    assert np.array_equal(applied("invert", applied("invert", ANY, 1), 1), ANY)


@pytest.mark.parametrize("bits", range(9))
def test_posterising_leaves_as_many_levels_as_bits_say(bits):
    every = np.resize(np.arange(256, dtype=np.uint8), ANY.shape)
    assert len(np.unique(applied("posterise", every, bits))) == 2 ** (8 - bits)


def test_stretched_channels_go_from_black_to_white_and_stay():
    once = OPS["autocontrast"](KEY, np.float32(CELL) / 255, jnp.float32(1))
    assert np.array_equal(once.min((0, 1)), [0, 0, 0])
    assert np.array_equal(once.max((0, 1)), [1, 1, 1])
    assert np.array_equal(OPS["autocontrast"](KEY, once, jnp.float32(1)), once)


@pytest.mark.parametrize("name", ["autocontrast", "equalise"])
def test_a_flat_channel_stays(name):
    picture = CELL.copy()
    picture[..., 1] = 70
    assert np.array_equal(applied(name, picture, 1)[..., 1], picture[..., 1])


def test_equalised_levels_are_as_frequent_as_one_another():
    def unevenness(picture):
        """The farthest that the share of darker pixels is from that of darker levels."""
        shares = np.searchsorted(np.sort(picture.reshape(-1, 3)[:, 1]), np.arange(256)) / 24**2
        return np.abs(shares - np.arange(256) / 255).max()

    assert unevenness(CELL) > 0.3
    assert unevenness(applied("equalise", CELL, 1)) < 0.12


@pytest.mark.parametrize("share", [0.3, 1])
@PICTURES
def test_counting_by_products_gives_the_same_picture(picture, share):
    """As a TPU does."""
    image, share = np.float32(picture) / 255, jnp.float32(share)
    np.testing.assert_allclose(by_products(image, share), by_writing(image, share), atol=1e-7)


def test_only_the_chosen_of_a_batch_are_equalised():
    images, shares = np.float32([CELL, ANY, CELL]) / 255, np.float32([0, 1, 1])
    mapped = jax.jit(jax.vmap(OPS["equalise"], in_axes=(None, 0, 0)))(KEY, images, shares)
    assert np.array_equal(mapped[0], images[0])
    for i in (1, 2):
        assert np.array_equal(mapped[i], OPS["equalise"](KEY, images[i], shares[i]))


# Stain

jitter = jax.jit(colour.stain_jitter)
DENSITIES = np.random.default_rng(0).uniform(0, 0.5, (16, 16, 3))  # of the dyes
SLIDE = (10 ** -(DENSITIES @ colour.ABSORBED)).astype(np.float32)


def drawn(seed, strength):
    """Returns a key with the alpha and beta that a jitter draws from it."""
    key = jax.random.key(seed)
    return key, strength * np.asarray(jax.random.uniform(key, (2, 3), minval=-1.0), np.float64)


@pytest.mark.parametrize("strength", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_the_density_of_each_dye_is_changed(seed, strength):
    key, (alpha, beta) = drawn(seed, strength)
    changed = DENSITIES * (1 + alpha) + beta
    expected = np.clip(10 ** -(changed @ colour.ABSORBED), 0, 1)
    np.testing.assert_allclose(jitter(key, SLIDE, jnp.float32(strength)), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_scikit_image(seed):
    """Which gives densities in units of 6, for light of a millionth is its darkest."""
    key, (alpha, beta) = drawn(seed, 0.1)
    expected = color.hed2rgb(color.rgb2hed(SLIDE) * (1 + alpha) + beta / 6)
    np.testing.assert_allclose(jitter(key, SLIDE, jnp.float32(0.1)), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_white_ground_stays_even_and_nearly_white(seed):
    ground = jitter(jax.random.key(seed), np.ones((16, 16, 3), np.float32), jnp.float32(0.05))
    assert np.ptp(ground, axis=(0, 1)).max() == 0
    # At worst 0.05 of each dye more: its optical density by what the dyes absorb of a colour.
    assert (ground[0, 0] >= 10 ** (-0.05 * colour.ABSORBED.sum(0)) - 1e-6).all()


def test_black_does_not_blow_up():
    black = np.zeros((16, 16, 3), np.float32)
    assert np.asarray(jitter(jax.random.key(0), black, jnp.float32(0.2))).max() < 0.05


def test_each_picture_is_stained_in_its_own_way():
    keys = jax.random.split(jax.random.key(0), 8)
    seen = jax.vmap(jitter, in_axes=(0, None, None))(keys, SLIDE, jnp.float32(0.05))
    assert len({np.asarray(picture).tobytes() for picture in seen}) == 8
