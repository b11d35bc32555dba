import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcjax import config as configs
from bcjax.engine import patience as pt

METRIC = {"max": "accuracy", "min": "log_loss"}


def options(mode="max", min_delta=0.0, factor=0.5, patience=2, min_scale=0.0):
    """A config with these settings of early stopping and of the plateau."""
    changes = {
        "checkpoint.best": METRIC[mode],
        "train.min_delta": min_delta,
        "optim.plateau.factor": factor,
        "optim.plateau.patience": patience,
        "optim.plateau.min_scale": min_scale,
    }
    return configs.replaced(configs.default(), changes)


def trace(values, **changes):
    """The state after each evaluation."""
    config = options(**changes)
    state, states = pt.init(config.checkpoint.best), []
    for value in values:
        state = pt.update(state, value, config)
        states.append(state)
    return states


@pytest.mark.parametrize(("mode", "worst"), [("max", -1e30), ("min", 1e30)])
def test_the_first_finite_value_is_an_improvement(mode, worst):
    (state,) = trace([worst], mode=mode, min_delta=0.1)
    assert state.best == np.float32(worst)
    assert state.since_best == 0


def test_counts_evaluations_since_the_best():
    states = trace([0.5, 0.4, 0.5, 0.6, 0.6], patience=0)
    assert [int(s.since_best) for s in states] == [0, 1, 2, 0, 1]
    assert states[-1].best == np.float32(0.6)
    assert all(s.lr_scale == 1 for s in states)


def test_less_is_better_in_mode_min():
    states = trace([2.0, 3.0, 1.0], mode="min")
    assert [float(s.best) for s in states] == [2.0, 2.0, 1.0]


def test_small_gains_add_up_to_an_improvement():
    states = trace([0.5, 0.55, 0.6, 0.65], min_delta=0.125)
    assert [int(s.since_best) for s in states] == [0, 1, 2, 0]


def test_a_repeated_value_is_no_improvement_on_its_rounded_self():
    assert [int(s.since_best) for s in trace([0.9, 0.9])] == [0, 1]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_no_improvement(mode, value):
    states = trace([value, 0.5, value], mode=mode)
    assert [int(s.since_best) for s in states] == [1, 0, 1]
    assert states[-1].best == 0.5


@pytest.mark.parametrize("mode", ["max", "min"])
def test_an_undefined_value_counts_neither_for_early_stopping_nor_for_the_plateau(mode):
    states = trace([np.nan, 0.5, np.nan, 0.5, np.nan, 0.5], mode=mode)
    assert [int(s.since_best) for s in states] == [0, 0, 0, 1, 1, 2]
    assert [float(s.lr_scale) for s in states] == [1, 1, 1, 1, 1, 0.5]
    assert states[-1].best == 0.5


def test_drops_after_a_plateau_and_counts_anew():
    states = trace([1, 0, 0, 0, 0, 2, 0, 0])
    assert [float(s.lr_scale) for s in states] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert [int(s.since_drop) for s in states] == [0, 1, 0, 1, 0, 0, 1, 0]
    assert [int(s.since_best) for s in states] == [0, 1, 2, 3, 4, 0, 1, 2]


def test_the_scale_stops_at_its_floor():
    states = trace([1] + [0] * 6, factor=0.1, min_scale=0.25)
    assert [float(s.lr_scale) for s in states[2::2]] == [0.25, 0.25, 0.25]


def test_a_scale_below_the_floor_is_not_raised():
    (*_, low) = trace([1, 0, 0])
    for _ in range(2):
        low = pt.update(low, 0, options(min_scale=0.75))
    assert low.lr_scale == 0.5


@pytest.mark.parametrize(
    ("min_delta", "patience", "min_scale"), [(0.1, 1, 0.0), (1.1, 2, 0.3), (0.3, 4, 0.125)]
)
def test_scales_as_reduce_on_plateau_of_optax(min_delta, patience, min_scale):
    theirs = optax.contrib.reduce_on_plateau(
        factor=0.5, patience=patience, rtol=0.0, atol=min_delta, min_scale=min_scale
    )
    # A slow descent in noise, on a grid that keeps clear of ties.
    rng = np.random.default_rng(0)
    values = (rng.integers(-8, 8, 80) / 4 - np.arange(80) // 20).astype(np.float32)

    def step(state, value):
        _, state = theirs.update(jnp.zeros(()), state, value=value)
        return state, state.scale

    _, scales = jax.lax.scan(step, theirs.init(jnp.zeros(())), values)
    ours = trace(
        values,
        mode="min",
        min_delta=min_delta,
        patience=patience,
        min_scale=min_scale,
    )
    np.testing.assert_allclose([s.lr_scale for s in ours], scales)
    assert 0 < scales[-1] < 1


@given(st.lists(st.floats(allow_nan=True, width=32), max_size=20), st.integers(0, 19))
@settings(max_examples=30)
def test_a_state_that_passed_through_jax_goes_on_as_if_it_had_not(values, cut):
    straight = trace(values)
    state = pt.init("accuracy")
    for i, value in enumerate(values):
        if i == cut:
            state = jax.tree.map(jnp.asarray, state)
        state = pt.update(state, value, options())
        jax.tree.map(np.testing.assert_array_equal, state, straight[i])


def test_keeps_its_dtypes_and_shapes():
    for state in (pt.init("log_loss"), *trace([1.0, 0.0, np.nan, jnp.float32(3.0)])):
        assert all(leaf.shape == () for leaf in state)
        assert [leaf.dtype for leaf in state] == [np.float32, np.int32, np.float32, np.int32]


def test_is_exhausted_after_the_allowed_evaluations():
    states = trace([1, 0, 0, 0], patience=1)
    assert [pt.exhausted(s, 2) for s in states] == [False, False, True, True]
    assert not any(pt.exhausted(s, 0) for s in states)
