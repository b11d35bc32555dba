"""Datasets of TFDS are read without TensorFlow."""

import io
import json
import pickle
import shutil
import sys
import tempfile

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from picture_sources import identity

from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError


def png(value):
    return cv2.imencode(".png", np.full((4, 4, 3), value, np.uint8))[1].tobytes()


class Cells(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    SPLITS = ("train", "validation", "extra")

    def features(self):
        return {
            "picture": tfds.features.Image(shape=(None, None, 3)),
            "kind": tfds.features.ClassLabel(names=["z", "a"]),
        }

    def _info(self):
        features = tfds.features.FeaturesDict(self.features())
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in self.SPLITS}

    def _generate_examples(self):
        for i in range(5):
            yield i, {"picture": io.BytesIO(png(i)), "kind": i % 2 if i < 4 else -1}


class TwoLabels(Cells, skip_registration=True):
    def features(self):
        return super().features() | {"smear": tfds.features.ClassLabel(names=["s", "t"])}

    def _generate_examples(self):
        for i, example in super()._generate_examples():
            yield i, example | {"smear": 0}


class CellsToPrepare(Cells):
    """Registered, as the datasets of TFDS itself are, but not prepared."""

    SPLITS = ("everything",)


class CellsOutOfReach(Cells):
    def _split_generators(self, dl_manager):
        raise ConnectionError("no route to host")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the files of `cells` and `two_labels`, whose code TFDS does not know."""
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (Cells, TwoLabels):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


@pytest.mark.parametrize("name", ["cells", "tfds:cells", "cells:1.0.0"])
def test_a_prepared_dataset_is_read_without_tensorflow(prepared, name):
    was_imported = "tensorflow" in sys.modules
    source = open_source(name, data_dir=str(prepared))
    assert (source.kind, source.location, source.classes) == ("TFDS dataset", name, ("z", "a"))
    assert sorted((record.split, record.label) for record in source.records) == [
        (split, label) for split in ("train", "val") for label in (0, 0, 1, 1)
    ]
    assert {record.read() for record in source.records} == {png(i) for i in range(4)}
    record = source.records[0]
    assert pickle.loads(pickle.dumps(record)).read() == record.read()
    assert ("tensorflow" in sys.modules) == was_imported
    notes = " ".join(source.notes)
    assert "Ignored the split 'extra'" in notes
    assert "Left out 2 pictures without a label" in notes


def test_a_dataset_is_known_by_its_files(prepared, tmp_path):
    copy = shutil.copytree(prepared, tmp_path / "copy", copy_function=shutil.copy2)

    def known(data_dir):
        return identity(open_source("cells", data_dir=str(data_dir)), tmp_path)

    first = known(copy)
    assert first == known(prepared)
    labels = copy / "cells" / "1.0.0" / "kind.labels.txt"
    labels.write_text("zz\na\n")
    assert first != known(copy)


def test_a_dataset_that_is_not_prepared_is_prepared(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    source = open_source("cells_to_prepare", data_dir=str(tmp_path))
    assert {record.split for record in source.records} == {""}
    assert list(tmp_path.glob("cells_to_prepare/1.0.0/*.array_record*"))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cells_out_of_reach", "cannot be prepared here .ConnectionError: no route to host"),
        ("two_labels", "has 2 features of the type ClassLabel .*kind, picture, smear"),
        ("cellls", "is neither a file or folder nor a dataset of TFDS: did you mean 'cells'"),
        ("tfds:mnits", "did you mean 'mnist'"),
        ("mnist:9.9.9", "TFDS cannot open 'mnist:9.9.9' .*only: 3"),
    ],
)
def test_what_cannot_be_opened_is_named_with_the_mend(prepared, name, message):
    with pytest.raises(UserError, match=message) as caught:
        open_source(name, data_dir=str(prepared))
    assert "\n" not in str(caught.value)


def test_files_that_need_tensorflow_are_refused(prepared, tmp_path):
    copy = shutil.copytree(prepared, tmp_path / "copy") / "cells" / "1.0.0"
    for path in copy.glob("*array_record*"):
        path.rename(copy / path.name.replace("array_record", "tfrecord"))
    info = json.loads((copy / "dataset_info.json").read_text()) | {"fileFormat": "tfrecord"}
    (copy / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=r"stored as tfrecord, which needs TensorFlow"):
        open_source("cells", data_dir=str(tmp_path / "copy"))
