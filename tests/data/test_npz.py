"""Pictures from .npz files: exact, lazy, and never unpickled."""

import pickle
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError

BLOOD = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
SPLITS = ("train", "val", "test")
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1], np.uint8)


def splits_of(source):
    return Counter(record.split for record in source.records)


def refused(path, message):
    with pytest.raises(UserError, match=message):
        open_source(str(path))


def decode(record):
    return cv2.imdecode(np.frombuffer(record.read(), np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_label_minus_one_and_the_group_nan_stand_for_none(tmp_path):
    np.savez(
        tmp_path / "cells.npz",
        images=np.zeros((4, 2, 2), np.uint8),
        labels=[0, -1, 1, 1],
        groups=["nan", "p", "q", ""],
    )
    source = open_source(str(tmp_path / "cells.npz"))
    assert source.classes == ("0", "1")
    assert [record.group for record in source.records] == ["", "q", ""]
    assert source.unlabelled == [("images/1", "has the label -1")]


def test_npz_in_medmnists_layout_gives_its_splits_and_exact_pictures(tmp_path):
    parts = {f"{s}_images": PIXELS + i for i, s in enumerate(("train", "val", "test"))}
    labels = {f"{s}_labels": LABELS[:, None] for s in ("train", "val", "test")}
    np.savez_compressed(tmp_path / "cells.npz", **parts, **labels)
    source = open_source(str(tmp_path / "cells.npz"))
    assert source.classes == ("0", "1")
    assert splits_of(source) == {"train": 4, "val": 4, "test": 4}
    record = source.records[5]
    assert (record.id, record.label, record.split) == ("val_images/1", 1, "val")
    copied = pickle.loads(pickle.dumps(record))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda r: r.read(), [record, copied] * 4))) == 1
    np.testing.assert_array_equal(decode(record)[..., ::-1], PIXELS[1] + 1)


def test_npz_pictures_are_not_loaded_before_the_first_is_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "cells.npz", images=PIXELS, labels=LABELS)
    loaded = []
    load = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(
        np.lib.npyio.NpzFile, "__getitem__", lambda s, key: loaded.append(key) or load(s, key)
    )
    source = open_source(str(tmp_path / "cells.npz"))
    assert loaded == ["labels"]
    for record in source.records:
        record.read()
    assert loaded == ["labels", "images"]


def test_npz_may_name_classes_groups_and_splits_and_hold_grey_pictures(tmp_path):
    np.savez(
        tmp_path / "cells.npz",
        images=PIXELS[..., 0],
        labels=LABELS,
        class_names=np.array(["z", "a"]),
        groups=np.array([7, 7, 8, 9]),
        splits=np.array(["train", "train", "test", "val"]),
    )
    source = open_source(str(tmp_path / "cells.npz"))
    assert source.classes == ("z", "a")
    assert [record.group for record in source.records] == ["7", "7", "8", "9"]
    assert splits_of(source) == {"train": 2, "test": 1, "val": 1}
    np.testing.assert_array_equal(decode(source.records[3]), PIXELS[3, ..., 0])


def test_labels_of_bloodmnist_get_their_names_and_the_users_order(tmp_path):
    path = tmp_path / "bloodmnist_64.npz"
    np.savez(path, train_images=PIXELS[[0] * 8], train_labels=np.arange(8))
    assert open_source(str(path)).classes == BLOOD
    turned = open_source(str(path), classes=BLOOD[::-1])
    assert [record.label for record in turned.records] == list(range(7, -1, -1))
    other = path.rename(tmp_path / "cells.npz")
    assert open_source(str(other), classes=BLOOD[::-1]).records[0].label == 0


@pytest.mark.parametrize(("name", "side"), [("", 28), ("_64", 64), ("_128", 128), ("_224", 224)])
def test_medmnists_files_of_every_size_are_read(tmp_path, name, side):
    parts = {f"{split}_images": np.zeros((8, side, side, 3), np.uint8) for split in SPLITS}
    labels = {f"{split}_labels": np.arange(8, dtype=np.uint8)[:, None] for split in SPLITS}
    np.savez_compressed(tmp_path / f"bloodmnist{name}.npz", **parts, **labels)
    source = open_source(str(tmp_path / f"bloodmnist{name}.npz"))
    assert (source.kind, source.classes) == ("npz in MedMNIST's layout", BLOOD)
    assert splits_of(source) == {"train": 8, "val": 8, "test": 8}
    assert decode(source.records[0]).shape == (side, side, 3)


