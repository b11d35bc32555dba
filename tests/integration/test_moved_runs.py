"""A run that was moved or copied while nobody trained is as usable as before, by every command."""

import json
import shutil
from types import SimpleNamespace

import cv2
import pytest
from commandline import TINY, contents

from bcjax import config as configs
from bcjax.data.sources import synthetic
from bcjax.evaluation.evaluation import Evaluation
from bcjax.models.pretrained import files as weight_files
from bcjax.runtime.run_dir import RunDir
from bcjax.training import resuming


@pytest.fixture
def moved(trained, tmp_path):
    """A copy of the finished run in another folder; the run itself must not be touched."""
    before = contents(trained.workdir)
    (tmp_path / "new place").mkdir()
    yield shutil.copytree(trained.workdir, tmp_path / "new place" / "run")
    assert contents(trained.workdir) == before


@pytest.mark.parametrize(
    "command",
    [
        ["train", *TINY, "--workdir=RUN"],
        ["evaluate", "--workdir=RUN", "--split=val"],
        ["evaluate", "--workdir=RUN", "--watch"],
        ["evaluate", "--workdir=RUN", "--views=flip"],
        ["evaluate", "--workdir=RUN", "--with=RUN", "--checkpoint=4,6", "--soup=uniform"],
        ["calibrate", "--workdir=RUN"],
        ["report", "--workdir=RUN"],
        ["compare", "RUN", "SAME", "--out=RUN/compare"],
        ["predict", "--workdir=RUN", "PICTURE"],
        pytest.param(["explain", "--workdir=RUN", "--pictures=1"], marks=pytest.mark.slow),
        pytest.param(["explore", "--workdir=RUN", "--out=RUN/e.html"], marks=pytest.mark.slow),
    ],
    ids=lambda command: " ".join(each for each in command if each not in TINY),
)
def test_each_command_takes_a_run_that_was_moved(bcjax, moved, trained, tmp_path, command):
    picture = tmp_path / "cell.png"
    cv2.imwrite(str(picture), synthetic.draw(3, 0, size=50).image)
    places = {"RUN": str(moved), "SAME": str(trained.workdir), "PICTURE": str(picture)}
    for name, place in places.items():
        command = [each.replace(name, place) for each in command]
    ran = bcjax(*command)
    assert ran.status == 0, ran.err
    assert command[0] == "compare" or str(trained.workdir) not in ran.out


def test_a_moved_run_goes_on_where_it_stood(bcjax, moved, trained):
    shutil.rmtree(moved / "checkpoints" / "6")
    ran = bcjax("train", *TINY, f"--workdir={moved}")
    assert ran.status == 0, ran.err
    assert "resumed at step 4" in ran.out
    here, there = (Evaluation.read(run / "eval" / "test.json") for run in (moved, trained.workdir))
    assert here == there


def test_pictures_may_be_moved_with_the_run(bcjax, snapshots, tmp_path):
    project = tmp_path / "project"
    snapshots(project / "cells")

    def train(folder):
        data, length = f"--config.data.source={folder / 'cells'}", "--config.train.length=2 steps"
        return bcjax("train", *TINY, data, length, f"--workdir={folder / 'run'}")

    assert train(project).status == 0
    project.rename(tmp_path / "moved")
    ran = train(tmp_path / "moved")
    assert ran.status == 0, ran.err
    config = json.loads((tmp_path / "moved" / "run" / "config.json").read_text())
    assert config["data"]["source"] == str(tmp_path / "moved" / "cells")
    assert bcjax("evaluate", f"--workdir={tmp_path / 'moved' / 'run'}").status == 0
    assert not project.exists()


def test_weights_may_be_moved_but_not_be_others(tmp_path):
    run_dir, config = RunDir(tmp_path), configs.default()
    (tmp_path / "moved.npz").write_bytes(b"weights")
    config.model.weights = str(tmp_path / "moved.npz")
    prepared = SimpleNamespace(digest="d0")
    for origin, keys in (("moved.npz", ["model.weights"]), (__file__, [])):
        digest = weight_files.digest(tmp_path / origin)
        run_dir.weights.write_text(json.dumps({"sha256": digest}))
        assert list(resuming._moved(config, config, run_dir, prepared)) == keys


@pytest.mark.parametrize(
    ("saved", "now", "keys"),
    [
        ("5a", "5a", ["data.stain_reference"]),
        ("5a", "6b", []),
        (None, "6b", ["data.stain_sha256"]),  # a run of version 0.1
        (None, None, []),
    ],
)
def test_a_stain_reference_may_be_moved_but_not_be_another(tmp_path, saved, now, keys):
    before, after = configs.default(), configs.default()
    before.data.stain_sha256, after.data.stain_sha256 = saved, now
    moved = resuming._moved(before, after, RunDir(tmp_path), SimpleNamespace(digest="d0"))
    assert list(moved) == keys


@pytest.mark.slow
def test_members_sweeps_and_ablations_go_on_where_they_were_moved_to(bcjax, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new place"
    old.mkdir()
    (old / "space.yaml").write_text("optim.lr: [0.001, 0.002]\n")
    (old / "parts.yaml").write_text("decay: {optim.weight_decay: 0.0}\n")

    def commands(folder, trials):
        yield "train", "--config.train.members=2", f"--workdir={folder / 'members'}"
        yield "sweep", f"--space={folder / 'space.yaml'}", trials, f"--out={folder / 'sweep'}"
        yield ("ablate", f"--switches={folder / 'parts.yaml'}", "--mode=all-but-one",
               f"--out={folder / 'ablation'}")  # fmt: skip

    for name, *arguments in commands(old, "--trials=1"):
        assert bcjax(name, *TINY, *arguments).status == 0
    old.rename(new)
    for name, *arguments in commands(new, "--trials=2"):
        ran = bcjax(name, *TINY, *arguments)
        assert ran.status == 0, ran.err
    for command in (["evaluate", "--workdir=RUN"], ["report", "--workdir=RUN"],
                    ["compare", "RUN", f"--out={new / 'compare'}"]):  # fmt: skip
        ran = bcjax(*(each.replace("RUN", str(new / "members")) for each in command))
        assert ran.status == 0, ran.err
    assert len(list((new / "sweep").glob("trial-*"))) == 2
    assert not old.exists()
