"""`evaluate --corruptions`, as a person types it."""

import json
import shutil

import numpy as np
import pytest
from commandline import refused, run_bcjax

from bcjax.evaluation.corruptions.corruption_evaluation import CorruptionEvaluation
from bcjax.evaluation.corruptions.robustness import CorruptedView
from bcjax.evaluation.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bcjax.evaluation.evaluator import Evaluator


@pytest.fixture(scope="module")
def robust(trained, tmp_path_factory):
    """The result, what the command printed, and the run's folder."""
    workdir = shutil.copytree(trained.workdir, tmp_path_factory.mktemp("robust") / "run")
    ran = run_bcjax("evaluate", f"--workdir={workdir}", "--corruptions", "--split=val")
    assert ran.status == 0, ran.err
    return json.loads((workdir / "eval" / "val-corruptions.json").read_text()), ran.out, workdir


def test_every_corruption_and_severity_has_its_figures(robust):
    result, out, workdir = robust
    read = CorruptionEvaluation.read_file(workdir / "eval" / "val-corruptions.json", "evaluate")
    assert read.to_dict() == result
    assert [row["name"] for row in result["corruptions"]] == list(CORRUPTIONS)
    for row in result["corruptions"]:
        assert len(row["severities"]) == len(SEVERITIES)
        for figures in row["severities"]:
            for figure in figures.values():
                assert figure["n"] == result["n"] == 16
                assert figure["low"] <= figure["value"] <= figure["high"]
        assert row["name"] in out
    assert result["cautions"] == [
        "The checkpoint was chosen by these pictures: others may be answered less well."
    ]


def test_means_are_means_and_errors_are_counted_from_the_clean_one(robust):
    result, _, _ = robust
    clean = result["clean"]["balanced_accuracy"]["value"]
    means = []
    for row in result["corruptions"]:
        balanced = [each["balanced_accuracy"]["value"] for each in row["severities"]]
        means.append(np.mean(balanced))
        assert row["mean"]["balanced_accuracy"]["value"] == pytest.approx(means[-1])
        assert row["error"]["value"] == pytest.approx(1 - means[-1])
        assert row["over_clean"]["value"] == pytest.approx(clean - means[-1])
    assert result["mean_corruption_error"]["value"] == pytest.approx(1 - np.mean(means))
    assert result["over_clean"]["value"] == pytest.approx(clean - np.mean(means))


def test_the_clean_figures_are_those_of_a_plain_evaluation(robust, bcjax):
    result, _, workdir = robust
    assert bcjax("evaluate", f"--workdir={workdir}", "--split=val").status == 0
    plain = json.loads((workdir / "eval" / "val.json").read_text())["metrics"]
    for metric, figure in result["clean"].items():
        assert figure == plain[metric]


def test_a_figure_is_that_of_the_corrupted_pictures(robust):
    result, _, workdir = robust
    evaluator = Evaluator(workdir, split="val")
    trained = evaluator.load("best")
    feed = evaluator.feed
    calls, _ = next(iter(feed.once(16)))
    batch = {name: array[0] for name, array in calls.items()}
    shown = CorruptedView("bubble", 4)(batch, feed.stored)
    expected = corrupt("bubble", batch["image"], batch["index"], 4)
    assert np.array_equal(shown["image"], expected)
    answers = evaluator.answers(trained, CorruptedView("bubble", 4))
    row = result["corruptions"][list(CORRUPTIONS).index("bubble")]
    right = (answers.logits.argmax(1) == answers.labels).mean()
    assert row["severities"][3]["accuracy"]["value"] == pytest.approx(right)
    evaluator.answers(trained, CorruptedView("pixelate", 1))
    predict = evaluator._predict
    assert len(predict._programs) + predict.jitted._cache_size() == 1  # it is compiled once


@pytest.mark.parametrize("flag", ["--watch", "--views=flip"])
def test_corruptions_are_of_one_network_once(bcjax, own_run, flag):
    refused(bcjax("evaluate", f"--workdir={own_run}", "--corruptions", flag), "--corruptions")
    assert not list((own_run / "eval").glob("*corruptions*"))
