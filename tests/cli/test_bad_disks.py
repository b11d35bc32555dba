"""Disks that are full or read-only, and names that no disk takes: a sentence, and nothing lost."""

import os
import shutil
import subprocess

import cv2
import jax
import numpy as np
import pytest
from commandline import TINY, contents, refused

from bcjax import config as configs
from bcjax.data.preparation import prepare
from bcjax.data.sources import synthetic
from bcjax.engine import network
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

DRAWINGS = ("--data.source=synthetic", "--config.data.synthetic_images=80")


def parameters(workdir):
    return jax.tree.leaves(
        jax.device_get(network.load(workdir, "latest", meshes.create()).variables)
    )


@pytest.fixture
def small_disk(tmp_path):
    """Returns a function that mounts a file system of some bytes; a test that cannot is skipped."""
    where = tmp_path / "disk"
    where.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)]
        if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command).returncode:
            pytest.skip("a small tmpfs can be mounted by root only")
        return where

    yield mount
    subprocess.run(["umount", "--lazy", str(where)], stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_disk_that_fills_up_while_saving_loses_nothing(train, small_disk, trained):
    files = (trained.workdir / "checkpoints" / "6").rglob("*")
    checkpoint = sum(path.stat().st_size for path in files if path.is_file())
    disk = small_disk(8 * checkpoint)
    (disk / "ballast").write_bytes(bytes(int(6.3 * checkpoint)))
    workdir = disk / "run"
    ran = train(workdir=workdir)
    refused(ran, "The disk is full", workdir, "free some space", "last whole checkpoint")
    assert not (workdir / "eval").exists()

    (disk / "ballast").unlink()
    ran = train(workdir=workdir)
    assert ran.status == 0
    assert ran.warnings == []
    assert "resumed at step 2" in ran.out
    for here, there in zip(parameters(workdir), parameters(trained.workdir), strict=True):
        assert np.array_equal(here, there)


def test_a_disk_that_fills_up_while_preparing_is_left_as_it_was(bcjax, small_disk, snapshots):
    disk = small_disk(1 << 16)
    pictures = snapshots(disk.parent / "cells")
    ran = bcjax("prepare", f"--data.source={pictures}", f"--out={disk / 'set'}")
    refused(ran, "The disk is full", disk / "set", "free some space")
    assert os.listdir(disk) == []


@pytest.fixture
def read_only(small_disk, trained):
    """A disk that holds the finished run, and can be written to no more."""
    disk = small_disk(1 << 30)
    for name in ("run", "other"):
        shutil.copytree(trained.workdir, disk / name)
    (disk / "parts.yaml").write_text("decay: {optim.weight_decay: 0.0}\n")
    (disk / "space.yaml").write_text("optim.lr: [0.001, 0.002]\n")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    return disk


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["train", *TINY, "--workdir=DISK/new"], "new"),
        (["train", *TINY, "--workdir=DISK/run"], "run"),
        (["train", *TINY, "--config.data.cache_dir=DISK/cache", "--workdir=HERE"], "cache"),
        (["prepare", *DRAWINGS, "--out=DISK/set"], "set"),
        (["evaluate", "--workdir=DISK/run"], "run/eval"),
        (["calibrate", "--workdir=DISK/run"], "run/calibration"),
        pytest.param(
            ["explain", "--workdir=DISK/run", "--pictures=1", "--nosanity"],
            "run/explain",
            marks=pytest.mark.slow,
        ),
        (["report", "--workdir=DISK/run"], "run"),
        (["report", "--workdir=DISK/run", "--out=DISK/page.html"], ""),
        (["compare", "DISK/run", "DISK/other", "--out=DISK/compare"], "compare"),
        pytest.param(
            ["explore", *DRAWINGS, "--out=DISK/page.html"], "page.html", marks=pytest.mark.slow
        ),
        (["preview", *TINY, "--out=DISK/preview"], "preview"),
        (["sweep", *TINY, "--space=DISK/space.yaml", "--out=DISK/sweep"], "sweep"),
        (["ablate", *TINY, "--switches=DISK/parts.yaml", "--out=DISK/ablation"], "ablation"),
        pytest.param(
            ["benchmark", *TINY, "--what=input", "--out=DISK/page.json"],
            "page.json",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: "-".join(value[:: len(value) - 1]) if isinstance(value, list) else "",
)
def test_on_a_read_only_disk_each_command_says_so(bcjax, read_only, tmp_path, command, named):
    before = contents(read_only)
    places = {"DISK": str(read_only), "HERE": str(tmp_path / "here")}
    for name, place in places.items():
        command = [each.replace(name, place) for each in command]
    refused(bcjax(*command), "The disk is read-only", read_only / named, "can be written to")
    assert contents(read_only) == before
    assert not (tmp_path / "here" / "config.json").exists()


def test_prepared_sets_may_be_kept_on_a_read_only_disk(small_disk, monkeypatch):
    disk = small_disk(1 << 26)
    monkeypatch.setenv("BCJAX_CACHE", str(disk))
    data = configs.replaced(
        configs.default(), {"data.source": "synthetic", "data.synthetic_images": 80}
    ).data
    prepared = prepare(data)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert prepare(data).digest == prepared.digest
    monkeypatch.setenv("BCJAX_CACHE", str(disk / "other"))
    with pytest.raises(UserError, match=r"disk is read-only .*BCJAX_CACHE or config"):
        prepare(data)


def test_a_run_on_a_read_only_disk_still_answers(bcjax, read_only, tmp_path):
    file = tmp_path / "cell.png"
    cv2.imwrite(str(file), synthetic.draw(3, 0, size=50).image)
    assert bcjax("predict", f"--workdir={read_only / 'run'}", file).status == 0


@pytest.mark.parametrize(
    "command",
    [
        ["prepare", *DRAWINGS, "--out=HERE/set"],
        ["preview", *TINY, "--out=HERE/preview"],
        ["ablate", *TINY, "--switches=PARTS", "--out=HERE/ablation"],
    ],
    ids=lambda value: value[0],
)
@pytest.mark.parametrize(
    ("place", "said"),
    [("file", "A file is where a folder is needed"), ("a" * 300, "The name is too long")],
    ids=["below a file", "too long"],
)
def test_a_place_that_can_be_no_folder_is_named(bcjax, tmp_path, command, place, said):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "parts.yaml").write_text("decay: {optim.weight_decay: 0.0}\n")
    before = contents(tmp_path)
    places = {"HERE": str(tmp_path / place), "PARTS": str(tmp_path / "parts.yaml")}
    for name, where in places.items():
        command = [each.replace(name, where) for each in command]
    refused(bcjax(*command), said, tmp_path / place)
    assert contents(tmp_path) == before
