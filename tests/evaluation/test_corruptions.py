import functools
import io

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
from blobs import blobs
from cells import levels_apart
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from bcjax.evaluation.corruptions import camera, slide
from bcjax.evaluation.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt

CELLS = blobs(8, seed=2, size=40)
INDEX = np.arange(8, dtype=np.int32) * 5
LARGE = cv2.resize(CELLS[0], (224, 224), interpolation=cv2.INTER_CUBIC)
ALL = pytest.mark.parametrize("name", CORRUPTIONS)


@functools.cache
def corrupted(name, severity):
    return np.asarray(corrupt(name, CELLS, INDEX, severity))


@functools.cache
def compiled(name):
    return jax.jit(CORRUPTIONS[name].apply)


def applied(name, picture, severity, key=0):
    """One picture, in levels of 255."""
    numbers = CORRUPTIONS[name].numbers[severity]
    image = np.float32(picture) / 255
    return np.asarray(compiled(name)(jax.random.key(key), image, *map(jnp.float32, numbers))) * 255


# What holds for all


def test_the_suite_is_that_of_medmnist_c():
    assert list(CORRUPTIONS) == [
        "pixelate", "jpeg_compression", "defocus_blur", "motion_blur", "brightness_up",
        "brightness_down", "contrast_up", "contrast_down", "saturate", "stain_deposit", "bubble",
    ]  # fmt: skip
    assert {len(each.numbers) for each in CORRUPTIONS.values()} == {1 + len(SEVERITIES)}


@ALL
def test_severity_0_leaves_a_picture_as_it_is(name):
    assert np.array_equal(corrupted(name, 0), CELLS)


@ALL
def test_a_higher_severity_is_farther_from_the_picture(name):
    apart = [
        np.abs(corrupted(name, severity).astype(float) - CELLS).mean()
        for severity in (0, *SEVERITIES)
    ]
    assert apart == sorted(apart)
    assert apart[1] > 0.1
    assert apart[5] > 1.3 * apart[1]


@ALL
@settings(max_examples=5)
@given(order=st.permutations(range(8)), severity=st.sampled_from(SEVERITIES))
def test_a_picture_is_corrupted_alike_in_any_batch(name, order, severity):
    whole = corrupted(name, severity)
    for rows in (order[:4], order[4:]):
        part = corrupt(name, CELLS[rows], INDEX[rows], severity)
        assert np.array_equal(part, whole[rows])


@pytest.mark.parametrize("name", ["motion_blur", "stain_deposit", "bubble"])
def test_chance_is_of_the_picture_and_the_seed(name):
    same = np.stack([CELLS[0]] * 8)
    results = np.asarray(corrupt(name, same, INDEX, 3))
    assert len({result.tobytes() for result in results}) == 8
    assert not np.array_equal(corrupt(name, same, INDEX, 3, seed=1), results)


def test_all_severities_are_one_program():
    corrupted("contrast_up", 1)
    before = corrupt._cache_size()
    for severity in SEVERITIES:
        corrupted("contrast_up", severity)
    assert corrupt._cache_size() == before


# Each as MedMNIST-C has it


@pytest.mark.parametrize("side", [40, 38])
@pytest.mark.parametrize(("severity", "kept"), [(1, 0.6), (2, 0.5), (3, 0.4), (4, 0.3), (5, 0.25)])
def test_pixelate_agrees_with_pillow(severity, kept, side):
    picture = Image.fromarray(CELLS[1][:side, :side])
    few = picture.resize((int(side * kept), int(side * kept)), Image.Resampling.BOX)
    expected = few.resize((side, side), Image.Resampling.BOX)
    result = applied("pixelate", np.asarray(picture), severity)
    assert levels_apart(np.round(result), expected) <= 1


@pytest.mark.parametrize(("severity", "quality"), [(1, 50), (2, 30), (3, 15), (4, 10), (5, 7)])
def test_jpeg_compression_agrees_with_pillow_at_full_chroma(severity, quality):
    file = io.BytesIO()
    Image.fromarray(CELLS[1]).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.float32(Image.open(file))
    result = applied("jpeg_compression", CELLS[1], severity)
    changed = np.abs(expected - CELLS[1]).mean()
    assert np.abs(result - expected).mean() < max(1.1, 0.15 * changed)


@pytest.mark.parametrize(("severity", "radius"), [(1, 2), (2, 3), (5, 6)])
def test_defocus_blur_agrees_with_opencv_at_224_pixels(severity, radius):
    x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
    disc = np.float32(x**2 + y**2 <= radius**2)
    kernel = cv2.GaussianBlur(disc / disc.sum(), (3, 3), sigmaX=0.1)
    expected = cv2.filter2D(np.float32(LARGE), -1, kernel)
    np.testing.assert_allclose(applied("defocus_blur", LARGE, severity), expected, atol=1e-2)


