"""Each metric against scikit-learn, or against its definition as a loop."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import NAMES, made_up
from sklearn import metrics as sk

from bcjax.metrics import Estimate, Measurements, measure
from bcjax.metrics.scores import PER_CLASS

some = settings(max_examples=8)
samples = given(
    n=st.integers(60, 200), seed=st.integers(0, 99), decimals=st.sampled_from([None, 1])
)


def values(probabilities, labels, names=NAMES):
    found = measure(probabilities, labels, names, resamples=0).metrics
    return {name: figure.value for name, figure in found.items()}


@some
@samples
def test_values_agree_with_scikit_learn(n, seed, decimals):
    probabilities, labels = made_up(n, seed=seed, decimals=decimals)
    predicted, one_hot = probabilities.argmax(1), np.eye(4)[labels]
    found = values(probabilities, labels)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, average="macro"),
        "macro_precision": sk.precision_score(labels, predicted, average="macro"),
        "weighted_f1": sk.f1_score(labels, predicted, average="weighted"),
        "kappa": sk.cohen_kappa_score(labels, predicted),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities),
        "brier": sk.brier_score_loss(one_hot, probabilities, scale_by_half=False),
        "macro_auc": sk.roc_auc_score(one_hot, probabilities, average="macro"),
        "macro_average_precision": sk.average_precision_score(one_hot, probabilities),
    }
    if decimals is None:  # of classes that tie scikit-learn takes the last first, argmax the first
        expected["top_3_accuracy"] = sk.top_k_accuracy_score(labels, probabilities, k=3)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@some
@samples
def test_each_class_agrees_with_scikit_learn(n, seed, decimals):
    probabilities, labels = made_up(n, seed=seed, decimals=decimals)
    predicted = probabilities.argmax(1)
    for c, row in enumerate(measure(probabilities, labels, NAMES, resamples=0).per_class):
        true, said = labels == c, predicted == c
        expected = {
            "precision": (sk.precision_score(true, said), said.sum()),
            "recall": (sk.recall_score(true, said), true.sum()),
            "specificity": (sk.recall_score(~true, ~said), (~true).sum()),
            "f1": (sk.f1_score(true, said), (true | said).sum()),
            "auc": (sk.roc_auc_score(true, probabilities[:, c]), n),
            "average_precision": (sk.average_precision_score(true, probabilities[:, c]), n),
        }
        assert (row.name, row.n) == (NAMES[c], true.sum())
        for name, (value, of) in expected.items():
            assert getattr(row, name).value == pytest.approx(value)
            assert getattr(row, name).n == of


def by_medmnist(probabilities, labels):
    """Accuracy and area as its `getACC` and `getAUC` have them for a multi-class task."""
    areas = [
        sk.roc_auc_score((labels == c).astype(float), probabilities[:, c])
        for c in range(probabilities.shape[1])
    ]
    return sk.accuracy_score(labels, np.argmax(probabilities, axis=-1)), sum(areas) / len(areas)


def test_accuracy_and_area_are_medmnists():
    probabilities, labels = made_up(500, decimals=2)
    found = values(probabilities, labels)
    expected = by_medmnist(probabilities, labels)
    assert (found["accuracy"], found["macro_auc"]) == pytest.approx(expected, abs=1e-12)


def test_its_own_evaluator_says_the_same():
    own = pytest.importorskip("medmnist.evaluator", reason="medmnist, which needs torch")
    probabilities, labels = made_up(500, decimals=2)
    column, task = labels[:, None], "multi-class"
    found = own.getACC(column, probabilities, task), own.getAUC(column, probabilities, task)
    assert found == pytest.approx(by_medmnist(probabilities, labels), abs=1e-12)


def test_top_k_asks_for_more_classes_than_k():
    probabilities, labels = made_up(300, classes=6)
    found = values(probabilities, labels, list("abcdef"))
    for k in (3, 5):
        expected = sk.top_k_accuracy_score(labels, probabilities, k=k)
        assert found[f"top_{k}_accuracy"] == pytest.approx(expected)
    assert "top_3_accuracy" not in values(np.eye(3), np.arange(3), list("abc"))


def test_of_equal_classes_the_first_is_named_first_whatever_k():
    found = values(np.full((6, 6), 1 / 6), np.arange(6), list("abcdef"))
    got = [found[name] for name in ("accuracy", "top_3_accuracy", "top_5_accuracy")]
    assert got == pytest.approx([1 / 6, 3 / 6, 5 / 6])


def in_bins(members, probabilities, labels):
    """The gap between confidence and accuracy in each bin that has members, and their number."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    full = [rows for rows in members if len(rows)]
    return [(abs(right[rows].mean() - confidence[rows].mean()), len(rows)) for rows in full]


@some
@samples
def test_calibration_errors_agree_with_a_loop(n, seed, decimals):
    n -= n % 15
    probabilities, labels = made_up(n, seed=seed, decimals=decimals)
    found, confidence = values(probabilities, labels), probabilities.max(1)
    borders = np.linspace(0, 1, 16)
    wide = in_bins(
        [
            np.flatnonzero((confidence > low) & (confidence <= high))
            for low, high in itertools.pairwise(borders)
        ],
        probabilities,
        labels,
    )
    assert found["ece"] == pytest.approx(sum(gap * count for gap, count in wide) / n)
    assert found["mce"] == pytest.approx(max(gap for gap, _ in wide))
    if decimals is None:  # of distinct confidences, fifteen parts of equal size
        equal = in_bins(np.split(confidence.argsort(), 15), probabilities, labels)
        assert found["ace"] == pytest.approx(np.mean([gap for gap, _ in equal]))


