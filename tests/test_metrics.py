"""Evaluation against scikit-learn, SciPy and a bootstrap written as a loop."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from bcjax.metrics import evaluate, wilson

NAMES = ["basophil", "eosinophil", "lymphocyte", "monocyte"]


def predictions(n, *, classes=4, skill=1.5, seed=0, decimals=None):
    """Probabilities and labels; rounding to few decimals makes ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if decimals is not None:
        probabilities[:, 1:] = (probabilities[:, 1:] - 0.5 * 10**-decimals).round(decimals).clip(0)
        probabilities[:, 0] = 1 - probabilities[:, 1:].sum(1)
        probabilities = probabilities.round(decimals)
    return probabilities, labels


def reference(probabilities, labels):
    predicted = probabilities.argmax(1)
    columns = range(probabilities.shape[1])
    return {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, average="macro"),
        "macro_auc": np.mean([sk.roc_auc_score(labels == c, probabilities[:, c]) for c in columns]),
        "log_loss": sk.log_loss(labels, probabilities),
    }


@pytest.mark.parametrize("decimals", [None, 1], ids=["distinct", "tied"])
def test_values_agree_with_scikit_learn(decimals):
    probabilities, labels = predictions(300, decimals=decimals)
    result = evaluate(probabilities, labels, NAMES, resamples=0)
    found = {name: figure["value"] for name, figure in result["metrics"].items()}
    assert found == pytest.approx(reference(probabilities, labels))

    report = sk.classification_report(
        labels, probabilities.argmax(1), target_names=NAMES, output_dict=True
    )
    for row in result["per_class"]:
        expected = report[row["name"]]
        assert row["n"] == expected["support"]
        assert row["precision"] == pytest.approx(expected["precision"])
        assert row["recall"]["value"] == pytest.approx(expected["recall"])
        assert row["f1"] == pytest.approx(expected["f1-score"])


def test_rows_of_the_confusion_matrix_are_the_truth():
    probabilities = np.eye(4)[[1, 1, 2]]
    result = evaluate(probabilities, np.array([0, 1, 2]), NAMES, resamples=0)
    assert result["confusion_matrix"][0] == [0, 1, 0, 0]


@pytest.mark.parametrize("decimals", [None, 1], ids=["distinct", "tied"])
def test_intervals_agree_with_a_bootstrap_written_as_a_loop(decimals):
    probabilities, labels = predictions(150, decimals=decimals)
    figures = evaluate(probabilities, labels, NAMES, resamples=2000, seed=1)["metrics"]
    rng = np.random.default_rng(2)
    draws = [
        reference(probabilities[sample], labels[sample])
        for sample in rng.integers(150, size=(150, 150))
    ]
    for name in ("balanced_accuracy", "macro_f1", "macro_auc", "log_loss"):
        values = [draw[name] for draw in draws]
        low, high = np.quantile(values, (0.025, 0.975))
        slack = 0.3 * (high - low)
        assert figures[name]["low"] == pytest.approx(low, abs=slack)
        assert figures[name]["high"] == pytest.approx(high, abs=slack)
        assert figures[name]["interval"] == "bootstrap"


def test_bootstrapped_intervals_cover_the_truth_about_as_often_as_they_say():
    # The balanced accuracy of an argmax over noise is one quarter, whatever the sample.
    hits = 0
    for seed in range(100):
        probabilities, labels = predictions(200, skill=0.0, seed=seed)
        figure = evaluate(probabilities, labels, NAMES, resamples=100)["metrics"]
        figure = figure["balanced_accuracy"]
        hits += figure["low"] <= 0.25 <= figure["high"]
    assert 85 <= hits <= 100


def test_intervals_hold_the_value_and_shrink_with_n():
    widths = []
    for n in (100, 1600):
        probabilities, labels = predictions(n)
        figures = evaluate(probabilities, labels, NAMES, resamples=400)["metrics"].values()
        assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in figures)
        assert all(figure["n"] == n for figure in figures)
        widths.append([figure["high"] - figure["low"] for figure in figures])
    # Sixteen times the pictures: a quarter of the width.
    np.testing.assert_allclose(np.divide(*widths), 4, rtol=0.35)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(trial):
    expected = binomtest(*trial).proportion_ci(0.95, method="wilson")
    low, high = wilson(*trial)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= trial[0] / trial[1] <= high <= 1


