"""The cell alone, found on the device as OpenCV finds it when a picture is decoded."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bcjax.augment.cell_mask import OPS, cell_mask
from bcjax.config import default
from bcjax.data.input_transform import CellMask
from bcjax.data.sources import synthetic

DATA = default().data
REFERENCE = CellMask(DATA.mask_low, DATA.mask_high, DATA.mask_background)
PURPLE, PINK = (120, 60, 160), (250, 225, 215)
painted = jax.jit(functools.partial(cell_mask, jax.random.key(0)))


def masked(pixels, strength=1.0):
    """Returns the picture, uint8, as the operation paints it."""
    image = jnp.float32(pixels) / 255
    return np.asarray(jnp.round(painted(image, jnp.float32(strength)) * 255)).astype(np.uint8)


def smear(*cells, size=(48, 64)):
    """Returns a pink picture with purple squares: (top, left, side)."""
    pixels = np.full((*size, 3), PINK, np.uint8)
    for top, left, side in cells:
        pixels[top : top + side, left : left + side] = PURPLE
    return pixels


def test_the_defaults_are_those_of_the_mask_of_decoded_pictures():
    options = {name: option.default for name, option in OPS["cell_mask"].options.items()}
    assert (options["hue_low"], options["saturation"], options["value"]) == DATA.mask_low
    assert (options["hue_high"], 255, 255) == DATA.mask_high
    assert (options["background"],) * 3 == DATA.mask_background


def test_drawn_cells_are_masked_as_opencv_masks_them():
    for label in range(len(synthetic.CLASSES)):
        pixels = synthetic.draw(label, 0, size=96).image
        ours, theirs = masked(pixels), REFERENCE(pixels)
        assert (theirs != pixels).any()
        assert (ours == theirs).all(axis=-1).mean() > 0.995


@given(arrays.arrays(np.bool_, (6, 8)))
def test_any_shape_is_masked_as_opencv_masks_it(blocks):
    """Random blocks: holes, several objects, objects at the border, none."""
    pixels = smear()
    pixels[np.kron(blocks, np.ones((8, 8), bool))] = PURPLE
    ours, theirs = masked(pixels), REFERENCE(pixels)
    # Where two objects are about as large, OpenCV's area (along the contour) and the number of
    # pixels may choose differently.
    if (ours != theirs).any(axis=-1).mean() > 0.02:
        cells = [(each != 255).any(axis=-1).sum() for each in (ours, theirs)]
        assert abs(cells[0] - cells[1]) < 0.2 * max(cells)


def test_the_largest_object_stays_and_its_holes_are_filled():
    pixels = smear((4, 4, 24), (36, 50, 8))
    pixels[14:18, 14:18] = PINK
    result = masked(pixels)
    np.testing.assert_array_equal(result[6:26, 6:26], pixels[6:26, 6:26])
    assert (result[36:44, 50:58] == 255).all()


@pytest.mark.parametrize("pixels", [smear(), smear()[..., :1]], ids=["no cell", "one channel"])
def test_a_picture_without_a_cell_or_without_colour_stays(pixels):
    np.testing.assert_array_equal(masked(pixels), pixels)


def test_a_part_of_the_strength_blends_with_the_background():
    pixels = smear((10, 10, 20))
    expected = np.round((pixels[0, 0] + 255.0) / 2)
    assert np.abs(masked(pixels, 0.5)[0, 0] - expected).max() <= 1
    np.testing.assert_array_equal(masked(pixels, 0.0), pixels)


@given(st.integers(0, 2**32 - 1))
def test_many_pictures_are_masked_as_each_alone(seed):
    places = np.random.default_rng(seed).integers(0, 24, (3, 2))
    batch = jnp.float32(np.stack([smear((top, left, 20)) for top, left in places])) / 255
    strengths = jnp.float32([1, 0, 0.5])
    many = jax.vmap(painted)(batch, strengths)
    for image, strength, result in zip(batch, strengths, many, strict=True):
        np.testing.assert_array_equal(painted(image, strength), result)