@some
@samples
def test_abstention_agrees_with_the_mean_over_orders_of_equals(n, seed, decimals):
    probabilities, labels = made_up(n, seed=seed, decimals=decimals)
    found, rng = values(probabilities, labels), np.random.default_rng(seed)
    confidence, wrong = probabilities.max(1), probabilities.argmax(1) != labels
    risks = []
    for _ in range(1 if decimals is None else 400):
        shuffled = rng.permutation(n)
        order = shuffled[(-confidence[shuffled]).argsort(kind="stable")]
        risks.append(wrong[order].cumsum() / np.arange(1, n + 1))
    risk, slack = np.mean(risks, axis=0), 1e-12 if decimals is None else 0.01
    assert found["aurc"] == pytest.approx(risk.mean(), abs=slack)
    for coverage in (80, 90, 95):
        kept = int(np.ceil(n * coverage / 100 - 1e-9))
        expected = 1 - risk[kept - 1]
        assert found[f"selective_accuracy_{coverage}"] == pytest.approx(expected, abs=slack)


def test_the_order_of_the_pictures_changes_nothing():
    probabilities, labels = made_up(200, decimals=1)
    order = np.random.default_rng(0).permutation(200)
    shuffled = values(probabilities[order], labels[order])
    assert shuffled == pytest.approx(values(probabilities, labels), abs=1e-12)


def test_rows_of_the_confusion_matrix_are_the_truth():
    result = measure(np.eye(4)[[1, 1, 2]], np.array([0, 1, 2]), NAMES, resamples=0)
    assert result.confusion_matrix[0] == (0, 1, 0, 0)


@pytest.mark.parametrize(("shift", "value"), [(0, 1.0), (1, 0.0)], ids=["perfect", "worst"])
def test_the_ends_of_the_scale(shift, value):
    labels = np.arange(40) % 4
    figures = measure(np.eye(4)[(labels + shift) % 4], labels, NAMES, resamples=50).metrics
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"):
        assert figures[name].value == value
    for name in ("ece", "ace", "mce", "aurc"):
        assert figures[name].value == 1 - value
    assert figures["brier"].value == 2 * (1 - value)
    assert figures["kappa"].value == figures["mcc"].value == pytest.approx([1, -1 / 3][shift])
    # Certain and wrong costs -log of float64's epsilon; a class that is always another one ranks
    # a third of its negatives above it, and ties with the others.
    assert figures["log_loss"].value == pytest.approx([0.0, 36.0437][shift], abs=1e-4)
    assert figures["macro_auc"].value == pytest.approx([1.0, 1 / 3][shift])
    assert value in (figures["accuracy"].low, figures["accuracy"].high)


def test_a_class_without_pictures_is_named_and_left_out_of_the_averages():
    probabilities, labels = made_up(200)
    labels[labels == 2] = 1
    probabilities[:, 2] = 0.0
    probabilities /= probabilities.sum(1, keepdims=True)
    result = measure(probabilities, labels, NAMES, resamples=100)
    row = result.per_class[2]
    assert (row.name, row.n) == ("lymphocyte", 0)
    assert [name for name, each in row.items() if each] == ["specificity"]
    assert row.specificity.value == 1
    expected = dict.fromkeys(PER_CLASS, ("lymphocyte",)) | {"specificity": ()}
    assert result.undefined == expected
    without = [0, 1, 3]
    alone = measure(
        probabilities[:, without], np.searchsorted(without, labels), list("abc"), resamples=100
    ).metrics
    assert result.metrics.keys() - alone.keys() == {"top_3_accuracy"}
    for name, figure in alone.items():
        expected = figure.to_dict()
        assert result.metrics[name].to_dict() == pytest.approx(expected)


def test_a_class_without_pictures_that_is_predicted_counts_against_macro_f1():
    probabilities, labels = np.eye(4)[[0, 0, 1, 2]], np.array([0, 0, 1, 1])
    result = measure(probabilities, labels, NAMES, resamples=0)
    assert result.per_class[2].f1.value == 0.0
    assert result.metrics["macro_f1"].value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert result.undefined["f1"] == ("monocyte",)


def test_one_class_alone_has_no_area_no_kappa_and_no_correlation():
    figures = measure(np.full((5, 2), 0.5), np.zeros(5, int), ["a", "b"]).metrics
    for name in ("macro_auc", "kappa"):
        assert figures[name] == Estimate(None, 5, None)
        assert figures[name].to_dict() == {"value": None, "n": 5, "interval": None}
    assert figures["mcc"].value == 0


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
    st.integers(0, 9),
    st.sampled_from([1, 20]),
    st.booleans(),
)
def test_any_labels_give_strict_json(labels, seed, resamples, grouped):
    probabilities, _ = made_up(len(labels), seed=seed, decimals=1)
    groups = [f"slide-{label}" if label else "" for label in labels] if grouped else None
    result = measure(probabilities, np.array(labels), NAMES, groups=groups, resamples=resamples)
    page = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert page == result.to_dict()
    assert Measurements.from_dict(page) == result


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
        measure(np.array(probabilities), np.array(labels), ["a", "b"])


@pytest.mark.parametrize("count", [100, 101])
def test_a_file_of_many_classes_holds_the_confused_pairs_alone_and_is_read_as_any_other(count):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(count), 40)
    names = [f"class {i}" for i in range(count)]
    labels = rng.integers(0, count, 40)
    result = measure(probabilities, labels, names, resamples=0)
    page = json.loads(json.dumps(result.to_dict()))
    held = page["confusion_matrix"]
    if count == 100:
        assert held == [list(row) for row in result.confusion_matrix]
    else:
        assert len(held["count"]) <= sum(held["count"]) == 40
        whole = {**page, "confusion_matrix": [list(row) for row in result.confusion_matrix]}
        assert Measurements.from_dict(whole) == result  # as an earlier version wrote it
    assert Measurements.from_dict(page) == result
