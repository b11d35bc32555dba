"""Bad settings and pictures, one by one: a plain sentence, status 2, nothing half-written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import processes
import pytest
from commandline import TINY, contents, refused

from bcjax.data.sources import synthetic

# The config


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("optim.lrr=1", ["optim.lrr", "did you mean 'optim.lr'?"]),
        ("optim.lr=fast", ["config.optim.lr is 'fast'", "write a number"]),
        ("data.image_size=32.5", ["config.data.image_size is '32.5'", "write a whole number"]),
        ("optim.nesterov=maybe", ["config.optim.nesterov is 'maybe'", "write true or false"]),
        ("augment.ops=('rotat(3)',)", ["no augmentation 'rotat'", "did you mean 'rotate'?"]),
        ("augment.ops=('rotate(400)',)", ["'rotate(400)'", "from 0 to 180 (degrees)"]),
        ("train.repeat=('basofil=2',)", ["no class 'basofil'", "did you mean 'basophil'?"]),
        ("train.loss=focus", ["config.train.loss is 'focus'", "cross_entropy, focal"]),
        ("data.drop=('memes',)", ["'memes'"]),
        ("data.image_size=0", ["config.data.image_size is 0", "at least 8"]),
        ("optim.name=adm", ["optim.name is 'adm'", "did you mean 'adam'?"]),
        ("optim.schedule=cosin", ["optim.schedule is 'cosin'", "did you mean 'cosine'?"]),
        ("model.name=resnet19", ["no model 'resnet19'", "did you mean 'resnet18'?"]),
        ("optim.warmup=9 steps", ["warm-up of 9 steps", "run of 6 steps", "shorten"]),
        ("train.batch_size=57", ["batch_size is 57", "56 training pictures", "smaller batch"]),
        (
            "train.batch_size=1000000000",
            ["1,000,000,000 pictures of 32 px", "15,360.0 GB for their pixels", "GB are free here"],
        ),
        ("mesh.fsdp=2", ["config.mesh.fsdp is 2", "1 device"]),
        ("data.source=/no/where", ["'/no/where' does not exist", "name a folder"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_mend(train, flag, named):
    refused(train(f"--config.{flag}"), *named)


def test_a_loss_that_cannot_take_soft_labels_is_refused_with_what_makes_them(train):
    soft = ("--config.augment.ops=('mixup',)", "--config.train.label_smoothing=0")
    refused(train("--config.train.loss=focal", *soft), "'focal'", "augment.ops mixes pictures")
    refused(train("--config.train.loss=focal"), "'focal'", "train.label_smoothing")


@pytest.mark.parametrize(
    ("text", "named"),
    [(None, ["There is no config file"]), ("def get_config(:\n", ["line 1", "SyntaxError"])],
)
def test_a_config_file_that_gives_no_config_is_named_with_its_line(bcjax, tmp_path, text, named):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    refused(bcjax("train", f"--config={path}", f"--workdir={tmp_path / 'new'}"), path, *named)
    assert not (tmp_path / "new").exists()


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
