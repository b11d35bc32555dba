import io

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from cells import ANY, CELL, PICTURES, levels_apart
from PIL import Image, ImageEnhance

from bcjax.augment import filters

KEY = jax.random.key(0)
OPS = {name: jax.jit(op.apply) for name, op in filters.OPS.items()}


def applied(name, picture, strength, key=KEY):
    return np.asarray(OPS[name](key, np.float32(picture) / 255, jnp.float32(strength)))


@PICTURES
@pytest.mark.parametrize("strength", [-0.9, -0.3, 0.4, 0.9])
def test_sharpness_agrees_with_pillow_and_keeps_the_border(strength, picture):
    expected = ImageEnhance.Sharpness(Image.fromarray(picture)).enhance(1 + strength)
    result = applied("sharpness", picture, strength)
    assert levels_apart(np.round(result * 255), expected) <= 1
    border = np.pad(np.zeros((22, 22), bool), 1, constant_values=True)
    assert np.array_equal(result[border], (np.float32(picture) / 255)[border])


@PICTURES
@pytest.mark.parametrize("sigma", [0.3, 1, 3])
def test_blur_agrees_with_opencv(sigma, picture):
    expected = cv2.GaussianBlur(np.float32(picture) / 255, (17, 17), sigma)
    np.testing.assert_allclose(applied("blur", picture, sigma), expected, atol=1e-6)


def test_blur_keeps_the_light():
    spot = np.zeros((24, 24, 3), np.uint8)
    spot[11, 12] = 255
    np.testing.assert_allclose(applied("blur", spot, 1).sum((0, 1)), 1, rtol=1e-5)
    flat = np.full_like(spot, 77)
    np.testing.assert_allclose(applied("blur", flat, 2), flat / 255, rtol=1e-5)


def test_noise_is_normal_and_of_the_stated_deviation():
    noise = (applied("noise", np.full_like(ANY, 128), 0.1) - 128 / 255) / 0.1
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 0.05


def test_noise_is_independent_in_pixels_channels_and_pictures():
    one, other = (
        applied("noise", np.full_like(ANY, 128), 0.1, jax.random.key(seed)) for seed in (1, 2)
    )
    pairs = {
        "rows": (one[1:], one[:-1]),
        "columns": (one[:, 1:], one[:, :-1]),
        "channels": (one[..., 0], one[..., 1]),
        "pictures": (one, other),
        "shifted": (one[:, 1:], other[:, :-1]),
    }
    for what, (a, b) in pairs.items():
        assert scipy.stats.pearsonr(a.ravel(), b.ravel()).pvalue > 0.01, what


def through_a_file(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [5, 25, 50, 75, 95])
@pytest.mark.parametrize("picture", [CELL, ANY, CELL[:13, :19]], ids=["cell", "any", "odd"])
def test_jpeg_agrees_with_pillow(picture, quality):
    """Pillow's arithmetic is of whole numbers: now and then a frequency is rounded otherwise."""
    expected = through_a_file(picture, quality)
    result = applied("jpeg", picture, 1 - quality / 100) * 255
    apart, changed = (np.abs(expected - each).mean() for each in (result, np.float32(picture)))
    assert apart < max(1.1, 0.15 * changed)  # in levels of 255


def test_jpeg_of_one_channel_agrees_with_pillow():
    file = io.BytesIO()
    Image.fromarray(CELL[..., 1]).save(file, "JPEG", quality=30)
    result = applied("jpeg", CELL[..., 1:2], 0.7)[..., 0] * 255
    assert np.abs(result - np.asarray(Image.open(file))).mean() < 1


def test_lower_quality_is_farther_from_the_picture():
    away = [np.abs(applied("jpeg", CELL, s) - CELL / 255).mean() for s in (0.05, 0.5, 0.9, 0.99)]
    assert away == sorted(away)
