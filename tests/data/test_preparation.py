"""A prepared set holds its source's very bytes, in order, all or nothing; it is made once."""

import csv
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds
from patience import PATIENCE
from picture_sources import KINDS, class_folder, picture, settings, source, spread
from tensorflow_datasets.core import shuffle

from bcjax.data import preparation
from bcjax.data.curate import splitting
from bcjax.data.prepared import MANIFEST, SKIPPED, PreparedSet
from bcjax.runtime.errors import UserError


def rows(path):
    with path.open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


@pytest.mark.parametrize("make", KINDS)
def test_every_source_comes_back_byte_for_byte_and_in_order(tmp_path, make):
    location = make(tmp_path / "in")
    data = settings(location, tfds_dir=str(tmp_path / "in"))
    opened = preparation.read_source(data)
    prepared = preparation.write_set(opened, tmp_path / "out" / "cells", data)
    records = splitting.assign_splits(opened.records, val_fraction=0.15, test_fraction=0.15, seed=0)

    assert prepared.classes == opened.classes
    grouped = any(record.group for record in records)
    carved = {"val", "test"} - {record.split for record in opened.records}
    said = (*opened.notes, *splitting.carving_notes(carved, grouped=grouped))
    assert prepared.notes[: len(said)] == said
    assert "tensorflow" not in sys.modules
    builder = tfds.builder_from_directory(tmp_path / "out" / "cells")
    raw = {"image": tfds.decode.SkipDecoding()}
    for split in ("train", "val", "test"):
        wanted = [record for record in records if record.split == split]
        assert wanted
        examples = builder.as_data_source(split, decoders=raw)
        assert [
            (e["id"].decode(), e["label"], e["group"].decode(), e["image"]) for e in examples
        ] == [(r.id, r.label, r.group, r.read()) for r in wanted]
        assert prepared.ids(split) == [record.id for record in wanted]
        assert prepared.examples(split)[range(len(wanted))] == [
            (record.read(), record.label) for record in wanted
        ]
        assert prepared.counts[split] == [
            sum(record.label == label for record in wanted) for label in range(len(opened.classes))
        ]
    assert rows(prepared.path / MANIFEST) == [
        ("filename", "label", "split", "group"),
        *(
            (r.id, opened.classes[r.label], r.split, r.group)
            for split in ("train", "val", "test")
            for r in records
            if r.split == split
        ),
    ]
    assert not (prepared.path / SKIPPED).exists()


def test_tfds_alone_reads_and_decodes_a_prepared_set(tmp_path):
    preparation.write_set(source(spread()), tmp_path / "cells", settings())
    examples = tfds.builder_from_directory(tmp_path / "cells").as_data_source("train")
    assert len(examples) == 8
    np.testing.assert_array_equal(examples[3]["image"], np.full((4, 6, 3), (3, 6, 252)))
    assert examples[3]["label"] == 1
    assert "tensorflow" not in sys.modules


def test_the_order_is_kept_over_several_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD", 8)
    prepared = preparation.write_set(source(spread(train=23)), tmp_path / "cells", settings())
    assert len(list(prepared.path.glob("*-train.array_record-*"))) == 3
    images = [example.image for example in prepared.examples("train")[range(23)]]
    assert images == [picture(i) for i in range(23)]
    assert prepared.ids("train") == [f"{i}.png" for i in range(23)]


def test_a_split_of_any_size_is_written_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 100)  # bytes; a gigabyte
    prepared = preparation.write_set(source(spread()), tmp_path / "cells", settings())
    assert prepared.size("train")
    assert "tensorflow" not in sys.modules


def test_the_drawings_are_a_tfds_builder(tmp_path):
    builder = preparation.SyntheticCells(data_dir=tmp_path, images=40)
    builder.download_and_prepare()
    examples = builder.as_data_source("train")
    assert len(examples) == 24
    assert examples[0]["image"].shape == (128, 128, 3)
    assert builder.info.features["label"].names[0] == "basophil"
    assert tfds.builder("synthetic_cells", data_dir=tmp_path, images=40).is_prepared()


def test_the_name_cells_is_left_to_the_user(tmp_path):
    with pytest.raises(tfds.core.DatasetNotFoundError):
        tfds.builder("cells", data_dir=tmp_path)


# All or nothing


def test_the_target_must_be_empty(tmp_path):
    (tmp_path / "cells").mkdir()
    preparation.write_set(source(spread()), tmp_path / "cells", settings())
    assert PreparedSet.is_at(tmp_path / "cells")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="cells is not empty: give another folder"):
        preparation.write_set(source(spread()), tmp_path / "cells", settings())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a defect"), SystemExit(1)])
def test_a_prepare_that_fails_leaves_nothing(tmp_path, error):
    def read(i):
        if i == 9:
            raise error
        return picture(i)

    with pytest.raises(type(error)):
        preparation.write_set(source(spread(), read=read), tmp_path / "cells", settings())
    assert not list(tmp_path.iterdir())


# Bad pictures


