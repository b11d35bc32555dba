"""A picture in the stain of another: what the papers say, and what must hold whatever they say."""

import dataclasses

import cv2
import numpy as np
import pytest
from scipy.optimize import nnls

from bcjax.data.sources import synthetic
from bcjax.data.stain import METHODS, Macenko, NoStainError, Reinhard

LAMP = 240
DYES = np.array([[0.65, 0.70, 0.29], [0.27, 0.90, 0.35]])  # of H and E, as QuPath has them
DYES /= np.linalg.norm(DYES, axis=1, keepdims=True)
CELLS = [synthetic.draw(label, 0).image for label in (1, 3, 5, 6)]
methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def amounts(seed, size=96):
    """Of two dyes: (size, size, 2), smooth, with each alone, both and neither."""
    coarse = np.random.default_rng(seed).normal(0, 1, (12, 12, 2))
    return 1.2 * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 2)


def tissue(seed, strength=(1.0, 1.0), dyes=DYES, lamp=(LAMP,) * 3):
    """A picture of two dyes on clear glass."""
    light = np.array(lamp) * np.exp(-(amounts(seed) * strength) @ dyes) - 1
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def difference(one, other):
    return np.abs(one.astype(int) - other)


def published_macenko(pixels, lamp, dyes, most):
    """Macenko et al. 2009, step by step, in float64, with the picture's own lamp."""
    glass = np.percentile(pixels.reshape(-1, 3), 99, axis=0)
    density = -np.log((pixels.reshape(-1, 3).astype(float) + 1) / glass)
    stained = density[~(density < 0.15).any(1)]
    _, _, right = np.linalg.svd(stained - stained.mean(0), full_matrices=False)
    plane = right[:2] * np.sign(right[:2].sum(1, keepdims=True))
    on_plane = stained @ plane.T
    phi = np.arctan2(on_plane[:, 1], on_plane[:, 0])
    ends = [
        plane.T @ [np.cos(angle), np.sin(angle)]
        for angle in (np.percentile(phi, 1), np.percentile(phi, 99))
    ]
    first, second = sorted(ends, key=lambda dye: dye[2])
    basis = np.stack([first, second], 1)
    concentrations = np.linalg.lstsq(basis, density.T, rcond=None)[0].T
    impossible = (concentrations.min(1) < 0) & (concentrations.max(1) > 0)
    concentrations[impossible] = [nnls(basis, pixel)[0] for pixel in density[impossible]]
    concentrations = concentrations.T
    concentrations *= (np.array(most) / np.percentile(concentrations, 99, axis=1))[:, None]
    light = np.array(lamp) * np.exp(-np.array(dyes).T @ concentrations).T - 1
    return np.clip(light.reshape(pixels.shape), 0, 255)


# Against the papers


@pytest.mark.parametrize("pixels", [*(cell[::2, ::2] for cell in CELLS), tissue(0), tissue(1)])
def test_macenko_is_the_published_algorithm(pixels):
    ours = Macenko()
    expected = published_macenko(pixels, ours.lamp, ours.dyes, ours.most)
    np.testing.assert_allclose(ours(pixels), expected, atol=0.6)  # half a level is rounding


def test_macenko_finds_the_dyes_that_are_there():
    found = Macenko.from_reference(tissue(2))
    for dye, true in zip(found.dyes, DYES, strict=True):
        assert np.degrees(np.arccos(np.dot(dye, true))) < 2
    strongest = np.percentile(amounts(2).reshape(-1, 2), 99, axis=0)
    np.testing.assert_allclose(found.most, strongest, rtol=0.05)


def ruderman(pixels):
    """Reinhard et al. 2001, equations 4 to 6, pixel by pixel, in float64."""
    lms = pixels.reshape(-1, 3).clip(1).astype(float) @ np.array(
        [[0.3811, 0.1967, 0.0241], [0.5783, 0.7244, 0.1288], [0.0402, 0.0782, 0.8444]]
    )
    red, green, blue = np.log(lms).T
    l_axis = (red + green + blue) / np.sqrt(3)
    return np.stack([l_axis, (red + green - 2 * blue) / np.sqrt(6), (red - green) / np.sqrt(2)], 1)


@pytest.mark.parametrize("pixels", CELLS)
def test_reinhard_reads_the_moments_of_the_papers_axes(pixels):
    found = Reinhard.from_reference(pixels)
    np.testing.assert_allclose(found.mean, ruderman(pixels).mean(0), atol=1e-4)
    np.testing.assert_allclose(found.std, ruderman(pixels).std(0), atol=1e-4)


@pytest.mark.parametrize("pixels", CELLS)
def test_reinhard_gives_a_picture_the_moments_of_the_reference(pixels):
    target = Reinhard.from_reference(CELLS[0])
    given = ruderman(target(pixels))
    np.testing.assert_allclose(given.mean(0), target.mean, atol=0.02)
    np.testing.assert_allclose(given.std(0), target.std, rtol=0.06)


