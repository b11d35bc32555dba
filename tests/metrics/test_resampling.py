"""Means and differences of metrics from their resamples, and McNemar's test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcjax.metrics import Estimate
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.resampling import combine, difference, mcnemar, mean, resample
from bcjax.metrics.scores import NOISE


def predictions(seed, n=60):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return Predictions(rng.dirichlet(np.ones(3), n) + 0.3 * np.eye(3)[labels], labels)


def test_a_difference_of_the_same_pictures_is_surer_than_of_others():
    same = resample(predictions(0), None, resamples=500).metric("accuracy")
    others = resample(predictions(0), None, resamples=500, seed=1).metric("accuracy")
    paired, independent = (combine(lambda a, b: a - b, same, each) for each in (same, others))
    assert paired.estimate() == Estimate(0.0, 60, None)  # there is nothing to resample
    np.testing.assert_array_equal(paired.draws, 0)
    deviation = np.std(same.draws)
    assert np.std(independent.draws) == pytest.approx(np.sqrt(2) * deviation, rel=0.15)


def test_a_mean_is_of_values_and_of_draws():
    one, other = (resample(predictions(s), None, resamples=50).metric("accuracy") for s in (0, 1))
    middle = mean(one, other)
    assert middle.value == pytest.approx((one.value + other.value) / 2)
    np.testing.assert_allclose(middle.draws, (one.draws + other.draws) / 2)
    without = resample(predictions(0), None, resamples=0).metric("accuracy")
    assert mean(without).estimate().interval is None


def test_pictures_of_a_group_are_resampled_together():
    alone, together = (
        resample(predictions(0), groups, resamples=400).metric("balanced_accuracy")
        for groups in (None, [str(i // 10) for i in range(60)])
    )
    assert together.value == alone.value
    assert together.estimate("balanced_accuracy").interval == "group bootstrap"


@pytest.mark.parametrize("metric", ["accuracy", "macro_auc", "ece"])
def test_a_paired_difference_is_that_of_the_values_and_the_resamples(metric):
    one, other = (resample(predictions(s), None, resamples=200) for s in (0, 1))
    found = difference(one.metric(metric), other.metric(metric))
    value = one.values[metric] - other.values[metric]
    assert found.value == value
    if metric in NOISE:
        reach = np.quantile(one.draws[NOISE[metric]] + other.draws[NOISE[metric]], 0.95)
        expected = value - reach, value + reach
    else:
        expected = np.quantile(one.draws[metric] - other.draws[metric], (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.p is None  # another seed might change more than other pictures do


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_counts_the_tosses_that_part_so_unevenly(answers):
    first, second = np.array(answers).T
    found = mcnemar(first, second)
    assert found.only_first == sum(one and not two for one, two in answers)
    assert found.only_second == sum(two and not one for one, two in answers)
    apart = found.only_first + found.only_second
    far = abs(found.only_first - found.only_second)
    ways = sum(math.comb(apart, k) for k in range(apart + 1) if abs(apart - 2 * k) >= far)
    assert found.p == (pytest.approx(ways / 2**apart) if apart else None)
    assert mcnemar(second, first).p == found.p
