"""`bcjax explain`, on a network that has learnt: its maps depend on that, and fall on the cell."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commandline import ROOT, refused, run_bcjax

from bcjax.data import synthetic
from bcjax.explain.explainer import METHODS

LEARNS = (
    f"--config={ROOT / 'configs' / 'elu_cnn.py'}",
    "--config.model.name=conv2d",
    "--config.data.image_size=32",
    "--config.data.synthetic_images=480",
    "--config.train.batch_size=32",
    "--config.train.length=160 steps",
    "--config.train.class_weights=none",
    "--config.augment.ops=('flip',)",
    "--config.optim.lr=3e-3",
    "--config.eval.every=160 steps",
    "--config.checkpoint.every=160 steps",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("explained") / "run"
    ran = run_bcjax("train", *LEARNS, f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    return workdir


def explain(workdir, *arguments):
    ran = run_bcjax("explain", f"--workdir={workdir}", *arguments)
    assert ran.status == 0, ran.err
    return ran, json.loads((workdir / "explain" / "explain.json").read_text())


@pytest.fixture(scope="module")
def evenly(run):
    """What is said of pictures from all over the test split."""
    return explain(run, "--nowrong", "--pictures=12", "--target=true")[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_another_once_the_parameters_are_randomised(evenly, method):
    similar = evenly["sanity"][method]
    assert similar["n"] > 0
    assert similar["rank_correlation"] < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_a_map_falls_on_the_cell_more_than_chance_would(evenly, method):
    found = evenly["localisation"]
    assert found["n"] == 12
    assert 0.05 < found["area"] < 0.2
    assert found[method]["energy"] > 1.5 * found["area"]
    assert found[method]["pointing"] > 2 * found["area"]


def test_the_worst_mistakes_are_drawn_and_written(run):
    ran, said = explain(run, "--pictures=3", "--method=grad-cam", "--nosanity")
    answers = json.loads((run / "eval" / "test.json").read_text())
    assert said["chosen"] == "most wrong"
    assert said["checkpoint"] == answers["checkpoint"]
    assert len(said["pictures"]) == 3
    for row in said["pictures"]:
        assert row["target"] == row["predicted"]
        assert row["id"] in ran.out
        assert f"/{row['label']}/" in row["id"]
        assert min(cv2.imread(str(run / "explain" / row["file"])).shape[:2]) > 100
    wrong = [row["probability"] for row in said["pictures"] if row["predicted"] != row["label"]]
    assert wrong
    assert cv2.imread(str(run / "explain" / said["sheet"])) is not None
    assert len(list((run / "explain").iterdir())) == 5  # nothing of an earlier call
    assert not (run / "explain.partial").exists()


def test_what_was_not_evaluated_is_answered_first(run):
    ran, said = explain(run, "--split=train", "--pictures=1", "--method=grad-cam", "--nosanity")
    assert "The train split is not evaluated at step 160" in ran.out
    assert said["pictures"][0]["id"].startswith("train/")


def test_files_and_ids_are_explained_by_the_stage_asked_for(run, tmp_path):
    file = tmp_path / "cell.png"
    cv2.imwrite(str(file), synthetic.draw(3, 0, size=50).image[..., ::-1])
    id_ = "test/basophil/000004.jpg"
    arguments = ("--stage=stage2", "--method=grad-cam++", "--target=monocyte", "--nosanity")
    _, said = explain(run, *arguments, file, id_)
    assert (said["stage"], said["map"]) == ("stage2", [8, 8])
    unknown, known = said["pictures"]
    assert (unknown["id"], unknown["label"]) == (str(file), None)
    assert (known["id"], known["label"], known["target"]) == (id_, "basophil", "monocyte")


def test_the_mask_of_a_drawing_is_that_of_the_picture_with_its_id():
    source = synthetic.source(40)
    record = source.records[13]
    drawing = synthetic.named(record.id)
    decoded = cv2.imdecode(np.frombuffer(record.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(decoded.astype(int) - drawing.image).mean() < 3  # but for the JPEG
    assert drawing.mask[64, 64]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--stage=head"], ["'head'", "stage3 (4x4)"]),
        (["--stage=stage9"], ["'stage9'", "stage3 (4x4)"]),
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
