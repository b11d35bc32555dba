import numpy as np
import pytest

from bcjax import config as configs
from bcjax.metrics import measure, names
from bcjax.metrics.scores import PER_CLASS


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(0)
    return of(rng.dirichlet(np.ones(6), 200), rng.integers(0, 6, 200))


def of(probabilities, labels):
    return measure(probabilities, labels, "abcdef", resamples=0)


def test_every_metric_is_described_and_nothing_else(measured):
    assert set(names.DESCRIPTIONS) == {*measured.metrics, *PER_CLASS}
    assert set(configs.METRICS) <= set(names.DESCRIPTIONS)


def test_values_lie_in_the_range(measured):
    for name, value in measured.values.items():
        described = names.describe(name)
        assert described.bounds.low <= value <= described.bounds.high, name


def test_a_better_answer_has_the_better_value(measured):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 200)
    good = of(0.05 * rng.dirichlet(np.ones(6), 200) + 0.95 * np.eye(6)[labels], labels)
    for name, value in good.values.items():
        if name not in ("ace", "mce"):  # a gap can be small by chance
            assert names.sign(name) * (value - measured.values[name]) > 0, name


def test_an_unknown_metric_is_a_fraction_of_which_more_is_better():
    assert names.describe("my_score") == names.Description("my score")
    assert names.describe("log_loss").label == "log loss (nats)"
