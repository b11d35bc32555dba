"""Results in the terminal."""

import io

from predictions import NAMES, made_up
from rich.console import Console

from bcjax import metrics
from bcjax.cli import tables
from bcjax.evaluation.evaluation import Evaluation


def evaluate(*predictions, **options):
    measured = metrics.measure(*predictions, **options)
    about = {"split": "test", "checkpoint": 12, "source": "cells", "cautions": ()}
    return Evaluation(**vars(measured), **about)


def shown(result):
    console = Console(width=80, file=io.StringIO())
    console.print(tables.evaluation(result))
    return console.file.getvalue()


def test_each_metric_has_a_line_that_fits_the_terminal():
    result = evaluate(*made_up(200), NAMES, resamples=20)
    lines = shown(result).splitlines()
    for name, figure in result.metrics.items():
        (line,) = [line for line in lines if f" {name} " in line]
        assert f"{figure.value:.4f}" in line
        assert f"{figure.low:.4f} - {figure.high:.4f}" in line


def test_a_class_shows_its_figures_or_that_it_has_none():
    probabilities, labels = made_up(200)
    labels[labels == 3] = 2
    result = evaluate(probabilities, labels, NAMES, resamples=0)
    text = shown(result)
    assert f"{result.per_class[0].precision.value:.4f}" in text
    (line,) = [line for line in text.splitlines() if line.startswith("│ monocyte")]
    assert line.replace("│", " ").split() == ["monocyte", "0", "0.0000", "-", "-", "0.0000"]


def test_the_macro_average_stands_below_the_classes():
    result = evaluate(*made_up(200), NAMES, resamples=20)
    (line,) = [line for line in shown(result).splitlines() if "macro average" in line]
    for name in ("macro_precision", "balanced_accuracy", "macro_f1"):
        assert f"{result.metrics[name].value:.4f}" in line


def test_groups_are_said_to_be_resampled_as_a_whole():
    groups = [f"patient-{position // 4}" for position in range(200)]
    assert "50 groups" in shown(evaluate(*made_up(200), NAMES, groups=groups, resamples=20))
    assert "groups" not in shown(evaluate(*made_up(200), NAMES, resamples=20))
