from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bcjax.augment import erase, geometry

H, W = 12, 16
IMAGE = np.random.default_rng(0).random((H, W, 3), np.float32)
OPS = erase.OPS | {"quadrants": geometry.OPS["quadrants"]}
COMPILED = {name: jax.jit(op.apply) for name, op in OPS.items()}  # one program for all strengths
MANY_MASKS = jax.jit(jax.vmap(erase.grid_mask, (0, None, None, None, None)))
MANY_QUADRANTS = jax.jit(jax.vmap(geometry.quadrants, (0, None, None)))
KEYS = jax.random.split(jax.random.key(0), 2000)

seeds = st.integers(0, 2**32 - 1)
shares = st.floats(0, 1, width=32)


def hidden(result, image=IMAGE):
    """Returns which pixels of one or many results are hidden; the others are kept to the bit."""
    return (np.asarray(result) != image).any(axis=-1)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_at_strength_0_the_picture_is_kept_to_the_bit(name, dtype):
    image = IMAGE.astype(dtype)
    for seed in range(3):
        result = COMPILED[name](jax.random.key(seed), image, np.float32(0))
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("name", OPS)
def test_ops_are_the_same_alone_and_mapped_and_compiled_once(name):
    op, key, traces = OPS[name], jax.random.key(5), []

    @jax.jit
    def one(key, image, strength, **options):
        traces.append(strength)
        return op.apply(key, image, strength, **options)

    for share in (np.float32(0.25), np.float32(0.7)):
        options = {
            option: np.float32(range.low + share * (range.high - range.low))
            for option, range in op.options.items()
        }
        alone = one(key, IMAGE, share, **options)
        assert (alone != IMAGE).any()
        mapped = jax.vmap(partial(one, **options))(key[None], IMAGE[None], share[None])[0]
        np.testing.assert_allclose(mapped, alone, atol=1e-6)
    assert len(traces) == 1


def test_what_is_hidden_takes_the_mean_colour():
    for name in ("cutout", "grid_mask"):
        result = COMPILED[name](jax.random.key(1), IMAGE, np.float32(0.5))
        mask = hidden(result)
        assert mask.any()
        assert not mask.all()
        np.testing.assert_allclose(
            result[mask], np.broadcast_to(IMAGE.mean((0, 1)), (mask.sum(), 3)), atol=1e-6
        )


@example(seed=6097, strength=0.0078125, aspect=7.0)  # 1.5 pixels, 4 times as high as wide
@given(seeds, st.floats(0, 0.875, width=32), st.floats(1, 10, width=32))
def test_a_cutout_is_one_rectangle_of_the_area_said(seed, strength, aspect):
    key = jax.random.key(seed)
    result = COMPILED["cutout"](key, IMAGE, np.float32(strength), aspect=np.float32(aspect))
    mask = hidden(result)
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    assert (mask == rows[:, None] & columns).all()
    for side in (rows, columns):
        assert np.abs(np.diff(np.pad(side.astype(int), 1))).sum() in (0, 2)
    height, width = rows.sum(), columns.sum()
    # The width is rounded to whole pixels: half of one in each row.
    assert abs(mask.sum() - strength * H * W) <= max(height, 1) / 2 + 1e-3
    if mask.any():  # the height is rounded, or raised by up to one so that the width fits
        ratio = (width / W) / (height / H)
        assert ratio <= aspect * (1 + 0.5 / height) ** 2 * width / (width - 0.5) + 1e-3
        assert ratio >= (1 - 1 / height) ** 2 * width / (width + 0.5) / aspect - 1e-3


