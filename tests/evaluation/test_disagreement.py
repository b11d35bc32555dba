"""How much the networks of an ensemble disagree about each picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from bcjax.evaluation.disagreement import Disagreement, MeanDisagreement


def logs(networks, pictures, classes, seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return log_softmax(scale * rng.normal(size=(networks, pictures, classes)), axis=-1)


@settings(max_examples=50)
@given(st.integers(2, 6), st.integers(2, 9), st.integers(0, 10**6), st.floats(0.1, 200))
def test_mutual_information_is_a_part_of_the_entropy(networks, classes, seed, scale):
    found = Disagreement.of(logs(networks, 7, classes, seed, scale))
    assert (found.mutual_information >= 0).all()
    assert (found.mutual_information <= found.entropy + 1e-12).all()
    assert (found.entropy <= np.log(classes) + 1e-12).all()
    # Nobody can learn more of which network answered than there are networks.
    assert (found.mutual_information <= np.log(networks) + 1e-12).all()


def test_networks_that_agree_share_no_information_and_those_sure_of_other_classes_all_of_it():
    one = logs(1, 5, 3, 0)
    agreed = Disagreement.of(np.concatenate([one, one, one]))
    np.testing.assert_allclose(agreed.mutual_information, 0, atol=1e-12)
    np.testing.assert_allclose(agreed.entropy, -(np.exp(one) * one).sum(axis=-1)[0])
    sure = log_softmax(1000 * np.eye(2)[:, None], axis=-1)  # each of another class
    apart = Disagreement.of(sure)
    np.testing.assert_allclose(apart.entropy, np.log(2))
    np.testing.assert_allclose(apart.mutual_information, np.log(2))


def test_the_mutual_information_is_the_mean_divergence_from_the_mean():
    each = logs(4, 6, 3, 1)
    mean = np.exp(each).mean(axis=0)
    divergence = (np.exp(each) * (each - np.log(mean))).sum(axis=-1).mean(axis=0)
    np.testing.assert_allclose(Disagreement.of(each).mutual_information, divergence)


def test_means_are_given_for_right_and_wrong_answers_apart():
    found = Disagreement(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.6]))
    mean = MeanDisagreement.of(found, np.array([True, True, False]))
    assert mean.where_right == pytest.approx(0.15)
    assert mean.where_wrong == pytest.approx(0.6)
    assert (mean.entropy, mean.mutual_information) == pytest.approx((2.0, 0.3))
    assert MeanDisagreement.of(found, np.ones(3, bool)).where_wrong is None
