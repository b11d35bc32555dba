"""MixUp and CutMix: labels are shared as the pixels are."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcjax.augment import mix

SHAPE = (12, 20)


def drawn(weigh, seed, alpha):
    share_key, key = jax.random.split(jax.random.key(seed))
    return weigh(key, mix.share(share_key, alpha), SHAPE)


WEIGH = {name: jax.jit(functools.partial(drawn, f)) for name, (f, _) in mix.MIXES.items()}
IMAGES = np.random.default_rng(0).random((4, *SHAPE, 3), np.float32)
seeds = st.integers(0, 2**31 - 1)
alphas = st.floats(0.05, 20)


@given(seeds, alphas)
def test_cutmix_pastes_one_rectangle_of_the_picture_before(seed, alpha):
    weights = np.asarray(WEIGH["cutmix"](seed, alpha))
    assert set(np.unique(weights)) <= {0.0, 1.0}
    rows, columns = np.nonzero(weights == 0)
    if rows.size:  # all that lies between its edges is in it
        block = weights[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert not block.any()
    mixed = np.asarray(mix.blend(IMAGES, weights))
    assert np.array_equal(mixed, np.where(weights[..., None] == 1, IMAGES, np.roll(IMAGES, 1, 0)))


@given(seeds, alphas)
def test_mixup_has_one_weight(seed, alpha):
    weights = np.asarray(WEIGH["mixup"](seed, alpha))
    assert 0 <= weights.min() == weights.max() <= 1


@given(seeds, alphas, st.sampled_from(sorted(WEIGH)))
def test_a_labels_share_is_its_pixels_share(seed, alpha, name):
    """Pictures that are one-hot in their pixels become their own soft labels."""
    weights = WEIGH[name](seed, alpha)
    labels = np.array([2, 0, 1, 1])
    pictures = np.broadcast_to(np.eye(3, dtype=np.float32)[labels][:, None, None], (4, *SHAPE, 3))
    shown = np.asarray(mix.blend(pictures, weights)).mean((1, 2))
    soft = np.asarray(mix.soft_labels(labels, weights.mean(), 3))
    np.testing.assert_allclose(soft, shown, atol=1e-5)
    np.testing.assert_allclose(soft.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("name", sorted(WEIGH))
def test_the_shares_are_drawn_from_the_papers_beta(name):
    shares = np.array([WEIGH[name](seed, 1.0).mean() for seed in range(1000)])
    # Of CutMix less than the rectangle is seen where it is cut off at the border: by simulation of
    # the paper's algorithm, 0.69 on average instead of 1/2.
    expected = {"mixup": 0.5, "cutmix": paper_cutmix()}[name]
    assert abs(shares.mean() - expected) < 4 * shares.std() / np.sqrt(len(shares))


def paper_cutmix(trials=20_000):
    """The average share of the own label by the published `rand_bbox`, in numpy."""
    rng = np.random.default_rng(0)
    (height, width), kept = SHAPE, []
    for share in rng.random(trials):
        cut = np.sqrt(1 - share)
        half_h, half_w = int(height * cut) // 2, int(width * cut) // 2
        y, x = rng.integers(height), rng.integers(width)
        tall = np.clip(y + half_h, 0, height) - np.clip(y - half_h, 0, height)
        wide = np.clip(x + half_w, 0, width) - np.clip(x - half_w, 0, width)
        kept.append(1 - tall * wide / (height * width))
    return np.mean(kept)


@pytest.mark.parametrize("dtype", [np.float32, jax.numpy.bfloat16])
def test_a_weight_of_one_changes_no_bit(dtype):
    images = IMAGES.astype(dtype)
    mixed = mix.blend(images, np.ones(SHAPE, np.float32))
    assert mixed.dtype == dtype
    assert np.array_equal(mixed, images)


def test_another_alpha_is_the_same_program():
    for weigh in WEIGH.values():
        weigh(0, 0.3)
        size = weigh._cache_size()
        weigh(0, 0.4)
        assert weigh._cache_size() == size
