"""How often an epoch shows each class: exactly so often, each picture in its turn, at any step."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcjax.data.order import ClassSampling, Order, shown_per_class
from bcjax.runtime.errors import UserError

CLASSES = ("rare", "common", "platelet")
counts = st.lists(st.integers(1, 20), min_size=3, max_size=3)
seeds = st.integers(0, 2**63)


def labels_of(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


def order_of(counts, kind="balanced", repeat=(), batch_size=7, seed=3):
    labels = labels_of(counts)
    shown = shown_per_class(kind, repeat, counts, CLASSES)
    return labels, Order(len(labels), batch_size, seed, ClassSampling(labels, shown))


def epochs(order, count):
    steps = -(-count * order.examples // order.batch_size)
    stream = np.concatenate([order(step) for step in range(steps)])
    return stream[: count * order.examples].reshape(count, order.examples)


def test_the_natural_order_needs_no_sampling():
    assert shown_per_class("natural", (), [3, 4, 5], CLASSES) is None


@given(counts, seeds)
def test_a_balanced_epoch_shows_each_class_equally_often(counts, seed):
    labels, order = order_of(counts, seed=seed)
    assert order.examples == sum(counts)
    for epoch in epochs(order, 3):
        seen = Counter(labels[epoch].tolist())
        assert max(seen.values()) - min(seen[c] for c in range(3)) <= 1


@given(counts, seeds)
def test_no_picture_is_shown_twice_more_than_another_of_its_class(counts, seed):
    labels, order = order_of(counts, seed=seed)
    shown = np.bincount(epochs(order, 5).ravel(), minlength=len(labels))
    for label in range(3):
        own = shown[labels == label]
        assert own.max() - own.min() <= 1


def test_a_repeat_factor_multiplies_a_class():
    labels, order = order_of([4, 10, 3], "natural", ("rare=2.5", "platelet = 2"))
    assert order.sampling.shown == (10, 10, 6)
    for epoch in epochs(order, 2):
        assert Counter(labels[epoch].tolist()) == {0: 10, 1: 10, 2: 6}


def test_any_step_can_be_asked_for_first():
    """A run that starts again at step k goes on as if it had never stopped."""
    _, unbroken = order_of([5, 9, 2])
    batches = [unbroken(step) for step in range(40)]
    for step in (39, 17, 3):
        _, fresh = order_of([5, 9, 2])
        np.testing.assert_array_equal(fresh(step), batches[step])


def test_epochs_and_seeds_differ():
    _, order = order_of([5, 9, 2])
    first, second = epochs(order, 2)
    assert first.tolist() != second.tolist()
    _, other = order_of([5, 9, 2], seed=4)
    assert first.tolist() != epochs(other, 1)[0].tolist()


def test_the_balanced_order_is_frozen():
    """A run that was started with an older bcjax must resume in the same order: never change it."""
    sampled = ClassSampling([0, 1, 1, 1, 2, 1], (2, 2, 2))
    order = Order(6, 4, 0, sampled)
    assert [order(step).tolist() for step in range(3)] == FROZEN


FROZEN = [[0, 2, 0, 4], [4, 5, 4, 3], [1, 4, 0, 0]]


@pytest.mark.parametrize(
    ("kind", "repeat", "counts", "named"),
    [
        ("natural", ("rear=2",), [1, 1, 1], "'rear': did you mean 'rare'?"),
        ("natural", ("rare=0",), [1, 1, 1], "write CLASS=FACTOR"),
        ("natural", ("rare=-1",), [1, 1, 1], "write CLASS=FACTOR"),
        ("natural", ("rare",), [1, 1, 1], "write CLASS=FACTOR"),
        ("balanced", (), [3, 3, 0], "'platelet' has no training picture"),
    ],
)
def test_what_cannot_be_shown_is_refused(kind, repeat, counts, named):
    with pytest.raises(UserError) as refusal:
        shown_per_class(kind, repeat, counts, CLASSES)
    assert named in str(refusal.value)
