"""Intervals: Wilson's against SciPy, the bootstrap against a loop, both against the truth."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import NAMES, made_up
from scipy.stats import binomtest

from bcjax.metrics import intervals, measure, wilson
from bcjax.metrics.names import describe
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.scores import NOISE, PER_CLASS, all_metrics, calibration_error, unweighted


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(trial):
    expected = binomtest(*trial).proportion_ci(0.95, method="wilson")
    low, high = wilson(*trial)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= trial[0] / trial[1] <= high <= 1


def test_the_published_figure_has_its_published_interval():
    assert wilson(3421 - 33, 3421) == pytest.approx((0.9865, 0.9931), abs=1e-4)


@settings(max_examples=25)
@given(st.integers(20, 60), st.integers(0, 99), st.sampled_from([None, 1]))
def test_a_weight_is_as_many_copies_of_the_picture(n, seed, decimals):
    predictions = Predictions(*made_up(n, seed=seed, decimals=decimals))
    weights = np.random.default_rng(seed).integers(4, size=(n, 3)).astype(float)
    weighted = all_metrics(predictions)(weights)
    for column, copies in enumerate(weights.T.astype(int)):
        repeated = Predictions(
            predictions.probabilities.repeat(copies, axis=0), predictions.labels.repeat(copies)
        )
        for name, expected in unweighted(all_metrics(repeated), repeated.n).items():
            if name not in NOISE.values():
                np.testing.assert_allclose(weighted[name][..., column], expected, atol=1e-12)


def test_the_bootstrap_is_percentiles_over_samples_of_the_pictures():
    probabilities, labels = made_up(80, decimals=1)
    figures = measure(probabilities, labels, NAMES, resamples=40, seed=7).metrics
    rng = np.random.default_rng(7)
    draws = [
        measure(probabilities[sample], labels[sample], NAMES, resamples=0).metrics
        for sample in (rng.integers(80, size=80) for _ in range(40))
    ]
    resampled = [name for name, figure in figures.items() if "bootstrap" in figure.interval]
    assert {"balanced_accuracy", "mcc", "macro_auc", "brier", "aurc", *NOISE} <= set(resampled)
    for name in set(resampled) - NOISE.keys():
        expected = np.quantile([draw[name].value for draw in draws], (0.025, 0.975))
        assert (figures[name].low, figures[name].high) == pytest.approx(tuple(expected))


def test_pictures_of_a_group_are_drawn_together():
    """A set in which every picture is there twice is as sure as the set itself."""
    probabilities, labels = made_up(60)
    once = measure(probabilities, labels, NAMES, resamples=50)
    twice = measure(
        probabilities.repeat(2, axis=0),
        labels.repeat(2),
        NAMES,
        groups=[f"cell-{position // 2}" for position in range(120)],
        resamples=50,
    )
    assert (once.groups, twice.groups) == (60, 60)
    for name, figure in twice.metrics.items():
        assert figure.interval.removeprefix("clipped ") in ("group bootstrap", "group wilson")
        # A mean over all prefixes has finer prefixes of more pictures.
        if "bootstrap" in once.metrics[name].interval and name != "aurc":
            for bound in ("low", "high"):
                assert getattr(figure, bound) == pytest.approx(
                    getattr(once.metrics[name], bound), abs=1e-9
                )


def test_groups_of_one_picture_are_pictures():
    arguments = *made_up(60), NAMES
    alone = measure(*arguments, resamples=50)
    assert measure(*arguments, groups=[""] * 60, resamples=50) == alone
    named = [f"patient-{position}" for position in range(60)]
    assert measure(*arguments, groups=named, resamples=50) == alone


def test_empty_names_are_no_group():
    assert intervals.units(["a", "", "b", "", "a"], 5).tolist() == [0, 1, 2, 3, 0]
    with pytest.raises(ValueError, match="2 groups for 3 pictures"):
        intervals.units(["a", "b"], 3)


def test_one_group_alone_says_nothing_of_another():
    result = measure(*made_up(60), NAMES, groups=["patient"] * 60, resamples=50)
    figures = [*result.metrics.values(), *(row.auc for row in result.per_class)]
    assert all(figure.interval is None for figure in figures if figure.value not in (0, 1))


def test_all_right_in_few_groups_is_not_certain():
    labels = np.arange(40) % 4
    figures = measure(np.eye(4)[labels], labels, NAMES, groups=list("abcdefgh") * 5).metrics
    accuracy = figures["accuracy"]
    assert (accuracy.interval, accuracy.n) == ("group wilson", 40)
    assert (accuracy.low, accuracy.high) == wilson(8, 8)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # The balanced accuracy of an argmax over noise is one quarter, whatever the sample.
    hits = 0
    for seed in range(80):
        predictions = made_up(120, skill=0.0, seed=seed)
        figure = measure(*predictions, NAMES, resamples=80).metrics["balanced_accuracy"]
        hits += figure.low <= 0.25 <= figure.high
    assert 69 <= hits <= 80


def test_intervals_over_groups_cover_where_those_over_pictures_do_not():
    """Thirty patients, whose cells are easy or hard together: 0.7 are right on the whole."""
    rng, hits = np.random.default_rng(0), {"wilson": 0, "group bootstrap": 0}
    groups = [f"patient-{position // 8}" for position in range(240)]
    for _ in range(80):
        right = rng.random(240) < rng.beta(1.4, 0.6, size=30).repeat(8)
        for known, resamples in ((None, 0), (groups, 80)):
            figure = measure(
                np.eye(2)[right.astype(int)],
                np.ones(240, int),
                ["a", "b"],
                groups=known,
                resamples=resamples,
            ).metrics["accuracy"]
            hits[figure.interval] += figure.low <= 0.7 <= figure.high
    assert hits["wilson"] < 60
    assert 69 <= hits["group bootstrap"] <= 80


@pytest.mark.parametrize("temperature", [1.0, 0.6], ids=["calibrated", "too sure"])
def test_intervals_of_calibration_errors_cover_the_truth(temperature):
    def sample(n, rng):
        logits = rng.normal(size=(n, 4)) * 2
        honest, said = (
            np.exp(scale * logits) / np.exp(scale * logits).sum(1, keepdims=True)
            for scale in (temperature, 1.0)
        )
        return Predictions(said, (honest.cumsum(1) > rng.random((n, 1))).argmax(1))

    rng = np.random.default_rng(0)
    many = sample(100_000, rng)
    truth, hits = unweighted(calibration_error(many), many.n), dict.fromkeys(NOISE, 0)
    for seed in range(50):
        few = sample(400, rng)
        errors = calibration_error(few)
        draws, found = (
            intervals.bootstrap(errors, np.arange(400), 60, seed),
            unweighted(errors, 400),
        )
        for name, noise in NOISE.items():
            low, high = intervals.give_or_take(found[name], draws[noise])
            hits[name] += low <= truth[name] <= high
    assert all(count >= 45 for count in hits.values()), hits


def test_intervals_hold_the_value_and_shrink_with_n():
    widths = []
    for n in (100, 1600):
        result = measure(*made_up(n), NAMES, resamples=400)
        figures = dict(result.metrics)
        # The largest gap is decided by the emptiest bin, of whatever number of pictures.
        assert figures.pop("mce").interval
        assert all(figure.low <= figure.value <= figure.high for figure in figures.values())
        widths.append([figure.high - figure.low for figure in figures.values()])
        for row in result.per_class:
            recall = row.recall
            assert (recall.low, recall.high) == wilson(recall.value * row.n, row.n)
            assert row.f1.low < row.f1.value < row.f1.high
    # Sixteen times the pictures: a quarter of the width.
    np.testing.assert_allclose(np.divide(*widths), 4, rtol=0.45)


@pytest.mark.parametrize("groups", [None, [str(i // 3) for i in range(15)]], ids=["", "groups"])
@pytest.mark.parametrize("skill", [-6.0, 0.0, 1.5, 6.0])
def test_no_interval_leaves_the_range_of_its_metric(skill, groups):
    """Few pictures, answered well or badly: figures lie at the ends of their ranges."""
    for seed in range(3):
        predictions = made_up(15, skill=skill, seed=seed)
        found = measure(*predictions, NAMES, groups=groups, resamples=20)
        figures = [
            *found.metrics.items(), *(each for row in found.per_class for each in row.items())
        ]  # fmt: skip
        for name, figure in figures:
            if figure and figure.interval:
                low, high = describe(name).bounds
                assert low <= figure.low <= figure.high <= high, (name, figure)


def test_an_end_that_is_moved_into_the_range_is_named():
    sure = np.tile([0.8, 0.2], (20, 1))
    calibrated = measure(sure, np.repeat([0, 1], [16, 4]), NAMES[:2], resamples=200).metrics["ece"]
    assert calibrated.value == pytest.approx(0)
    assert (calibrated.low, calibrated.interval) == (0, "clipped bootstrap")
    # All right alike: the gap is the same on each resample.
    assert measure(sure, np.zeros(20, int), NAMES[:2], resamples=20).metrics["ece"].low is None


def test_what_is_perfect_on_each_resample_is_not_said_to_be_certain():
    labels = np.arange(40) % 4
    figures = measure(np.eye(4)[labels], labels, NAMES, resamples=20).metrics
    for name in ("macro_f1", "balanced_accuracy", "macro_auc", "mcc"):
        assert (figures[name].value, figures[name].interval, figures[name].low) == (1, None, None)
    assert figures["accuracy"].low == wilson(40, 40)[0] < 1


def test_without_resamples_only_proportions_have_an_interval():
    result = measure(*made_up(50), NAMES, resamples=0)
    with_interval = {name for name, figure in result.metrics.items() if figure.interval}
    selective = {f"selective_accuracy_{coverage}" for coverage in (80, 90, 95)}
    assert with_interval == {"accuracy", "top_3_accuracy"} | selective
    row = result.per_class[0]
    kinds = {name: getattr(row, name).interval for name in PER_CLASS if getattr(row, name).interval}
    assert kinds == dict.fromkeys(("precision", "recall", "specificity"), "wilson")


def test_the_seed_decides_the_intervals_whatever_the_block(monkeypatch):
    arguments = *made_up(60), NAMES
    once = measure(*arguments, resamples=50, seed=3)
    assert once != dataclasses.replace(measure(*arguments, resamples=50, seed=4), seed=3)
    monkeypatch.setattr("bcjax.metrics.intervals._BLOCK", 60 * 7)
    assert measure(*arguments, resamples=50, seed=3) == once
