"""The cell stays, all else is painted over."""

import cv2
import numpy as np
import pytest
from places import REAL

from bcjax import config as configs
from bcjax.data.decode import decode
from bcjax.data.input_transform import CellMask, InputTransform
from bcjax.data.sources import synthetic

PBC = REAL / "pbc3200"
VIOLET, PINK, GLASS = (70, 40, 150), (200, 160, 155), (250, 227, 203)
BACKGROUND = (10, 200, 30)


def default_mask():
    config = configs.default()
    config.data.mask = True
    return InputTransform.from_config(config.data).mask


MASK = CellMask(default_mask().low, default_mask().high, BACKGROUND)


def smear(*discs, size=200):
    """Discs of (x, y, radius, colour) on glass."""
    pixels = np.full((size, size, 3), GLASS, np.uint8)
    for x, y, radius, colour in discs:
        cv2.circle(pixels, (x, y), radius, colour, cv2.FILLED)
    return pixels


def disc(x, y, radius, size=200):
    return np.hypot(*(np.indices((size, size)) - np.array([y, x])[:, None, None])) <= radius


def overlap(one, other):
    """Intersection over union."""
    return (one & other).sum() / (one | other).sum()


def test_a_stained_cell_is_found_among_red_cells_and_on_glass():
    pixels = smear((70, 80, 30, VIOLET), (150, 150, 40, PINK), (160, 50, 35, PINK))
    found = MASK.find(pixels)
    assert found.dtype == bool
    # What is given back beyond the edge is 0.014 of the side: 3 pixels here.
    assert not (disc(70, 80, 30) & ~found).any()
    assert not (found & ~disc(70, 80, 34)).any()


def test_what_is_found_stays_and_the_rest_becomes_plain():
    pixels = smear((70, 80, 30, VIOLET), (150, 150, 40, PINK))
    found, masked = MASK.find(pixels), MASK(pixels)
    np.testing.assert_array_equal(masked[found], pixels[found])
    assert (masked[~found] == BACKGROUND).all()
    assert masked.dtype == np.uint8


def test_of_several_cells_the_largest_stays():
    found = MASK.find(smear((50, 50, 20, VIOLET), (140, 140, 26, VIOLET), (50, 150, 8, VIOLET)))
    assert overlap(found, disc(140, 140, 26)) > 0.75
    assert not found[:100, :100].any()


def test_holes_are_the_cells():
    found = MASK.find(smear((100, 100, 50, VIOLET), (100, 100, 15, GLASS)))
    assert found[disc(100, 100, 50)].all()


def test_what_touches_by_a_thread_is_cut_off():
    pixels = smear((60, 100, 30, VIOLET), (140, 100, 24, VIOLET))
    cv2.line(pixels, (60, 100), (140, 100), VIOLET, 5)
    found = MASK.find(pixels)
    assert found[disc(60, 100, 30)].all()
    assert not found[disc(140, 100, 20)].any()


@pytest.mark.parametrize("pixels", [smear(), smear((99, 99, 40, PINK)), np.zeros((9, 5, 3), "u1")])
def test_where_there_is_no_stain_the_picture_is_left_as_it_is(pixels):
    assert not MASK.find(pixels).any()
    np.testing.assert_array_equal(MASK(pixels), pixels)


def test_the_channels_are_red_green_blue():
    blue = (60, 60, 150)
    assert MASK.find(smear((100, 100, 40, blue))).any()
    assert not MASK.find(smear((100, 100, 40, blue[::-1]))).any()


@pytest.mark.parametrize("hue", [2, 20, 100, 200, 250])
def test_the_range_is_hue_saturation_and_value_of_0_to_255(hue):
    # Pure hues: 255 stands for 360 degrees.
    colour = cv2.cvtColor(np.full((30, 30, 3), (hue, 255, 255), "u1"), cv2.COLOR_HSV2RGB_FULL)
    assert CellMask((hue - 2, 250, 250), (hue + 2, 255, 255)).find(colour).all()
    assert not CellMask((hue + 3, 0, 0), (255, 255, 255)).find(colour).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (28, 28), (64, 48)])
def test_pictures_of_any_size_are_masked(shape):
    violet = np.full((*shape, 3), VIOLET, np.uint8)
    np.testing.assert_array_equal(MASK(violet), violet)


@pytest.mark.parametrize("size", [96, 256])
def test_a_picture_is_masked_alike_at_any_size(size):
    large = smear((70, 80, 30, VIOLET), (150, 150, 40, PINK))
    other = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    found = cv2.resize(MASK.find(other).astype(np.uint8), (200, 200)).astype(bool)
    assert overlap(found, MASK.find(large)) > 0.9


def test_drawn_cells_are_found_where_they_are():
    """The floors are below what the default range reaches: 0.84, 0.90 and 0.69 (eosinophils).

    The hue of eosin granules is that of red cells, from which the range keeps away.
    """
    overlaps = [
        [overlap(MASK.find(drawing.image), drawing.mask) for drawing in drawings]
        for label in range(len(synthetic.CLASSES))
        for drawings in [[synthetic.draw(label, index) for index in range(12)]]
    ]
    assert np.mean(overlaps) > 0.8
    assert np.median(overlaps) > 0.87
    assert np.mean(overlaps, axis=1).min() > 0.6


@pytest.mark.skipif(not PBC.exists(), reason="the PBC photographs are not beside this repository")
def test_photographed_nuclei_stay_whole_and_most_of_the_smear_goes():
    kept, left = [], []
    for path in (path for folder in PBC.iterdir() for path in sorted(folder.iterdir())[:12]):
        pixels = decode(path.read_bytes(), at_least=180)
        height, width = pixels.shape[:2]
        middle = np.zeros((height, width), np.uint8)
        cv2.circle(middle, (width // 2, height // 2), height // 5, 255, cv2.FILLED)
        # Deep violet near the middle can be nothing but the cell's nucleus, or its granules.
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
        nucleus = (cv2.inRange(hsv, (170, 120, 0), (220, 255, 170)) & middle).astype(bool)
        found = MASK.find(pixels)
        kept.append((found & nucleus).sum() / max(1, nucleus.sum()))
        left.append(found.mean())
    assert len(kept) == 96
    assert np.mean(np.array(kept) > 0.95) > 0.97  # measured: all 96
    assert np.mean(np.array(left) < 0.25) > 0.95  # measured: 95 of 96
