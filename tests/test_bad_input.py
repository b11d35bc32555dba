"""Bad input, one by one: a plain sentence, status 2, nothing half-written and nothing lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import jax
import numpy as np
import processes
import pytest
from commandline import TINY

from bcjax import mesh as meshes
from bcjax import network
from bcjax.data import synthetic


def refused(ran, *named):
    """Checks that a command was refused in one sentence that names all of `named`."""
    *before, sentence = ran.err.splitlines()
    assert ran.status == 2
    assert all(line.startswith("Preparing ") for line in before)
    assert sentence.startswith("bcjax: ")
    for name in named:
        assert str(name) in sentence
    return sentence


def contents(folder):
    """What is in a folder, to the byte; locks and access times are nobody's loss."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.fixture
def train(bcjax, tmp_path):
    """Returns a function that trains with flags beside those of the tiny run; by default anew."""

    def call(*flags, workdir=tmp_path / "new"):
        return bcjax("train", *TINY, f"--workdir={workdir}", *flags)

    yield call
    if (tmp_path / "new").exists():  # a test that ought to leave a run gives its own workdir
        assert contents(tmp_path / "new") == {}
    assert not list((Path(os.environ["BCJAX_CACHE"]) / "data").glob(".*"))


def parameters(workdir):
    return jax.device_get(network.load(workdir, "latest", meshes.create()).variables)


def same_parameters(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


# The config


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("optim.lrr=1", ["optim.lrr", "did you mean 'optim.lr'?"]),
        ("optim.lr=fast", ["config.optim.lr is 'fast'", "write a number"]),
        ("data.image_size=32.5", ["config.data.image_size is '32.5'", "write a whole number"]),
        ("augment.flip=maybe", ["config.augment.flip is 'maybe'", "write true or false"]),
        ("data.image_size=0", ["config.data.image_size is 0", "at least 8"]),
        ("optim.name=adm", ["optim.name is 'adm'", "did you mean 'adam'?"]),
        ("optim.schedule=cosin", ["optim.schedule is 'cosin'", "did you mean 'cosine'?"]),
        ("model.name=resnet19", ["no model 'resnet19'", "did you mean 'resnet18'?"]),
        ("optim.warmup=9 steps", ["warm-up of 9 steps", "run of 6 steps", "shorten"]),
        ("train.batch_size=57", ["batch_size is 57", "56 training pictures", "smaller batch"]),
        ("mesh.fsdp=2", ["config.mesh.fsdp is 2", "1 device"]),
        ("data.source=/no/where", ["'/no/where' does not exist", "name a folder"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_mend(train, flag, named):
    refused(train(f"--config.{flag}"), *named)


HEAD = (
    "from bcjax import config as configs\n\n\ndef get_config():\n    config = configs.default()\n"
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, ["There is no config file"]),
        ("def get_config(:\n", ["line 1", "SyntaxError"]),
        (HEAD + "    config.seed = sed\n", ["line 6", "NameError: name 'sed' is not defined"]),
        (HEAD + "    config.optim.lrr = 1.0\n", ["line 6", "lrr", 'Did you mean "lr"']),
        (HEAD + "    config.optim.lr = 'fast'\n", ["line 6", "TypeError", "lr"]),
        ("def get_config():\n    return {}\n", ["does not return the config tree"]),
    ],
)
def test_a_config_file_that_gives_no_config_is_named_with_its_line(bcjax, tmp_path, text, named):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    refused(bcjax("train", f"--config={path}", f"--workdir={tmp_path / 'new'}"), path, *named)
    assert not (tmp_path / "new").exists()


def test_a_config_file_without_get_config_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("batch = 8\n")
    ran = subprocess.run(  # a process of its own: ml_collections keeps the module it loaded last
        [sys.executable, "-m", "bcjax.main", f"--config={tmp_path / 'mine.py'}"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"bcjax: {tmp_path / 'mine.py'} has no function get_config()")


def test_a_batch_that_the_devices_do_not_divide_is_refused_with_one_that_they_do(tmp_path):
    process = processes.start(
        tmp_path / "new", *TINY, XLA_FLAGS="--xla_force_host_platform_device_count=3"
    )
    _, err = process.communicate()
    assert process.returncode == 2
    assert err == "bcjax: A batch of 8 cannot be divided over 3 devices: use 6 or 9.\n"
    assert contents(tmp_path / "new") == {}


# The pictures


def test_a_single_class_is_refused(train, snapshots, tmp_path):
    folder = snapshots(tmp_path / "cells")
    for name in synthetic.CLASSES[1:]:
        shutil.rmtree(folder / name)
    refused(train(f"--config.data.source={folder}"), folder, "1 class", "two or more")


def test_a_label_outside_the_class_list_is_refused(train, snapshots, tmp_path):
    folder = snapshots(tmp_path / "cells")
    ran = train(f"--config.data.source={folder}", "--config.data.classes=('basophil','monocyte')")
    refused(ran, "'eosinophil'", "data.classes", "basophil, monocyte")


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path: path.write_bytes(b""), "empty file"),
        (truncated, "damaged JPEG"),
        (lambda path: path.write_text("This is text."), "not a picture"),
    ],
    ids=["zero bytes", "truncated", "text"],
)
def test_a_bad_picture_is_named_and_nothing_is_prepared(train, snapshots, tmp_path, spoil, fault):
    folder = snapshots(tmp_path / "spoilt")
    bad = min((folder / "ig").iterdir())
    spoil(bad)
    ran = train(f"--config.data.source={folder}")
    refused(ran, f"ig/{bad.name}: {fault}", "1 of 40 pictures", "--config.data.on_bad_image=skip")
    prepared = Path(os.environ["BCJAX_CACHE"]) / "data"
    assert not [path for path in prepared.glob("spoilt-*") if path.is_dir()]