def test_the_published_figure_has_its_published_interval():
    assert wilson(3421 - 33, 3421) == pytest.approx((0.9865, 0.9931), abs=1e-4)


@pytest.mark.parametrize(("shift", "value"), [(0, 1.0), (1, 0.0)], ids=["perfect", "worst"])
def test_the_ends_of_the_scale(shift, value):
    labels = np.arange(40) % 4
    result = evaluate(np.eye(4)[(labels + shift) % 4], labels, NAMES, resamples=50)
    figures = result["metrics"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert figures[name]["value"] == value
    # Certain and wrong costs -log of float64's epsilon; a class that is always another one ranks
    # a third of its negatives above it, and ties with the others.
    assert figures["log_loss"]["value"] == pytest.approx([0.0, 36.0437][shift], abs=1e-4)
    assert figures["macro_auc"]["value"] == pytest.approx([1.0, 1 / 3][shift])
    assert value in (figures["accuracy"]["low"], figures["accuracy"]["high"])


def test_a_class_without_pictures_is_named_and_left_out_of_the_averages():
    probabilities, labels = predictions(200)
    labels[labels == 2] = 1
    probabilities[:, 2] = 0.0
    probabilities /= probabilities.sum(1, keepdims=True)
    result = evaluate(probabilities, labels, NAMES, resamples=100)
    row = result["per_class"][2]
    assert row == dict.fromkeys(row) | {"name": "lymphocyte", "n": 0}
    assert all(names == ["lymphocyte"] for names in result["undefined"].values())
    without = [0, 1, 3]
    alone = evaluate(
        probabilities[:, without], np.searchsorted(without, labels), list("abc"), resamples=100
    )
    assert result["metrics"] == alone["metrics"]


def test_a_class_without_pictures_that_is_predicted_counts_against_macro_f1():
    probabilities, labels = np.eye(4)[[0, 0, 1, 2]], np.array([0, 0, 1, 1])
    result = evaluate(probabilities, labels, NAMES, resamples=0)
    assert result["per_class"][2]["f1"] == 0.0
    assert result["metrics"]["macro_f1"]["value"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert result["undefined"]["f1"] == ["monocyte"]


def test_one_class_alone_has_no_auc():
    figure = evaluate(np.full((5, 2), 0.5), np.zeros(5, int), ["a", "b"])["metrics"]["macro_auc"]
    assert figure == {"value": None, "n": 5, "interval": None}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
    st.integers(0, 9),
    st.sampled_from([1, 20]),
)
def test_any_labels_give_strict_json(labels, seed, resamples):
    probabilities, _ = predictions(len(labels), seed=seed, decimals=1)
    result = evaluate(probabilities, np.array(labels), NAMES, resamples=resamples)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_without_resamples_only_proportions_have_an_interval():
    figures = evaluate(*predictions(50), NAMES, resamples=0)["metrics"]
    assert {name for name, figure in figures.items() if "low" in figure} == {"accuracy"}


def test_the_seed_decides_the_intervals_whatever_the_block(monkeypatch):
    arguments = *predictions(60), NAMES
    once = evaluate(*arguments, resamples=50, seed=3)
    assert once != evaluate(*arguments, resamples=50, seed=4) | {"seed": 3}
    monkeypatch.setattr("bcjax.metrics._BLOCK", 60 * 7)
    assert evaluate(*arguments, resamples=50, seed=3) == once


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.4]], [0], "sum to 1; row 0 sums to 0.9"),
        ([[np.nan, 1.0]], [0], "finite"),
        ([[-0.5, 1.5]], [0], "not negative"),
        ([[0.5, 0.5]], [2], r"\[0, 2\); got 2"),
        ([[0.5, 0.5]], [-1], "got -1"),
        ([[0.5, 0.5]], [0.0], "integers"),
        ([[0.5, 0.5]], [0, 1], "shape"),
        ([[1.0]], [0], "shape"),
        (np.zeros((0, 2)), np.zeros(0, int), "nothing"),
    ],
)
def test_bad_arrays_are_refused(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(np.array(probabilities), np.array(labels), ["a", "b"])