def test_a_cutout_lies_anywhere():
    seen = jax.jit(jax.vmap(erase.cutout, (0, None, None)))(KEYS, IMAGE, np.float32(0.25))
    masks = hidden(seen)
    tops = [masks.any(axis=axis).argmax(axis=1) for axis in (2, 1)]
    counts = np.unique(tops, axis=1, return_counts=True)[1]
    assert len(counts) == (H - H // 2 + 1) * (W - W // 2 + 1)
    expected = len(KEYS) / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 102  # with 62 degrees of freedom, one sample in 1,000 is above


@pytest.mark.parametrize("rotate", [0.0, 360.0])
@pytest.mark.parametrize(("ratio", "strength"), [(0.6, 1.0), (0.4, 1.0), (0.3, 0.5)])
def test_grid_masks_kept_share_is_its_formula(rotate, ratio, strength):
    seen = MANY_MASKS(KEYS, IMAGE, np.float32(strength), np.float32(ratio), np.float32(rotate))
    kept = 1 - hidden(seen).mean(axis=0)
    formula = 1 - strength * (1 - ratio) ** 2
    assert abs(kept.mean() - formula) < 0.02
    # At each pixel alike. No deviation of 2,000 draws is larger than that of a fair coin.
    assert np.abs(kept - formula).max() < 4.5 * 0.5 / np.sqrt(len(KEYS))


@given(seeds, shares)
def test_a_grid_that_is_not_turned_is_squares_in_rows_and_columns(seed, ratio):
    image = np.random.default_rng(1).random((48, 48, 3), np.float32)
    options = {"ratio": np.float32(ratio), "rotate": np.float32(0)}
    seen = COMPILED["grid_mask"](jax.random.key(seed), image, np.float32(1), **options)
    mask = hidden(seen, image)
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    assert (mask == rows[:, None] & columns).all()
    for side in (rows, columns):
        starts = np.flatnonzero(np.diff(side.astype(int)) == 1)
        ends = np.flatnonzero(np.diff(side.astype(int)) == -1)
        periods = np.concatenate([np.diff(starts), np.diff(ends)])
        assert ((periods >= erase.GRID_PERIOD[0] * 48 - 1) & (periods <= 49)).all()
        whole = [(ends[ends > start] - start)[0] for start in starts if (ends > start).any()]
        for length in whole:  # a square's side, of periods up to the picture's
            assert erase.GRID_PERIOD[0] * (1 - ratio) * 48 - 1 <= length <= (1 - ratio) * 48 + 1


@settings(max_examples=30)
@given(seeds, shares, st.sampled_from([(12, 12), (13, 13), (12, 16)]))
def test_quadrants_keep_every_pixel(seed, strength, shape):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(*shape, 1) / 256
    seen = np.asarray(COMPILED["quadrants"](jax.random.key(seed), image, np.float32(strength)))
    np.testing.assert_array_equal(np.sort(seen, axis=None), np.sort(image, axis=None))
    if shape == (13, 13):
        np.testing.assert_array_equal(seen[6], image[6])
        np.testing.assert_array_equal(seen[:, 6], image[:, 6])
    square = shape != (12, 16)
    allowed = range(4) if square else (0, 2)
    h, w = shape[0] // 2, shape[1] // 2
    for rows in (slice(h), slice(-h, None)):
        for columns in (slice(w), slice(-w, None)):
            was, now = image[rows, columns], seen[rows, columns]
            assert any(np.array_equal(now, np.rot90(was, quarters)) for quarters in allowed)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_each_quadrant_is_turned_on_its_own_as_often_as_said(strength):
    image = IMAGE[:4, :4]
    seen = np.asarray(MANY_QUADRANTS(KEYS, image, np.float32(strength)))
    assert len({picture.tobytes() for picture in seen}) > 4**4 / 2  # of as many ways to lay them
    once = strength / 2  # by a quarter, and by a half
    for rows in (slice(2), slice(2, 4)):
        for columns in (slice(2), slice(2, 4)):
            was, now = image[rows, columns], seen[:, rows, columns]
            turned = [(now == np.rot90(was, quarters)).all(axis=(1, 2, 3)) for quarters in range(4)]
            assert sum(turned).all()
            means = np.mean(turned, axis=1)
            assert abs(means[1] + means[3] - once) < 0.045  # four deviations
            assert abs(means[2] - once * (1 - once)) < 0.045
