"""The result of an evaluation: written, read, shown, and turned into a table."""

import dataclasses
import json
import sys

import fabricated
import numpy as np
import pytest

from bcjax.evaluation import evaluation as evaluations
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import evaluate_answers
from bcjax.evaluation.guards.pictures import EvaluatedSplit
from bcjax.runtime.errors import UserError

ANSWERS = fabricated.answers(np.arange(90) % 7 > 0)


@pytest.fixture(scope="module")
def evaluation():
    pictures = EvaluatedSplit("test", "cells", True, ("Beware of the cells.",), "Two leak")
    return evaluate_answers(ANSWERS, pictures, 1200, resamples=50)


def test_it_is_read_as_it_was_written(evaluation, tmp_path):
    written = evaluations.write(evaluation, ANSWERS, tmp_path, "test")
    assert written.path == tmp_path / "eval" / "test.json"
    assert json.loads(written.path.read_text()) == evaluation.to_dict()
    read, answers = evaluations.read_with_answers(written.path)
    assert read == evaluation
    assert read.path == written.path
    np.testing.assert_array_equal(answers.logits, ANSWERS.logits)


def test_an_evaluation_that_is_missing_damaged_or_of_other_answers_is_refused(evaluation, tmp_path):
    path = tmp_path / "eval" / "test.json"
    with pytest.raises(UserError, match=r"no evaluation at .*run bcjax evaluate"):
        Evaluation.read(path)
    evaluations.write(evaluation, ANSWERS.take(range(80)), tmp_path, "test")
    with pytest.raises(UserError, match="not of one evaluation"):
        evaluations.read_with_answers(path)
    for text in ("{", "{}", "[]"):
        path.write_text(text)
        with pytest.raises(UserError, match="damaged"):
            Evaluation.read(path)


def test_it_is_shown_in_a_few_lines(evaluation):
    lines = repr(evaluation).splitlines()
    assert lines[:2] == ["Caution: Beware of the cells.", "Caution: Two leak."]
    assert lines[2] == "Evaluation of the test split, checkpoint 1200, n = 90"
    assert lines[3].split(maxsplit=1) == ["accuracy", str(evaluation.metrics["accuracy"])]


def test_its_table_has_a_row_for_each_metric_of_all_and_of_each_class(evaluation):
    rows = evaluation.to_rows()
    table = evaluation.to_pandas()
    assert list(table.columns) == list(rows[0])
    assert list(table["value"]) == [row["value"] for row in rows]
    assert len(rows) == len(evaluation.metrics) + 6 * len(evaluation.classes)
    accuracy = evaluation.metrics["accuracy"]
    assert rows[0] == {
        "class": None,
        "metric": "accuracy",
        "value": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "interval": "wilson",
        "n": 90,
    }
    assert [row["class"] for row in rows if row["metric"] == "recall"] == list(evaluation.classes)


def test_without_pandas_it_says_how_to_install_it(evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'bcjax\[pandas\]'"):
        evaluation.to_pandas()


def test_undefined_values_are_left_out_of_the_values(evaluation):
    kappa = dataclasses.replace(evaluation.metrics["kappa"], value=None)
    changed = dataclasses.replace(evaluation, metrics=evaluation.metrics | {"kappa": kappa})
    assert evaluation.values.keys() - changed.values.keys() == {"kappa"}