def test_bad_pictures_are_named_and_counted(tmp_path):
    with pytest.raises(UserError) as caught:
        preparation.write_set(source(spread(), bad=(1, 9)), tmp_path / "cells", settings())
    assert str(caught.value) == (
        "2 of 16 pictures cannot be read (1.png: empty file; 9.png: empty file): mend or delete "
        "them, or leave them out with --config.data.on_bad_image=skip."
    )
    assert not list(tmp_path.iterdir())


def test_of_many_bad_pictures_five_are_named(tmp_path):
    with pytest.raises(UserError, match=r"7 of 28 .*4\.png: empty file; and 2 more\)"):
        preparation.write_set(
            source(spread(train=20), bad=range(7)), tmp_path / "cells", settings()
        )


def test_a_file_that_cannot_be_read_is_a_bad_picture(tmp_path):
    location = class_folder(tmp_path / "in")
    opened = preparation.read_source(settings(location))
    gone = location / "ä" / "4.webp"
    gone.unlink()
    with pytest.raises(UserError, match=r"1 of 20 .*ä/4\.webp: .*No such file"):
        preparation.write_set(opened, tmp_path / "cells", settings())


def test_bad_pictures_are_left_out_if_asked_and_listed(tmp_path, caplog):
    bad = {1: b"", 9: picture(9)[:-20]}
    opened = source(spread(), read=lambda i: bad.get(i, picture(i)))
    with caplog.at_level(logging.WARNING, "bcjax"):
        prepared = preparation.write_set(opened, tmp_path / "cells", settings(on_bad_image="skip"))
    assert "2 of 16 pictures cannot be read" in caplog.text
    assert "2 pictures are left out; skipped.csv says why." in prepared.notes
    assert rows(prepared.path / SKIPPED) == [
        ("filename", "reason"),
        ("1.png", "empty file"),
        ("9.png", "not a picture, or a damaged one"),
    ]
    assert prepared.ids("train") == [f"{i}.png" for i in (0, 2, 3, 4, 5, 6, 7)]
    assert prepared.counts == {"train": [4, 3], "val": [2, 1], "test": [2, 2]}
    # Position and name still belong together.
    assert prepared.examples("train")[[1]] == [(picture(2), 0)]
    assert [len(prepared.examples(split)) for split in prepared.counts] == [7, 3, 4]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((1, 3, 5, 7), "Class 'b' has no readable training picture: mend or add some"),
        (range(8), "Class 'a' has no readable training picture: mend or add some"),
        (range(8, 12), "The split val has no readable picture: mend or add some"),
        (range(12, 16), "The split test has no readable picture: mend or add some"),
    ],
)
def test_a_class_or_a_split_that_skipping_empties_is_an_error(tmp_path, bad, message):
    with pytest.raises(UserError, match=message):
        preparation.write_set(
            source(spread(), bad=bad), tmp_path / "cells", settings(on_bad_image="skip")
        )
    assert not list(tmp_path.iterdir())


def test_a_split_of_bad_pictures_alone_is_told_like_any_other(tmp_path):
    with pytest.raises(UserError, match=r"4 of 16 pictures cannot be read \(8\.png: empty file"):
        preparation.write_set(source(spread(), bad=range(8, 12)), tmp_path / "cells", settings())


def test_a_file_name_that_is_no_text_is_named(tmp_path):
    folder = class_folder(tmp_path / "in")
    try:
        (folder / "ä" / os.fsdecode(b"\xe4.png")).write_bytes(picture(1))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match=r"udce4\.png' in .* is not in UTF-8: rename it"):
        preparation.read_source(settings(folder))


def test_the_digest_follows_the_pictures_and_their_splits(tmp_path):
    def digest(name, splits_):
        return preparation.write_set(source(splits_), tmp_path / name, settings()).digest

    first = digest("first", spread())
    assert digest("same", spread()) == first
    assert digest("longer", spread(train=9)) != first
    assert digest("otherwise", spread(train=7, val=5)) != first


# The cache


@pytest.fixture
def counted(monkeypatch):
    """The folders that `preparation.write_set` was asked to make."""
    made = []
    write = preparation.write_set
    monkeypatch.setattr(
        preparation,
        "write_set",
        lambda source, out, *a, **k: made.append(out) or write(source, out, *a, **k),
    )
    return made


@pytest.mark.parametrize(
    "name", ["cells-train.array_record-00000", "dataset_info.json", "datasheet.json"]
)
def test_a_damaged_file_of_a_prepared_set_is_told_with_the_mend(tmp_path, name):
    prepared = preparation.write_set(source(spread()), tmp_path / "cells", settings())
    (prepared.path / name).write_text("{")
    with pytest.raises(UserError, match=r"cells.*: delete the folder and prepare it again\.$"):
        PreparedSet(prepared.path).examples("train")[[0]]