def test_bad_pictures_are_left_out_and_counted_where_the_user_says_so(train, snapshots, tmp_path):
    folder = snapshots(tmp_path / "cells")
    bad = [min((folder / name).iterdir()) for name in ("ig", "platelet")]
    truncated(bad[0])
    bad[1].write_bytes(b"")
    workdir = tmp_path / "run"
    ran = train(
        f"--config.data.source={folder}", "--config.data.on_bad_image=skip", workdir=workdir
    )
    assert ran.status == 0
    assert "2 of 40 pictures cannot be read" in ran.err
    pictures = json.loads((workdir / "pictures.json").read_text())
    assert sum(map(sum, pictures["counts"].values())) == 38
    skipped = (Path(pictures["path"]) / "skipped.csv").read_text()
    for path in bad:
        assert path.name in ran.err
        assert path.name in skipped


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"images": np.array([{}, {}], object), "labels": np.zeros(2, int)}, ["unpickling"]),
        (
            {"images": np.zeros((5, 8, 8, 3), np.uint8), "labels": np.zeros(4, int)},
            ["(4,)", "(5,)", "one entry for each picture"],
        ),
    ],
    ids=["pickled objects", "unequal lengths"],
)
def test_a_bad_npz_is_refused(train, tmp_path, arrays, named):
    np.savez(tmp_path / "cells.npz", **arrays)
    refused(train(f"--config.data.source={tmp_path / 'cells.npz'}"), "cells.npz", *named)


def test_a_set_is_not_prepared_over_something(bcjax, snapshots, tmp_path):
    folder = snapshots(tmp_path / "cells")
    before = contents(folder)
    refused(bcjax("prepare", f"--data.source={folder}", f"--out={folder}"), folder, "not empty")
    assert contents(folder) == before


# The workdir


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


def test_a_second_process_is_kept_out_of_the_workdir(train, own_run):
    code = (
        "import sys; from pathlib import Path; from bcjax.workdir import locked\n"
        "with locked(Path(sys.argv[1])): print('in', flush=True); input()"
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
    (warning,) = ran.err.splitlines()
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


# The run


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint_before_it(
    train, tmp_path
):
    diverging = ("--config.optim.name=sgd", "--config.optim.lr=1e30")
    workdir = tmp_path / "run"
    ran = train(*diverging, "--config.checkpoint.every=1 steps", workdir=workdir)
    refused(ran, "The loss of step 2 is not finite", "lower config.optim.lr")
    assert os.listdir(workdir / "checkpoints") == ["1"]
    # Where an evaluation comes before the next loss, it is the one to see it.
    workdir = tmp_path / "watched"
    ran = train(*diverging, "--config.eval.every=1 steps", workdir=workdir)
    refused(ran, "not finite", "lower config.optim.lr")
    assert not os.listdir(workdir / "checkpoints")


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


def test_a_disk_that_fills_up_while_saving_loses_nothing(train, small_disk, trained):
    files = (trained.workdir / "checkpoints" / "6").rglob("*")
    checkpoint = sum(path.stat().st_size for path in files if path.is_file())
    disk = small_disk(8 * checkpoint)
    (disk / "ballast").write_bytes(bytes(int(6.3 * checkpoint)))
    workdir = disk / "run"
    ran = train(workdir=workdir)
    refused(ran, f"disk that holds {workdir}", "is full", "free some space", "same command")
    assert not (workdir / "eval").exists()

    (disk / "ballast").unlink()
    ran = train(workdir=workdir)
    assert ran.status == 0
    assert ran.err == ""
    assert "resumed at step 2" in ran.out
    assert same_parameters(parameters(workdir), parameters(trained.workdir))


def test_a_disk_that_fills_up_while_preparing_is_left_as_it_was(bcjax, small_disk, snapshots):
    disk = small_disk(1 << 16)
    pictures = snapshots(disk.parent / "cells")
    ran = bcjax("prepare", f"--data.source={pictures}", f"--out={disk / 'set'}")
    refused(ran, "disk is full", "free some space")
    assert os.listdir(disk) == []
