"""The order is a pure function of (examples, batch size, seed, step), and stays what it is."""

import hashlib
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bcjax.data.order import Order, evaluation_batches

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