def an2dl(folder, labels=range(8), name="training_set.npz"):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 96, 96, 3), np.uint8)
    np.savez(folder / name, images=images, labels=np.array(labels, np.uint8)[:, None])
    return str(folder / name)


def test_an2dls_labels_get_the_names_of_its_task(tmp_path):
    source = open_source(an2dl(tmp_path))
    assert (source.kind, len(source.records)) == ("npz", 8)
    assert source.classes == tuple("immature granulocytes" if n == "ig" else n for n in BLOOD)
    assert any("taken for AN2DL's" in note and "platelet" in note for note in source.notes)
    turned = open_source(an2dl(tmp_path), classes=source.classes[::-1])
    assert [record.label for record in turned.records] == list(range(7, -1, -1))


def test_a_file_that_is_only_called_like_an2dls_is_not_taken_for_it(tmp_path):
    assert open_source(an2dl(tmp_path, range(5))).classes == tuple("01234")
    assert open_source(an2dl(tmp_path, name="cells.npz")).classes == tuple("01234567")
    mine = tuple("abcdefgh")
    assert open_source(an2dl(tmp_path), classes=mine).classes == mine


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": PIXELS}, "holds pictures: name them train_images"),
        ({"images": PIXELS}, "holds no labels"),
        ({"images": PIXELS / 255, "labels": LABELS}, "float64: save it as uint8"),
        ({"images": PIXELS[0], "labels": LABELS[:1]}, None),
        ({"images": PIXELS[:, 0, 0], "labels": LABELS}, r"shape \(4, 3\)"),
        ({"images": PIXELS[..., :2], "labels": LABELS}, r"shape \(4, 5, 6, 2\)"),
        ({"images": PIXELS, "labels": LABELS[:3]}, r"shape \(3,\) where \(4,\) is needed"),
        ({"images": PIXELS, "labels": np.eye(4, 2, dtype=int)}, "several labels"),
        ({"images": PIXELS, "labels": LABELS.astype(float)}, "float64: save class numbers"),
        ({"images": PIXELS, "labels": LABELS, "class_names": ["a"]}, r"label 1 \(images/1 in"),
        ({"images": PIXELS, "labels": LABELS, "splits": ["x"] * 4}, "split 'x' .images/0"),
        ({"images": PIXELS, "labels": LABELS, "groups": ["x"]}, r"groups .* shape \(1,\)"),
    ],
)
def test_npz_arrays_of_another_kind_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "cells.npz", **arrays)
    refused(tmp_path / "cells.npz", message or r"shape \(1,\) where \(5,\)")


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("key", ["images", "labels", "class_names", "groups"])
def test_a_pickled_array_is_refused_and_its_code_is_not_run(tmp_path, key):
    trap = np.array([Trap(tmp_path / "trapped")] * 4, dtype=object)
    np.savez(tmp_path / "cells.npz", **{"images": PIXELS, "labels": LABELS, key: trap})
    refused(tmp_path / "cells.npz", f"{key} .* unpickling can run code")
    assert not (tmp_path / "trapped").exists()
    np.load(tmp_path / "cells.npz", allow_pickle=True)[key]
    assert (tmp_path / "trapped").exists()  # so the trap was a real one


def test_damaged_pictures_are_refused_when_they_are_read(tmp_path):
    path = tmp_path / "cells.npz"
    images = np.full((4, 64, 64, 3), 7, np.uint8)
    np.savez(path, labels=LABELS, images=images)
    whole = bytearray(path.read_bytes())
    whole[whole.rfind(b"\7\7\7\7")] = 8
    path.write_bytes(whole)
    source = open_source(str(path))
    with pytest.raises(UserError, match=r"images in .* is damaged"):
        source.records[0].read()


def test_a_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "cells.npz"
    np.savez_compressed(path, images=PIXELS, labels=LABELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "not an intact .npz file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", "not an array")
    refused(path, "not an intact .npz file")