@pytest.mark.parametrize(("severity", "radius", "sigma"), [(1, 3, 3), (3, 10, 5), (5, 10, 9)])
@pytest.mark.parametrize("key", [0, 1])
def test_motion_blur_is_imagemagicks_at_224_pixels(severity, radius, sigma, key):
    drawn = jax.random.uniform(jax.random.key(key), minval=-45.0, maxval=45.0)
    angle = np.deg2rad(float(drawn))
    taps = np.arange(2 * radius + 1)
    kernel = np.exp(-(taps**2) / (2 * sigma**2))
    across = np.ceil(taps * np.cos(angle) - 0.5).astype(int)
    down = np.ceil(taps * np.sin(angle) - 0.5).astype(int)
    row, column = np.mgrid[:224, :224]
    expected = sum(
        weight * LARGE[np.clip(row + y, 0, 223), np.clip(column + x, 0, 223)]
        for weight, x, y in zip(kernel / kernel.sum(), across, down, strict=True)
    )
    np.testing.assert_allclose(applied("motion_blur", LARGE, severity, key), expected, atol=1e-2)


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur"])
def test_a_smaller_picture_is_blurred_alike(name):
    def half(picture):
        return cv2.resize(np.float32(picture), (112, 112), interpolation=cv2.INTER_AREA)

    inside = np.s_[12:-12, 12:-12]  # borders are mirrored, or repeated, from other pixels
    before, after = applied(name, half(LARGE), 5)[inside], half(applied(name, LARGE, 5))[inside]
    assert np.abs(before - after).mean() < 0.1 * np.abs(after - half(LARGE)[inside]).mean()


@pytest.mark.parametrize(
    ("name", "enhance", "factors"),
    [
        ("brightness_up", ImageEnhance.Brightness, (1.1, 1.2, 1.3, 1.35, 1.4)),
        ("brightness_down", ImageEnhance.Brightness, (0.9, 0.8, 0.7, 0.6, 0.5)),
        ("contrast_up", ImageEnhance.Contrast, (1.1, 1.15, 1.2, 1.25, 1.3)),
        ("contrast_down", ImageEnhance.Contrast, (0.9, 0.8, 0.7, 0.6, 0.5)),
    ],
)
def test_brightness_and_contrast_agree_with_pillow(name, enhance, factors):
    for severity, factor in zip(SEVERITIES, factors, strict=True):
        for picture, result in zip(CELLS, corrupted(name, severity), strict=True):
            expected = enhance(Image.fromarray(picture)).enhance(factor)
            assert levels_apart(result, expected) <= 1


@pytest.mark.parametrize(("severity", "more"), [(1, 0.05), (3, 0.15), (5, 0.2)])
def test_saturate_agrees_with_scikit_image(severity, more):
    picture = CELLS[1].copy()
    picture[:4, :4] = 130  # grey, and in it black and white
    picture[0, 0], picture[0, 1] = 0, 255
    hsv = skimage.color.rgb2hsv(picture / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] + more, 0, 1)
    expected = skimage.color.hsv2rgb(hsv) * 255
    np.testing.assert_allclose(applied("saturate", picture, severity), expected, atol=1e-2)


@pytest.mark.parametrize(("severity", "largest", "most"), [(1, 5, 10), (4, 12, 12), (5, 15, 12)])
def test_bubbles_are_those_that_pillow_draws(severity, largest, most):
    for key in range(3):
        result = applied("bubble", LARGE, severity, key)
        drawn = slide.bubbles(
            jax.random.key(key), LARGE.shape, jnp.float32(largest), jnp.float32(most)
        )
        overlay = Image.new("RGBA", (224, 224), (255, 255, 255, 0))
        draw = ImageDraw.Draw(overlay)
        for x, y, radius in np.array(drawn[:3]).T[: int(drawn.number)]:
            for reach, alpha in ((radius + 2, 130), (radius, 100)):
                box = (x - reach, y - reach, x + reach, y + reach)
                draw.ellipse(box, fill=(255, 255, 255, alpha))
        expected = Image.fromarray(LARGE)
        expected.paste(overlay, (0, 0), overlay)
        apart = np.abs(result - np.float32(expected)).max(-1)
        assert (apart > 1.5).mean() < 0.04  # at their edges, which Pillow draws hard
        assert 7 <= drawn.number <= most
        assert all(3 <= radius <= largest for radius in np.array(drawn.radius))


@pytest.mark.parametrize(("severity", "most"), [(1, 1), (2, 2), (5, 3)])
def test_deposits_are_as_many_as_stated_black_and_away_from_the_border(severity, most):
    flat = np.full((224, 224, 3), 200, np.uint8)
    counts = set()
    for key in range(12):
        result = applied("stain_deposit", flat, severity, key)
        count, _, stats, _ = cv2.connectedComponentsWithStats(np.uint8(result[..., 0] < 100))
        counts.add(count - 1)
        assert (stats[1:, cv2.CC_STAT_AREA] > 100).all()
        assert result.min() == 0
        assert (result[:8] > 199).all()
        assert (result[:, -8:] > 199).all()
    assert max(counts) == most
    assert min(counts) == 1


def test_a_higher_severity_has_the_deposits_of_a_lower_one():
    flat = np.full((8, 40, 40, 3), 200, np.uint8)
    lower, higher = (corrupt("stain_deposit", flat, INDEX, severity) for severity in (1, 5))
    assert (np.asarray(higher) <= np.asarray(lower)).all()


def test_lengths_are_shares_of_the_reference_pictures_side():
    assert camera.SIDE == 224
    small = slide.bubbles(jax.random.key(0), (56, 56, 3), jnp.float32(15), jnp.float32(12))
    large = slide.bubbles(jax.random.key(0), (224, 224, 3), jnp.float32(15), jnp.float32(12))
    for one, other in zip(small[:3], large[:3], strict=True):
        np.testing.assert_allclose(4 * one, other, rtol=1e-5)
