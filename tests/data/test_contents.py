"""No data set is taken for another one, and one that has not changed is not read twice."""

import dataclasses
import errno
import logging
import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from picture_sources import class_folder, settings
from PIL import Image

from bcjax.data import contents, preparation
from bcjax.data.records import Record, Source
from bcjax.data.sources import SOURCES, register_source
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

LONG_AGO = 1_500_000_000 * 10**9  # nanoseconds


def drawn(path, shade):
    """A picture that takes as many bytes as any other, with an old time, as archives write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (shade, 255 - shade, 2 * shade)).save(path, "BMP")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def folder(root, first):
    for i in range(20):
        drawn(root / "ab"[i % 2] / f"{i}.bmp", first + i)
    return root


def table(root, first):
    folder(root, first)
    rows = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.glob("*/*"))]
    (root / "cells.csv").write_text("\n".join(["filename,label", *rows]))
    os.utime(root / "cells.csv", ns=(LONG_AGO, LONG_AGO))
    return root / "cells.csv"


def arrays(root, first):
    """Labels and pictures in one file, whose size is the same whatever they are."""
    root.mkdir(parents=True)
    images = np.arange(first, first + 20, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    np.savez(root / "cells.npz", images=images, labels=(np.arange(20) + first // 100) % 2)
    os.utime(root / "cells.npz", ns=(LONG_AGO, LONG_AGO))
    return root / "cells.npz"


@pytest.fixture
def prepare(tmp_path):
    return lambda source: preparation.prepare(settings(source, cache_dir=str(tmp_path / "cache")))


@pytest.fixture
def settled(monkeypatch):
    """Files count as old as soon as they are written."""
    monkeypatch.setattr(contents, "_TICK_NS", 0)


@pytest.fixture
def read(monkeypatch):
    """The files that were read to know what they hold."""
    paths = []
    digest = contents._digest
    monkeypatch.setattr(contents, "_digest", lambda path: paths.append(path) or digest(path))
    return paths


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "bcjax")
    return lambda: [record.getMessage() for record in caplog.records]


def images(prepared):
    return {
        id_: prepared.examples(split)[[i]][0].image
        for split in prepared.counts
        for i, id_ in enumerate(prepared.ids(split))
    }


@pytest.mark.parametrize("make", [folder, table, arrays])
def test_files_of_the_same_name_size_and_time_in_another_folder_are_others(
    tmp_path, prepare, settled, make
):
    location = make(tmp_path / "first" / "cells", 0)
    mine, theirs = prepare(location), prepare(make(tmp_path / "second" / "cells", 100))
    assert mine.path != theirs.path
    assert set(images(mine).values()).isdisjoint(images(theirs).values())
    assert not mine.as_trained_on().same_pictures(theirs.as_trained_on())
    # Also at the same place, where another set was copied with the times it has.
    shutil.rmtree(tmp_path / "first")
    moved_in = prepare(make(tmp_path / "first" / "cells", 100))
    assert images(moved_in) == images(theirs)


def test_a_picture_that_is_changed_in_place_is_seen_whatever_its_time_says(
    tmp_path, prepare, settled
):
    location = folder(tmp_path / "cells", 0)
    before = prepare(location)
    drawn(location / "a" / "4.bmp", 99)
    assert images(prepare(location))["a/4.bmp"] != images(before)["a/4.bmp"]
    drawn(location / "a" / "4.bmp", 4)
    assert prepare(location).path == before.path


def test_what_has_not_changed_is_found_without_being_read(tmp_path, prepare, settled, read, said):
    location = folder(tmp_path / "cells", 0)
    prepared = prepare(location)
    read.clear()
    assert prepare(location).path == prepared.path
    assert read == []
    assert said()[-1] == f"pictures: found prepared, 20 pictures, digest {prepared.digest}"


def moved(location):
    return location.rename(location.with_name("elsewhere"))


def copied(location):
    return shutil.copytree(location, location.parent / "container" / "mnt")


def linked(location):
    return shutil.copytree(location, location.with_name("links"), copy_function=os.link)


def pointed_at(location):
    link = location.with_name("pointer")
    link.symlink_to(location)
    return link


@pytest.mark.parametrize("elsewhere", [moved, copied, linked, pointed_at])
def test_the_same_pictures_elsewhere_are_the_same_set(
    tmp_path, prepare, settled, read, said, elsewhere
):
    prepared = prepare(folder(tmp_path / "cells", 0))
    read.clear()
    assert prepare(elsewhere(tmp_path / "cells")).path == prepared.path
    assert len(read) == 20
    assert sum("Preparing" in line for line in said()) == 1
    assert said()[-1].startswith("pictures: found prepared, 20 pictures")


def test_a_change_through_another_hard_link_is_seen(tmp_path, prepare, settled):
    location = folder(tmp_path / "cells", 0)
    others = linked(location)
    before = prepare(location)
    drawn(others / "a" / "4.bmp", 99)
    assert images(prepare(location)) != images(before)


def test_labels_of_a_table_count_as_the_pictures_do(tmp_path, prepare, settled):
    location = table(tmp_path / "cells", 0)
    before = prepare(location)
    location.write_text(location.read_text().replace("a/0.bmp,a", "a/0.bmp,b"))
    os.utime(location, ns=(LONG_AGO, LONG_AGO))
    assert prepare(location).digest != before.digest


def test_another_disk_image_at_the_same_place_is_seen(tmp_path, prepare, monkeypatch):
    """On squashfs, inodes and all times can be those of the image that was there before."""
    facts = SimpleNamespace(st_ino=7, st_size=126, st_mtime_ns=LONG_AGO, st_ctime_ns=LONG_AGO)
    paths = [tmp_path / "a.bmp", tmp_path / "b.bmp"]
    names, stat, digests = {*map(str, paths)}, os.stat, []
    for shade in (0, 50):
        for path in paths:
            drawn(path, shade)
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", lambda p, **k: facts if p in names else stat(p, **k))
            digests.append(contents.digest_of_files(paths, tmp_path / "known"))
            assert contents.digest_of_files(paths, tmp_path / "known") == digests[-1]
    assert digests[0] != digests[1]


def test_files_that_were_just_written_are_read_again(tmp_path, read):
    drawn(tmp_path / "a.bmp", 1)  # its mtime is old; its ctime is not
    for _ in range(2):
        contents.digest_of_files([tmp_path / "a.bmp"], tmp_path / "known")
    assert len(read) == 2


def test_a_file_that_could_not_be_read_once_is_read_again(tmp_path, settled, monkeypatch):
    path, known = tmp_path / "a.bmp", tmp_path / "known"
    drawn(path, 1)
    opened = open
    with monkeypatch.context() as patched:

        def fails(*args, **kwargs):
            if args[0] == path and kwargs.get("buffering") == 0:
                raise OSError(errno.EIO, "Input/output error")
            return opened(*args, **kwargs)

        patched.setattr("builtins.open", fails)
        broken = contents.digest_of_files([path], known)
    whole = contents.digest_of_files([path], known)
    assert broken != whole == contents.digest_of_files([path], known)


def test_a_cache_that_cannot_be_written_to_serves_what_it_has(
    tmp_path, prepare, settled, monkeypatch, said
):
    prepared = prepare(folder(tmp_path / "cells", 0))

    def full(*args):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "write_text", full)
    assert prepare(moved(tmp_path / "cells")).path == prepared.path
    assert "found prepared" in said()[-1]


def test_pictures_that_change_while_they_are_prepared_make_no_set(tmp_path, prepare, monkeypatch):
    location = folder(tmp_path / "cells", 0)
    write = preparation._write_csv

    def write_and_change(*args):
        write(*args)
        drawn(location / "a" / "4.bmp", 99)

    monkeypatch.setattr(preparation, "_write_csv", write_and_change)
    with pytest.raises(UserError, match="cells were changed while they were prepared: repeat"):
        prepare(location)
    assert not [path for path in (tmp_path / "cache" / "data").iterdir() if path.is_dir()]


def test_a_set_of_an_earlier_version_stays_and_is_prepared_again(tmp_path, prepare, said):
    location = folder(tmp_path / "cells", 0)
    prepared = prepare(location)
    earlier = prepared.path.rename(prepared.path.with_name("cells-0123456789ab"))
    again = prepare(location)
    assert again.path != earlier
    assert again.digest == prepared.digest
    assert any(f"{earlier} was prepared by an earlier version" in line for line in said())
    assert (earlier / "dataset_info.json").exists()


def test_the_digest_of_a_set_is_that_of_version_0_1(tmp_path, prepare):
    assert prepare(class_folder(tmp_path / "in")).digest == "e409c7a0d0d717af"


# Sources without files


def by_hand(shades):
    """A source whose fingerprint says nothing about its pictures."""

    def read(request):
        records = []
        for i, shade in enumerate(shades[request.location]):
            encoded = b"P6 1 1 255\n" + bytes((shade, i, 0))
            records.append(Record(f"{i}.ppm", i % 2, lambda encoded=encoded: encoded))
        return Source("by hand", request.location, ("a", "b"), records, "version 1")

    return read


def test_a_source_without_files_is_known_by_its_place_and_a_few_pictures(
    tmp_path, prepare, monkeypatch
):
    monkeypatch.setattr("bcjax.data.sources.registry.SOURCES", dict(SOURCES))
    shades = {"slides:1": range(20), "slides:2": range(20)}
    register_source("slides")(by_hand(shades))
    first = prepare("slides:1")
    assert prepare("slides:1").path == first.path
    assert prepare("slides:2").path != first.path
    shades["slides:1"] = range(100, 120)
    assert images(prepare("slides:1")) != images(first)


def test_what_decides_beside_the_files_is_part_of_the_identity(tmp_path):
    records = [Record("a", 0, bytes), Record("b", 1, bytes)]
    drawn(tmp_path / "a.bmp", 1)
    source = Source("list", "list", ("x", "y"), records, files=[tmp_path / "a.bmp"])

    def fingerprint(**changes):
        changed = dataclasses.replace(source, **changes)
        return contents.identified(changed, tmp_path / "known").fingerprint

    def with_first(**changes):
        return fingerprint(records=[dataclasses.replace(records[0], **changes), records[1]])

    all_ = [
        fingerprint(),
        fingerprint(fingerprint="boxes"),
        fingerprint(classes=("y", "x")),
        fingerprint(augmented=True),
        fingerprint(unlabelled=[("c", "names no class")]),
        with_first(label=1),
        with_first(group="patient"),
        with_first(split="test"),
        with_first(columns={"stain": "old"}),
    ]
    assert len(set(all_)) == len(all_)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in all_)
    assert fingerprint(location="elsewhere", notes=("Left out 2.",)) == fingerprint()


def test_a_few_are_spread_over_all_with_both_ends():
    assert contents._few([]) == []
    assert contents._few(["a"]) == ["a"]
    assert contents._few(range(3)) == [0, 1, 2]
    few = contents._few(range(1_000_000))
    assert (few[0], few[-1], len(few)) == (0, 999_999, 16)
