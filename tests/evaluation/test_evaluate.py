"""`evaluate`, `watch` and `calibrate` from Python: what the commands do, with results to use."""

import pytest
from commandline import contents

import bcjax
from bcjax.evaluation.answers import read
from bcjax.evaluation.calibrate import calibrate
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.corruptions import robustness
from bcjax.evaluation.evaluate import evaluate, watch
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import Evaluator
from bcjax.runtime.errors import UserError


def test_an_evaluation_is_returned_and_written(own_run):
    evaluation = evaluate(str(own_run), "val", checkpoint=6)
    assert (evaluation.split, evaluation.checkpoint, evaluation.n) == ("val", 6, 16)
    assert evaluation.path == own_run / "eval" / "val.json"
    assert Evaluation.read(evaluation.path) == evaluation
    assert read(evaluation.path.with_suffix(".parquet")).n == 16


def test_views_and_checkpoints_are_averaged(own_run):
    evaluation = evaluate(own_run, checkpoint=[6, "4"], views="flip")
    assert [network.checkpoint for network in evaluation.ensemble] == [6, 4]
    assert [each.view for each in evaluation.views] == ["as it is", "mirrored"]
    assert evaluation.path.name == "test-ensemble-views.json"


def test_watching_a_run_that_has_ended_evaluates_each_checkpoint(own_run):
    evaluations = list(watch(Evaluator(own_run, split="val")))
    steps = [each.checkpoint for each in evaluations]
    assert steps == sorted(int(path.name) for path in (own_run / "checkpoints").iterdir())
    assert [each.path.name for each in evaluations] == [f"val-{step}.json" for step in steps]


def test_a_calibration_is_returned_and_written(own_run):
    calibration, measured = calibrate(own_run, coverage=0.8, error_rate=0.3)
    assert calibrations.read(own_run, calibration.step).temperature == calibration.temperature
    assert (measured.step, measured.fitted_on, measured.n) == (calibration.step, "val", 16)
    assert evaluate(own_run).calibration.temperature == calibration.temperature


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"map_classes": {"a": "b"}}, "map_classes is for other data: give its source"),
        ({"stain": "reinhard"}, "stain is for other data"),
        ({"data": "there", "stain_reference": "x.png"}, "needs data.stain=reinhard or macenko"),
        ({"views": "trun"}, "views has 'trun'"),
        ({"soup": "greedy"}, "soup=greedy needs several networks"),
        ({"out": "soup"}, "out is where a soup is written"),
        ({"checkpoint": 5}, "holds no checkpoint '5'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_that_cannot_be_are_refused_and_nothing_is_written(own_run, arguments, message):
    before = contents(own_run)
    with pytest.raises(UserError, match=message):
        bcjax.evaluate(own_run, **arguments)
    assert contents(own_run) == before


def test_corruptions_of_a_checkpoint_that_is_not_there_are_refused(own_run):
    with pytest.raises(UserError, match="holds no checkpoint '5'"):
        robustness.evaluate(Evaluator(own_run, split="test"), "5")