def test_ensure_prepares_once_and_anew_when_something_changes(tmp_path, counted):
    location = class_folder(tmp_path / "in")

    def ensure(**changes):
        return preparation.prepare(settings(location, cache_dir=str(tmp_path / "cache"), **changes))

    first = ensure()
    assert ensure().path == first.path
    assert ensure().digest == first.digest
    assert counted == [first.path]
    assert first.path.parent == tmp_path / "cache" / "data"

    changed = [
        ensure(split_seed=1),
        ensure(val_fraction=0.3),
        ensure(test_fraction=0.3),
        ensure(on_bad_image="skip"),
        ensure(classes=("ä", "b, c")),
    ]
    (location / "ä" / "0.jpeg").write_bytes(picture(99, "JPEG"))
    changed.append(ensure())
    (location / "ä" / "new.png").write_bytes(picture(98))
    changed.append(ensure())
    assert len({first.path, *(prepared.path for prepared in changed)}) == 8
    assert len(counted) == 8

    # What does not change the set does not prepare it anew.
    assert ensure(image_size=48, store="disk", threads=1).path == changed[-1].path
    assert len(counted) == 8


def test_the_cache_may_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path))
    assert preparation.prepare(settings("synthetic")).path.parent == tmp_path / "data"


def test_a_source_that_fails_leaves_no_set_in_the_cache(tmp_path):
    location = class_folder(tmp_path / "in")
    (location / "ä" / "0.jpeg").write_bytes(b"")
    data = settings(location, cache_dir=str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(UserError, match=r"1 of 20 pictures cannot be read \(ä/0\.jpeg: empty"):
            preparation.prepare(data)
    assert not [path for path in (tmp_path / "cache" / "data").iterdir() if path.is_dir()]


def test_a_prepared_set_is_its_own_source(tmp_path, counted):
    written = preparation.write_set(source(spread()), tmp_path / "cells", settings())
    counted.clear()
    data = settings(tmp_path / "cells", cache_dir=str(tmp_path / "cache"))
    prepared = preparation.prepare(data)
    assert prepared.path == tmp_path / "cells"
    assert prepared.digest == written.digest
    assert prepared.describe_splits() == "train (8), val (4), test (4)"
    with pytest.raises(UserError, match="is a prepared set already: train on it as it is"):
        preparation.read_source(data)
    assert not counted
    assert not (tmp_path / "cache").exists()


# Killed, and at once

PROGRAM = """
import logging, pathlib, sys, time
from bcjax import config
from bcjax.data import decode, preparation

whole, seconds = decode.decode, float(sys.argv[3])
def slow(encoded, **options):
    print("decoding", file=sys.__stdout__, flush=True)  # TFDS is kept silent
    time.sleep(seconds)
    return whole(encoded, **options)
decode.decode = slow
logging.basicConfig(level=logging.INFO)
data = config.default().data
data.source, data.cache_dir = sys.argv[1:3]
print(preparation.prepare(data, pathlib.Path(sys.argv[4]) if sys.argv[4:] else None).path)
"""


def ensuring(location, cache, seconds, *out):
    """A process that ensures `location`, `seconds` per picture."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, location, cache, str(seconds), *out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_prepare_leaves_is_no_set_and_is_cleared_by_the_next(tmp_path):
    location, cache = class_folder(tmp_path / "in"), tmp_path / "cache"
    process = ensuring(location, cache, seconds=60)
    assert process.stdout.readline().startswith("decoding")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = [path.name for path in (cache / "data").iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].startswith(".in-")  # beside the target, which is not there

    prepared = preparation.prepare(settings(location, cache_dir=str(cache)))
    assert sum(prepared.size(split) for split in prepared.counts) == 20
    assert [path for path in (cache / "data").iterdir() if path.is_dir()] == [prepared.path]


def test_what_a_killed_prepare_into_a_folder_leaves_is_cleared_by_the_next_there(tmp_path):
    location, parent = class_folder(tmp_path / "in"), tmp_path / "sets"
    process = ensuring(location, tmp_path / "cache", 60, parent / "first")
    assert process.stdout.readline().startswith("decoding")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list(parent.iterdir())) == 1
    preparation.prepare(settings(location), parent / "second")
    assert [path.name for path in parent.iterdir()] == ["second"]


def test_preparation_leaves_nothing_among_temporary_files(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    preparation.prepare(settings(class_folder(tmp_path / "in")), tmp_path / "out")
    assert list(temporary.iterdir()) == []


def test_of_two_processes_at_once_one_prepares(tmp_path):
    location, cache = class_folder(tmp_path / "in"), tmp_path / "cache"
    both = [ensuring(location, cache, seconds=0.1) for _ in range(2)]
    ended = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert len({out.splitlines()[-1] for out, _ in ended}) == 1
    assert sum(err.count("Preparing 20 pictures") for _, err in ended) == 1


def test_of_two_threads_at_once_one_prepares(tmp_path, monkeypatch):
    location = class_folder(tmp_path / "in")
    data = settings(location, cache_dir=str(tmp_path / "cache"))
    written = []
    both_asked = threading.Barrier(2)
    open_named, write = preparation.read_source, preparation.write_set
    monkeypatch.setattr(
        preparation, "write_set", lambda *a, **k: written.append(a) or write(*a, **k)
    )
    monkeypatch.setattr(
        preparation,
        "read_source",
        lambda data, **k: both_asked.wait(PATIENCE) is None or open_named(data, **k),
    )
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(preparation.prepare(data).path))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert len(paths) == 2
    assert len(set(paths)) == 1
