"""The order of the pictures depends on the seed alone, and each epoch shows what it should."""

import hashlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcjax.data.order import ClassSampling, Order, evaluation_batches, shown_per_class
from bcjax.runtime.errors import UserError

examples = st.integers(1, 60)
batch_sizes = st.integers(1, 70)
seeds = st.integers(0, 2**63)

# sha256 of six batches, little-endian int32, of Order(17092, 64, seed=7): within the first epoch,
# across its end, and far out.
STEPS = (0, 1, 266, 267, 268, 5000)
DIGEST = "ec9192f2010ee159"


def stream(order, steps):
    return np.concatenate([order(step) for step in range(steps)])


def digest(order):
    batches = b"".join(order(step).astype("<i4").tobytes() for step in STEPS)
    return hashlib.sha256(batches).hexdigest()[:16]


def test_the_order_is_frozen():
    """A run that was started with an older bcjax must resume in the same order: never change it."""
    order = Order(10, 4, seed=0)
    assert [order(step).tolist() for step in range(6)] == [
        [0, 2, 9, 1],
        [8, 5, 4, 3],
        [6, 7, 5, 3],
        [7, 8, 2, 4],
        [1, 0, 6, 9],
        [6, 7, 2, 9],
    ]
    assert Order(7, 3, seed=12345)(1000).tolist() == [4, 3, 0]
    assert Order(5, 8, seed=1)(0).tolist() == [3, 2, 0, 1, 4, 0, 3, 4]
    assert digest(Order(17092, 64, seed=7)) == DIGEST


def test_a_fresh_process_gives_the_same_order():
    code = (
        "import hashlib; from bcjax.data.order import Order; order = Order(17092, 64, 7); "
        f"batches = b''.join(order(s).astype('<i4').tobytes() for s in {STEPS[::-1]}[::-1]); "
        "print(hashlib.sha256(batches).hexdigest()[:16])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == DIGEST


@given(examples, batch_sizes, seeds)
def test_each_epoch_holds_each_picture_once(n, batch_size, seed):
    epochs = 3
    whole = stream(Order(n, batch_size, seed), -(-epochs * n // batch_size))
    assert whole.dtype == np.int32
    for epoch in range(epochs):
        assert sorted(whole[epoch * n : (epoch + 1) * n]) == list(range(n))


@given(examples, batch_sizes, seeds, st.data())
def test_any_step_can_be_asked_for_at_any_time(n, batch_size, seed, data):
    steps = 12
    whole = stream(Order(n, 1, seed), steps * batch_size)
    order = Order(n, batch_size, seed)
    for step in data.draw(st.permutations(range(steps))):
        expected = whole[step * batch_size : (step + 1) * batch_size]
        np.testing.assert_array_equal(order(step), expected)


@given(st.integers(30, 60), st.integers(0, 2**63), st.integers(0, 10**6))
def test_epochs_differ_and_seeds_differ(n, seed, epoch):
    order = Order(n, n, seed)  # a step is an epoch
    assert (order(epoch) != order(epoch + 1)).any()
    assert (order(epoch) != Order(n, n, seed + 1)(epoch)).any()
    # Neither is one the other, moved on.
    assert (order(epoch + 1) != Order(n, n, seed + 1)(epoch)).any()


def test_every_picture_is_as_likely_as_any_other_in_every_place():
    n, epochs = 5, 4000
    order = Order(n, n, seed=3)
    seen = np.zeros((n, n), int)
    for epoch in range(epochs):
        seen[np.arange(n), order(epoch)] += 1
    chi2 = ((seen - epochs / n) ** 2 / (epochs / n)).sum()
    assert chi2 < 40  # 16 degrees of freedom: a fair shuffle stays below with p = 0.999


def test_a_batch_may_be_larger_than_the_data():
    batch = Order(3, 8, seed=0)(0)
    assert sorted(batch[:3]) == sorted(batch[3:6]) == [0, 1, 2]
    assert len(batch) == 8


@given(st.integers(0, 60), batch_sizes)
def test_once_covers_each_picture_once_in_order(n, batch_size):
    batches = evaluation_batches(n, batch_size)
    assert all(len(b.positions) == len(b.mask) == batch_size for b in batches)
    counted = [b.positions[b.mask] for b in batches]
    assert [p for part in counted for p in part] == list(range(n))
    assert all(part.size for part in counted)  # no batch of padding alone
    for batch in batches:
        assert batch.positions.dtype == np.int32
        assert batch.mask.dtype == bool
        assert (batch.positions[~batch.mask] == 0).all()


# How often an epoch shows each class


CLASSES = ("rare", "common", "platelet")
counts = st.lists(st.integers(1, 20), min_size=3, max_size=3)


def labels_of(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


def order_of(counts, kind="balanced", repeat=(), batch_size=7, seed=3, epoch_size=None):
    labels = labels_of(counts)
    shown = shown_per_class(kind, epoch_size, repeat, counts, CLASSES)
    return labels, Order(len(labels), batch_size, seed, ClassSampling(labels, shown))


def epochs(order, count):
    steps = -(-count * order.examples // order.batch_size)
    stream = np.concatenate([order(step) for step in range(steps)])
    return stream[: count * order.examples].reshape(count, order.examples)


def test_the_natural_order_needs_no_sampling():
    assert shown_per_class("natural", None, (), [3, 4, 5], CLASSES) is None


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


@pytest.mark.parametrize(("kind", "shown"), [("natural", (8, 20, 6)), ("balanced", (12, 11, 11))])
def test_an_epoch_of_a_given_size_keeps_the_shares_of_the_classes(kind, shown):
    labels, order = order_of([4, 10, 3], kind, epoch_size=34)
    assert order.examples == 34
    for epoch in epochs(order, 2):
        assert Counter(labels[epoch].tolist()) == dict(enumerate(shown))


@given(counts, st.integers(1, 200))
def test_shares_of_an_epoch_add_up_to_its_size(counts, epoch_size):
    shown = shown_per_class("natural", epoch_size, (), counts, CLASSES)
    assert sum(shown) == epoch_size
    for count, number in zip(counts, shown, strict=True):
        assert abs(number - epoch_size * count / sum(counts)) < 1


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
        ("natural", ("rare=99999999999",), [1, 1, 1], "at most 1000"),
        ("natural", ("rare=nan",), [1, 1, 1], "write CLASS=FACTOR"),
        ("natural", ("rare",), [1, 1, 1], "write CLASS=FACTOR"),
        ("balanced", (), [3, 3, 0], "'platelet' has no training picture"),
    ],
)
def test_what_cannot_be_shown_is_refused(kind, repeat, counts, named):
    with pytest.raises(UserError) as refusal:
        shown_per_class(kind, None, repeat, counts, CLASSES)
    assert named in str(refusal.value)
