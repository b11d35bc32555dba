import jax.numpy as jnp
import numpy as np
import pytest

from bcjax.engine.step import METRICS
from bcjax.runtime.errors import UserError
from bcjax.training.meter import Meter


def report(*rows):
    """What a call of `len(rows)` steps reports."""
    return jnp.array([[row.get(name, 1.0) for name in METRICS] for row in rows])


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""
    now = [100.0]
    monkeypatch.setattr("bcjax.training.meter.time.monotonic", lambda: now[0])
    return now


def test_means_are_over_examples_and_the_rate_over_seconds(clock):
    meter = Meter()
    meter.add(0, report({"loss": 8.0, "correct": 3, "examples": 4, "grad_norm": 1.0}))
    meter.add(
        1,
        report(
            {"loss": 2.0, "correct": 4, "examples": 4, "grad_norm": 2.0},
            {"loss": 1.0, "correct": 2, "examples": 2, "grad_norm": 6.0},
        ),
    )
    clock[0] += 5
    assert meter.take() == {
        "loss": pytest.approx(1.1),
        "accuracy": pytest.approx(0.9),
        "grad_norm": pytest.approx(3.0),
        "images_per_s": pytest.approx(2.0),
    }


def test_take_starts_anew(clock):
    meter = Meter()
    meter.add(0, report({"loss": 8.0, "examples": 4}))
    clock[0] += 1
    meter.take()
    meter.add(1, report({"loss": 6.0, "correct": 0, "examples": 2, "grad_norm": 5.0}))
    clock[0] += 2
    assert meter.take() == {"loss": 3, "accuracy": 0, "grad_norm": 5, "images_per_s": 1}


def test_nothing_reported_is_no_division_by_zero(clock):
    clock[0] += 1
    meter = Meter()
    clock[0] += 1
    assert set(meter.take().values()) == {0.0}


def test_the_host_runs_at_most_two_calls_ahead(clock):
    meter, seen = Meter(), []
    clock[0] += 1
    for call in range(5):
        meter.add(call, report({"examples": 1}))
        seen.append(meter.values()["images_per_s"])
    assert seen == [0, 0, 1, 2, 3]
    meter.flush()
    assert meter.values()["images_per_s"] == 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("name", "what"), [("loss", "loss"), ("grad_norm", "gradient")])
def test_names_the_step_that_is_not_finite(name, what, value):
    meter = Meter()
    meter.add(0, report({}, {}, {}, {}))
    meter.add(4, report({}, {}, {name: value}, {"loss": np.nan}))
    with pytest.raises(UserError, match=f"The {what} of step 7 is not finite"):
        meter.take()


def test_a_loss_that_is_not_finite_shows_before_the_log_line():
    meter = Meter()
    meter.add(0, report({"loss": np.nan}))
    meter.add(1, report({}))
    with pytest.raises(UserError, match="step 1 "):
        meter.add(2, report({}))


def test_what_came_before_the_clock_was_restarted_is_not_in_the_rate(clock):
    meter = Meter()
    meter.add(0, report({"loss": 8.0, "examples": 4}))
    clock[0] += 60  # the first call compiles
    meter.flush()
    meter.restart_clock()
    meter.add(1, report({"loss": 2.0, "examples": 4}))
    clock[0] += 2
    taken = meter.take()
    assert taken["images_per_s"] == pytest.approx(2.0)
    assert taken["loss"] == pytest.approx(10 / 8)
