"""`evaluate`, `watch` and `calibrate` from Python: what the commands do, with results to use."""

import dataclasses
import json
import shutil

import pytest
from commandline import contents, run_bcjax

import bcjax
from bcjax.evaluation.answers import read
from bcjax.evaluation.calibrate import calibrate
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.corruptions import robustness
from bcjax.evaluation.evaluate import evaluate, not_watched, watch
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import Evaluator
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Ending


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


def test_a_checkpoint_that_is_deleted_before_its_turn_is_left_out(own_run, monkeypatch):
    folders = sorted((own_run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    reached = Evaluator.evaluate

    def deletes_first(evaluator, which):
        if which == folders[0].name:
            shutil.rmtree(folders[0])  # as training does, which makes room for others
        return reached(evaluator, which)

    monkeypatch.setattr(Evaluator, "evaluate", deletes_first)
    evaluator = Evaluator(own_run, split="val")
    steps = [each.checkpoint for each in watch(evaluator)]
    assert steps == [int(path.name) for path in folders[1:]]
    assert not_watched(evaluator, steps) == [2, 3, int(folders[0].name)]


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (None, 3, "The run is not finished: it was killed after step 6."),
        (
            Ending("signal", 6, "SIGTERM (15) stopped it", 6, 6),
            3,
            "The run is not finished. Ended at step 6: SIGTERM (15) stopped it.",
        ),
        (Ending("patience", 6, "patience", 6, 6), 0, ""),
        ("earlier version", 0, ""),
    ],
    ids=["killed", "signal", "patience", "earlier"],
)
def test_watching_says_what_it_missed_and_whether_the_run_is_finished(
    own_run, ending, status, said
):
    path = RunDir(own_run).sessions
    (line,) = files.read_json_lines(path)
    if ending == "earlier version":
        del line["saved"], line["ending"]
    else:
        line["ending"] = ending and dataclasses.asdict(ending)
    files.write_text(path, json.dumps(line) + "\n")
    ran = run_bcjax("evaluate", f"--workdir={own_run}", "--split=val", "--watch")
    assert ran.status == status
    assert said in ran.out
    assert ("is not finished" in ran.out) == (status == 3)
    there = {int(path.name) for path in (own_run / "checkpoints").iterdir()}
    gone = ", ".join(str(step) for step in line.get("saved", ()) if step not in there)
    missed = f"they were deleted before their turn: checkpoints {gone}. A larger"
    assert (missed in ran.out) == bool(gone)
    assert bool(gone) == (ending != "earlier version")


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
