"""Workdirs, checkpoints, losses and disks gone bad: a plain sentence, status 2, nothing lost."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest
from commandline import contents, refused

from bcjax.data.sources import synthetic
from bcjax.engine import network
from bcjax.runtime import mesh as meshes


def parameters(workdir):
    return jax.device_get(network.load(workdir, "latest", meshes.create()).variables)


def same_parameters(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("model.name=resnet18", ["model.name ('elu_cnn' there, 'resnet18' here)"]),
        (f"data.classes={synthetic.CLASSES[::-1]}", ["data.classes"]),
        ("optim.lr=0.5", ["optim.lr (0.001 there, 0.5 here)"]),
        ("data.synthetic_images=160", ["the pictures, or their splits"]),
    ],
)
def test_another_run_in_the_workdir_is_refused_and_kept(train, own_run, flag, named):
    before = contents(own_run)
    refused(train(f"--config.{flag}", workdir=own_run), own_run, "--workdir", *named)
    assert contents(own_run) == before


@pytest.mark.parametrize("where", [".", "runs/a"])
def test_a_new_run_is_not_written_among_its_pictures(train, snapshots, tmp_path, where):
    folder = snapshots(tmp_path / "cells")
    before = contents(folder)
    ran = train(f"--config.data.source={folder}", workdir=folder / where)
    refused(ran, f"config.workdir is {folder / where}", "a folder outside")
    assert contents(folder) == before


def test_a_run_on_other_pictures_of_the_same_names_is_refused_and_kept(train, own_run):
    page = json.loads((own_run / "pictures.json").read_text())
    (own_run / "pictures.json").write_text(json.dumps(page | {"pixels": "0"}))
    before = contents(own_run)
    refused(train(workdir=own_run), own_run, "--workdir", "the pictures, or their splits")
    assert contents(own_run) == before


def test_a_second_process_is_kept_out_of_the_workdir(train, own_run):
    code = (
        "import sys; from bcjax.runtime.run_dir import RunDir\n"
        "with RunDir(sys.argv[1]).lock(): print('in', flush=True); input()"
    )
    before = contents(own_run)
    with subprocess.Popen(
        [sys.executable, "-c", code, own_run], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout.readline() == b"in\n"
        refused(train(workdir=own_run), own_run, "Another process", "wait for it")
        first.communicate(b"\n")
    assert contents(own_run) == before
    assert train(workdir=own_run).status == 0


def test_a_truncated_newest_checkpoint_is_moved_aside_and_the_run_ends_the_same(
    train, own_run, trained
):
    def size(path):
        return path.stat().st_size if path.is_file() else 0

    largest = max((own_run / "checkpoints" / "6").rglob("*"), key=size)
    os.truncate(largest, size(largest) // 2)
    ran = train(workdir=own_run)
    assert ran.status == 0
    (warning,) = ran.warnings
    assert warning.startswith("Checkpoint 6 cannot be read (")
    assert f"moved to {own_run / 'damaged' / '6'}" in warning
    assert (own_run / "damaged" / "6" / largest.relative_to(own_run / "checkpoints/6")).exists()
    assert "resumed at step 4" in ran.out
    assert same_parameters(parameters(own_run), parameters(trained.workdir))


@pytest.mark.parametrize("command", [("evaluate",), ("evaluate", "--watch"), ("predict",)])
def test_a_workdir_without_run_or_checkpoint_is_refused(bcjax, own_run, tmp_path, command):
    name, *flags = command
    picture = []
    if name == "predict":
        cv2.imwrite(str(tmp_path / "cell.png"), np.zeros((9, 9, 3), np.uint8))
        picture = [tmp_path / "cell.png"]
    nowhere = tmp_path / "nowhere"
    refused(bcjax(name, f"--workdir={nowhere}", *flags, *picture), nowhere, "holds no run")
    assert not nowhere.exists()
    shutil.rmtree(own_run / "checkpoints")
    before = contents(own_run)
    refused(bcjax(name, f"--workdir={own_run}", *flags, *picture), own_run, "holds no checkpoint")
    assert contents(own_run) == before


@pytest.mark.parametrize("which", ["5", "newest"])
def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(bcjax, trained, which):
    ran = bcjax("evaluate", f"--workdir={trained.workdir}", f"--checkpoint={which}")
    refused(ran, f"no checkpoint '{which}'", "best, latest", "4, 6")


@pytest.mark.parametrize(
    ("damaged", "named"),
    [
        ("config.json", ["config.json is damaged (", "another workdir"]),
        ("checkpoints/6/about/metadata", ["6 cannot be read (", "choose another one"]),
        ("checkpoints/6/state/_METADATA", ["6 cannot be read (", "choose another one"]),
    ],
)
def test_a_damaged_file_of_a_run_is_named(bcjax, own_run, damaged, named):
    (own_run / damaged).write_text("{")
    before = contents(own_run)
    ran = bcjax("evaluate", f"--workdir={own_run}", "--checkpoint=6")
    refused(ran, own_run / damaged.partition("/about")[0].partition("/state")[0], *named)
    assert contents(own_run) == before


# The run


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint_before_it(
    train, tmp_path
):
    sgd = ("--config.optim.name=sgd", "--config.optim.nesterov=false")
    diverging = (*sgd, "--config.optim.lr=1000", "--config.optim.weight_decay=1000")
    workdir = tmp_path / "run"
    ran = train(*diverging, "--config.checkpoint.every=1 steps", workdir=workdir)
    refused(ran, "The loss of step 2 is not finite", "lower config.optim.lr")
    assert os.listdir(workdir / "checkpoints") == ["1"]
    # Where an evaluation comes before the next loss, it is the one to see it.
    workdir = tmp_path / "watched"
    ran = train(*diverging, "--config.eval.every=1 steps", workdir=workdir)
    refused(ran, "not finite", "lower config.optim.lr")
    assert not os.listdir(workdir / "checkpoints")
