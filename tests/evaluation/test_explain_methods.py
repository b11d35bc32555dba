"""Integrated gradients add up; occlusion finds what counts; figures mean what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import initialised, pictures

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.explanation import methods, sanity_checks, selection, stages

SIDE = 16
MODEL, VARIABLES = initialised("elu_cnn")
LOGITS = stages.logits(MODEL, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
INTEGRATED = methods.integrated_gradients(LOGITS, points=128, batch_size=64)
ANSWER = jax.jit(LOGITS)


def linear(weights, images):
    """A network of two classes: a weighed sum of the pixels, and its negative."""
    score = (images * weights).sum(axis=(1, 2, 3))
    return jnp.stack([score, -score], axis=1)


LINEAR = methods.occlusion(linear, patch=4, stride=2, batch_size=16)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), target=st.integers(0, 2))
def test_integrated_gradients_add_up_to_the_difference_of_logits(seed, target):
    rng = np.random.default_rng(seed)
    image, baseline = rng.random((2, SIDE, SIDE, 3), np.float32)
    found = np.asarray(INTEGRATED(VARIABLES, image, baseline, target))
    full, empty = ANSWER(VARIABLES, np.stack([image, baseline]))[:, target]
    # The gradient jumps wherever a pool turns to another pixel, which no rule integrates exactly.
    assert abs(found.sum() - (full - empty)) < 0.02 * np.abs(found).sum()


def test_integrated_gradients_of_a_linear_network_are_its_terms():
    rng = np.random.default_rng(0)
    weights, image, baseline = rng.random((3, SIDE, SIDE, 3), np.float32)
    found = methods.integrated_gradients(linear, points=3, batch_size=2)(
        weights, image, baseline, 0
    )
    np.testing.assert_allclose(found, (weights * (image - baseline)).sum(-1), rtol=1e-5, atol=1e-6)


def test_occlusion_is_what_the_squares_over_a_pixel_take_on_average():
    rng = np.random.default_rng(0)
    weights, image, cover = rng.random((3, SIDE, SIDE, 3), np.float32)
    lost = (weights * (image - cover)).sum(-1)
    total, times = np.zeros((2, SIDE, SIDE))
    for top in range(0, SIDE - 3, 2):
        for left in range(0, SIDE - 3, 2):
            square = np.s_[top : top + 4, left : left + 4]
            total[square] += lost[square].sum()
            times[square] += 1
    found = LINEAR(weights, image, cover, 0)
    np.testing.assert_allclose(found, total / times, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(LINEAR(weights, image, cover, 1), -found, rtol=1e-3, atol=1e-3)


def test_occlusion_covers_every_pixel_whatever_the_stride():
    weights = np.ones((SIDE, SIDE, 3), np.float32)
    found = methods.occlusion(linear, patch=5, stride=4)(weights, weights, 0 * weights, 0)
    np.testing.assert_allclose(found, 5 * 5 * 3)


def test_energy_and_pointing_are_measured_on_what_speaks_for_the_class():
    mask = np.zeros((4, 4), bool)
    mask[1, 1] = mask[1, 2] = True
    found = np.full((4, 4), -5.0)
    found[1, 1], found[3, 3] = 3.0, 1.0
    assert sanity_checks.energy_in_mask(found, mask) == pytest.approx(0.75)
    assert sanity_checks.maximum_in_mask(found, mask)
    assert not sanity_checks.maximum_in_mask(found.T[::-1], mask)
    assert sanity_checks.energy_in_mask(np.ones((4, 4)), mask) == pytest.approx(
        mask.mean()
    )  # chance
    assert sanity_checks.energy_in_mask(np.zeros((4, 4)), mask) == 0


def test_rank_correlation_is_of_ranks():
    one = np.asarray(pictures(1, 8)[0, ..., 0])
    assert sanity_checks.rank_correlation(one, np.exp(3 * one)) == pytest.approx(1)
    assert sanity_checks.rank_correlation(one, -one) == pytest.approx(-1)
    assert sanity_checks.rank_correlation(one, 0 * one) is None


def test_the_most_confidently_wrong_come_first_and_then_the_least_sure():
    sure_and_wrong, unsure_and_wrong = [0.0, 5.0, 0.0], [0.0, 1.0, 0.0]
    unsure_and_right, sure_and_right = [1.0, 0.0, 0.0], [5.0, 0.0, 0.0]
    logits = np.array([sure_and_right, unsure_and_wrong, unsure_and_right, sure_and_wrong])
    answers = Answers(("a", "b", "c"), tuple("wxyz"), ("",) * 4, np.zeros(4, int), logits)
    assert selection.most_wrong(answers, 9).tolist() == [3, 1, 2, 0]
    assert selection.most_wrong(answers, 1).tolist() == [3]
