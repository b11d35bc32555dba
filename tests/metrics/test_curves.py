"""Curves against the areas and errors that are measured."""

import numpy as np
import pytest
from predictions import NAMES, made_up
from sklearn import metrics as sk

from bcjax.metrics import curves, measure


@pytest.fixture(scope="module", params=[None, 1], ids=["distinct", "tied"])
def measured(request):
    probabilities, labels = made_up(3000, decimals=request.param)
    return probabilities, labels, measure(probabilities, labels, NAMES, resamples=0)


def test_areas_under_the_curves_are_the_figures(measured):
    probabilities, labels, result = measured
    for c, row in enumerate(result.per_class):
        roc = curves.roc(probabilities, labels, c)
        assert sk.auc(*roc) == pytest.approx(row.auc.value, abs=2e-3)
        recall, precision = curves.precision_recall(probabilities, labels, c)
        area = (np.diff(recall) * precision[1:]).sum()
        assert area == pytest.approx(row.average_precision.value, abs=5e-3)
        for curve in (roc, curves.Curve(recall, precision)):
            assert (np.diff(curve.x) >= 0).all()
            assert len(curve.x) == len(curve.y) <= 1100
            assert 0 <= min(*curve.x, *curve.y) <= max(*curve.x, *curve.y) <= 1
        assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
        assert (recall[0], recall[-1]) == (0, 1)


def test_a_class_without_pictures_or_without_others_has_no_curve():
    probabilities = np.full((4, 2), 0.5)
    assert curves.roc(probabilities, np.zeros(4, int), 0) is None
    assert curves.roc(probabilities, np.zeros(4, int), 1) is None
    assert curves.precision_recall(probabilities, np.zeros(4, int), 1) is None


def test_the_bins_of_the_diagram_are_those_of_the_error(measured):
    probabilities, labels, result = measured
    bins = curves.reliability(probabilities, labels)
    gaps = np.abs(bins.accuracy - bins.confidence)
    assert bins.n.sum() == 3000
    assert (gaps * bins.n).sum() / 3000 == pytest.approx(result.metrics["ece"].value)
    assert gaps.max() == pytest.approx(result.metrics["mce"].value)
    assert ((bins.low <= bins.accuracy) & (bins.accuracy <= bins.high)).all()


def test_risk_over_coverage_ends_at_the_error_rate(measured):
    probabilities, labels, result = measured
    coverage, risk = curves.risk_coverage(probabilities, labels)
    assert (coverage[-1], risk[-1]) == pytest.approx((1, 1 - result.metrics["accuracy"].value))
    assert (np.diff(coverage) > 0).all()
    at = np.interp((0.8, 0.9), coverage, risk)
    figures = (result.metrics[f"selective_accuracy_{share}"].value for share in (80, 90))
    assert at == pytest.approx([1 - figure for figure in figures], abs=5e-3)
