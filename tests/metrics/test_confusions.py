"""Confused pairs of classes: how many, and what share of the true class."""

import numpy as np
import pytest

from bcjax import metrics
from bcjax.metrics import confusions

CLASSES = ("a", "b", "c")


def test_pairs_are_ranked_by_pictures_with_the_share_of_the_true_class():
    labels = np.array([0] * 10 + [1] * 4 + [2] * 2)
    predicted = np.array([0] * 5 + [1] * 3 + [2] * 2 + [1, 1, 1, 0] + [2, 2])
    pairs = confusions.ranked(labels, predicted, CLASSES)
    assert [(pair.true, pair.predicted, pair.count) for pair in pairs] == [
        ("a", "b", 3), ("a", "c", 2), ("b", "a", 1),
    ]  # fmt: skip
    assert [pair.share.value for pair in pairs] == [0.3, 0.2, 0.25]
    assert (pairs[0].share.low, pairs[0].share.high) == metrics.wilson(3, 10)
    assert pairs[2].share.n == 4


def test_pictures_of_a_group_count_as_one_trial():
    labels, predicted = np.zeros(8, int), np.array([1, 1, 0, 0, 0, 0, 0, 0])
    (pair,) = confusions.ranked(labels, predicted, CLASSES, ["p", "p", "q", "q"] * 2)
    assert (pair.share.low, pair.share.high) == metrics.wilson(0.5, 2)


def test_without_an_error_there_is_no_pair():
    assert confusions.ranked(np.array([0, 1]), np.array([0, 1]), CLASSES) == ()


def test_the_average_is_that_of_the_classes_that_have_the_metric():
    probabilities = np.eye(3)[[0, 0, 1, 0]]  # nothing is predicted as c, and there is no c
    measured = metrics.measure(probabilities, np.array([0, 0, 1, 1]), CLASSES, resamples=50)
    average = measured.average
    assert average.precision == measured.metrics["macro_precision"]
    assert average.precision.value == pytest.approx((2 / 3 + 1) / 2)
    assert average.precision.low is not None
    assert average.recall == measured.metrics["balanced_accuracy"]
    known = [row.specificity.value for row in measured.per_class]
    assert average.specificity.value == pytest.approx(np.mean(known))
    assert average.n == 4