# What must hold


@pytest.mark.parametrize("seed", [3, 4])
@methods
def test_the_reference_itself_is_left_as_it_is(method, seed):
    pixels = tissue(seed)
    assert difference(method.from_reference(pixels)(pixels), pixels).max() <= 2  # of 255 levels


@pytest.mark.parametrize(("method", "most"), [(Macenko, 2), (Reinhard, 8)])
def test_what_is_normalised_stays_as_it_is(method, most):
    """Reinhard's may be too bright for 255, and what is cut off there moves the mean."""
    stain = method.from_reference(tissue(5))
    for once in (stain(tissue(3)), stain(tissue(4))):
        assert difference(stain(once), once).max() <= most


def closer(method, one, other):
    """How far two pictures are from each other after normalisation, as a share of before."""
    stain = method.from_reference(tissue(5))
    return difference(stain(one), stain(other)).mean() / difference(one, other).mean()


@pytest.mark.parametrize("strength", [0.7, 1.3])
@methods
def test_more_or_less_stain_makes_the_same_picture(method, strength):
    assert closer(method, tissue(6), tissue(6, (strength, strength))) < 0.1


@methods
def test_another_lamp_makes_the_same_picture(method):
    assert closer(method, tissue(6), tissue(6, lamp=(240, 220, 190))) < 0.1


@pytest.mark.parametrize("strength", [(1.3, 0.8), (0.8, 1.25), (1.5, 1.0)])
def test_to_macenko_each_dye_may_differ_in_its_own_way(strength):
    assert closer(Macenko, tissue(6), tissue(6, strength)) < 0.1


def test_to_macenko_dyes_may_be_of_other_colours():
    others = np.array([[0.75, 0.60, 0.28], [0.20, 0.88, 0.43]])
    assert closer(Macenko, tissue(6), tissue(6, dyes=others)) < 0.1


@pytest.mark.parametrize("strength", [0.7, 1.3])
@methods
def test_drawn_smears_come_closer_to_themselves_in_another_stain(method, strength):
    """Of more than two dyes, with noise, in lamps of two colours."""
    others = [np.rint(255 * (pixels / 255.0) ** strength).astype(np.uint8) for pixels in CELLS]
    shares = [closer(method, pixels, other) for pixels, other in zip(CELLS, others, strict=True)]
    assert np.mean(shares) < 0.2
    assert max(shares) < 0.5


@methods
def test_glass_stays_bright(method):
    for seed in range(3):
        glass = amounts(seed).max(-1) == 0
        for stain in (method(), method.from_reference(tissue(5))):
            given = stain(tissue(seed)).astype(float)
            assert given[glass].min() > 190
            assert (given[glass].mean(0) > given[~glass].mean(0) + 40).all()


@methods
def test_black_is_no_stain(method):
    """As it lies around a picture that was turned."""
    framed = np.pad(tissue(6), ((20, 20), (10, 0), (0, 0)))
    stain = method.from_reference(tissue(5))
    given = stain(framed)
    assert not given[:20].any()
    assert not given[:, :10].any()
    assert difference(given[20:-20, 10:], stain(tissue(6))).max() <= 1


NOTHING = {
    "black": np.zeros((32, 32, 3), np.uint8),
    "white": np.full((32, 32, 3), 255, np.uint8),
    "one colour": np.full((32, 32, 3), (120, 60, 140), np.uint8),
    "one colour and noise": np.random.default_rng(0)
    .normal((120, 60, 140), 1, (32, 32, 3))
    .astype("u1"),
    "one pixel": np.full((1, 1, 3), 90, np.uint8),
    "grey": np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 8, 3)),
    "a speck": np.where(np.arange(4096).reshape(64, 64, 1) == 99, 40, 250)
    .repeat(3, -1)
    .astype("u1"),
}


@pytest.mark.parametrize("pixels", NOTHING.values(), ids=NOTHING)
@methods
def test_a_picture_without_stain_is_left_as_it_is_and_is_no_reference(method, pixels):
    np.testing.assert_array_equal(method()(pixels), pixels)
    with pytest.raises(NoStainError):
        method.from_reference(pixels)


@methods
def test_any_picture_is_pixels_again(method):
    rng = np.random.default_rng(0)
    for pixels in (
        rng.integers(0, 256, (17, 9, 3), "u1"),
        255 * rng.integers(0, 2, (9, 17, 3), "u1"),
    ):
        given = method()(pixels)
        assert given.shape == pixels.shape
        assert given.dtype == np.uint8


@methods
def test_a_stain_is_a_value(method):
    stain = method.from_reference(CELLS[0])
    assert stain == method.from_reference(CELLS[0]) != method.from_reference(CELLS[1])
    assert hash(stain) == hash(dataclasses.replace(stain))
