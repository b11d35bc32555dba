"""Means and differences over runs of several seeds: what varies is the seed and the picture."""

import numpy as np
import pytest
from scipy import stats

from bcjax.metrics import runs
from bcjax.metrics.names import FRACTION
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.resampling import Resampled, resample
from bcjax.metrics.scores import counts

N = 200


def without_pictures(*values):
    """Runs that answered pictures of their own each, so nothing is resampled together."""
    return [Resampled(value, None, np.arange(N), within=FRACTION) for value in values]


def answered(rng, seeds, *, spread=0.5, n=N):
    """The macro F1 of runs whose seeds differ by `spread`, on pictures that all find hard alike."""
    labels = np.arange(n) % 3
    hard = rng.normal(size=n)

    def one():
        logits = rng.normal(size=(n, 3))
        logits[np.arange(n), labels] += 1.5 + hard + rng.normal(0, spread)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    return [
        [
            resample(Predictions(one(), labels), None, resamples=60, kind=counts).metric("macro_f1")
            for _ in range(seeds)
        ]
        for _ in range(2)
    ]


def test_runs_with_pictures_of_their_own_have_student_s_interval():
    values = [0.80, 0.84, 0.91]
    found = runs.mean(without_pictures(*values))
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), *expected))
    assert (found.n, found.interval) == (3, "t over runs")
    assert found.deviation == pytest.approx(np.std(values, ddof=1))


def test_a_mean_is_within_its_interval_as_often_as_it_says():
    """Of Student's t: the share of 95 % is met within three standard errors."""
    rng, count, held = np.random.default_rng(0), 2000, 0
    for _ in range(count):
        found = runs.mean(without_pictures(*rng.normal(0.9, 0.02, 4)))
        held += found.low < 0.9 < found.high
    assert abs(held / count - 0.95) < 3 * np.sqrt(0.95 * 0.05 / count)


def test_a_mean_near_an_end_of_its_range_has_a_clipped_interval():
    found = runs.mean(without_pictures(0.9, 0.99))
    assert (found.high, found.interval) == (1, "clipped t over runs")
    assert 0 <= found.low < 0.9


def test_one_run_says_nothing_of_the_next_seed():
    alone = runs.mean(without_pictures(0.9))
    assert (alone.deviation, alone.low, alone.high, alone.interval) == (None, None, None, None)
    one, other = answered(np.random.default_rng(0), 2)
    found = runs.difference(one[:1], other)
    assert (found.interval, found.p) == ("bootstrap", None)  # of the pictures alone
    assert found.value == pytest.approx(one[0].value - np.mean([run.value for run in other]))


def test_seeds_that_happen_to_agree_leave_the_noise_of_the_pictures():
    """Two seeds of equal accuracy, on other pictures: their agreement is luck."""
    rng = np.random.default_rng(1)
    one, other = answered(rng, 2, spread=0.0)
    same = [[Resampled(0.7, run.draws, run.units, None, FRACTION) for run in arm]
            for arm in (one, other)]  # fmt: skip
    found = runs.difference(*same)
    assert found.value == 0
    assert found.high - found.low > 0.1


def test_an_interval_over_seeds_is_wider_than_that_of_the_pictures_alone():
    rng = np.random.default_rng(2)
    one, other = answered(rng, 3)
    found = runs.difference(one, other)
    draws = np.mean([a.draws - b.draws for a, b in zip(one, other, strict=True)], axis=0)
    low, high = np.quantile(draws, (0.025, 0.975))
    assert found.low < low < high < found.high
    assert found.interval == "t over runs and pictures"
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    opposite = runs.difference(other, one)
    assert (opposite.value, opposite.p) == pytest.approx((-found.value, found.p))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_configs_that_are_equal_seldom_differ(seeds):
    """Of a hundred comparisons of a config with itself few are significant, as many as promised.

    Pictures alone would call half of them significant. Wider: `benchmarks/seeds.py`.
    """
    rng = np.random.default_rng(seeds)
    found = [runs.difference(*answered(rng, seeds)) for _ in range(100)]
    assert sum(each.p < 0.05 for each in found) <= 10  # 5 expected; more than 10 are 1 % likely


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(3)
    better, _ = answered(rng, 3, spread=0.05)
    worse = [
        Resampled(run.value - 0.2, run.draws - 0.2, run.units, None, FRACTION) for run in better
    ]
    assert runs.difference(better, worse).p < 0.01
