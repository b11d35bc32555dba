"""`bcjax explain`, as a person calls it."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from commandline import ROOT, refused, run_bcjax

from bcjax.data.sources import synthetic
from bcjax.evaluation.explanation.explainer import METHODS


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    return shutil.copytree(trained.workdir, tmp_path_factory.mktemp("explained") / "run")


def explain(workdir, *arguments):
    ran = run_bcjax("explain", f"--workdir={workdir}", *arguments)
    assert ran.status == 0, ran.err
    return ran, json.loads((workdir / "explain" / "explain.json").read_text())


def test_the_worst_mistakes_are_drawn_and_written(run):
    ran, said = explain(run, "--pictures=2")
    answers = json.loads((run / "eval" / "test.json").read_text())
    assert said["chosen"] == "most wrong"
    assert said["methods"] == list(METHODS) == list(said["sanity"])
    assert set(METHODS) < set(said["localisation"])
    assert said["checkpoint"] == answers["checkpoint"]
    assert len(said["pictures"]) == 2
    for row in said["pictures"]:
        assert row["target"] == row["predicted"]
        assert row["id"] in ran.out
        assert f"/{row['label']}/" in row["id"]
        assert min(cv2.imread(str(run / "explain" / row["file"])).shape[:2]) > 100
    wrong = [row["probability"] for row in said["pictures"] if row["predicted"] != row["label"]]
    assert wrong
    assert cv2.imread(str(run / "explain" / said["sheet"])) is not None
    assert len(list((run / "explain").iterdir())) == 4  # nothing of an earlier call
    assert not list(run.glob("*.partial"))


def test_what_was_not_evaluated_is_answered_first(run):
    ran, said = explain(run, "--split=train", "--pictures=1", "--method=grad-cam", "--nosanity")
    assert f"No answers to train are kept of step {said['checkpoint']}" in ran.out
    assert said["pictures"][0]["id"].startswith("train/")


def test_pictures_may_be_taken_from_all_over_the_split(run):
    _, said = explain(run, "--nowrong", "--pictures=3", "--method=grad-cam", "--target=true")
    assert said["chosen"] == "evenly"
    assert len({row["id"] for row in said["pictures"]}) == 3
    assert all(row["target"] == row["label"] for row in said["pictures"])


def test_files_and_ids_are_explained_by_the_stage_asked_for(run, tmp_path):
    file = tmp_path / "cell.png"
    cv2.imwrite(str(file), synthetic.draw(3, 0, size=50).image[..., ::-1])
    id_ = "test/basophil/000004.jpg"
    arguments = ("--stage=stage1", "--method=grad-cam", "--target=monocyte", "--nosanity")
    _, said = explain(run, *arguments, file, id_)
    assert (said["stage"], said["map"]) == ("stage1", [8, 8])
    unknown, known = said["pictures"]
    assert (unknown["id"], unknown["label"]) == (str(file), None)
    assert (known["id"], known["label"], known["target"]) == (id_, "basophil", "monocyte")


def test_the_mask_of_a_drawing_is_that_of_the_picture_with_its_id():
    source = synthetic.source(40)
    record = source.records[13]
    drawing = synthetic.draw_by_id(record.id)
    decoded = cv2.imdecode(np.frombuffer(record.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(decoded.astype(int) - drawing.image).mean() < 3  # but for the JPEG
    assert drawing.mask[64, 64]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--stage=head"], ["'head'", "stage2 (4x4)"]),
        (["--stage=stage9"], ["'stage9'", "stage2 (4x4)"]),
        (["--target=monkey"], ["'monkey'", "monocyte"]),
        (["test/basophil/4.jpg"], ["test/basophil/4.jpg", "test/basophil/000004.jpg"]),
        (["--target=true", "PICTURE"], ["cell.png", "--target=CLASS"]),
        ([str(ROOT / "tests")], ["tests", "folder"]),
        ([__file__], [Path(__file__).name, "not a picture"]),
    ],
    ids=lambda value: value[-1].rsplit("/")[-1],
)
def test_a_mistake_is_refused_before_anything_is_written(run, tmp_path, arguments, named):
    file = tmp_path / "cell.png"
    cv2.imwrite(str(file), synthetic.draw(3, 0, size=50).image)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    arguments = [str(file) if argument == "PICTURE" else argument for argument in arguments]
    refused(run_bcjax("explain", f"--workdir={run}", "--pictures=1", *arguments), *named)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    refused(run_bcjax("explain", f"--workdir={tmp_path}"), tmp_path)
    refused(run_bcjax("explain"), "--workdir")
