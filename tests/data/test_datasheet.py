"""What was found and done is in the prepared set, in JSON and on a page, and comes with it."""

import csv
import json
import re
import sys

import cv2
import numpy as np
import pytest
from blobs import blobs, record, source
from picture_sources import settings

from bcjax.data import preparation
from bcjax.data.prepared import DATASHEET, SKIPPED, PreparedSet
from bcjax.runtime.errors import UserError

CELLS = blobs(60)
FILES = ("datasheet.json", "datasheet.html", "hashes.csv", "splits.csv", "skipped.csv")


def folder(root):
    """30 cells of each of two classes, one of them twice in its class and one in both."""
    for i, cell in enumerate([*CELLS, CELLS[0], CELLS[2], CELLS[2]]):
        path = root / ("a" if i % 2 == 0 and i != 61 else "b") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cell[..., ::-1])
    return root


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasheet")
    data = settings(folder(root / "cells"), drop=("conflicts", "duplicates"), canary=True)
    return preparation.write_set(preparation.read_source(data), root / "out", data)


def test_the_datasheet_tells_what_was_found_and_done(cleaned):
    sheet = json.loads((cleaned.path / DATASHEET).read_text())
    assert cleaned.datasheet.to_dict() == sheet
    assert cleaned.datasheet.canary.split == "test"
    assert cleaned.datasheet.removed[0].reason
    assert {f["kind"]: f["clusters"] for f in sheet["findings"]} == {
        "conflicts": [["a/02.png", "a/62.png", "b/61.png"]],
        "duplicates": [["a/00.png", "a/60.png"]],
    }
    gone = {row["id"]: row["reason"] for row in sheet["removed"]}
    assert gone == {
        "a/02.png": "conflicts",
        "a/62.png": "conflicts",
        "b/61.png": "conflicts",
        "a/60.png": "duplicates: same as a/00.png",
    }
    assert sheet["counts"]["before"] == {"": {"a": 32, "b": 31}}
    after = sheet["counts"]["after"]
    assert after == {
        split: dict(zip(cleaned.classes, counts, strict=True))
        for split, counts in cleaned.counts.items()
    }
    assert sum(n for counts in after.values() for n in counts.values()) + len(gone) == 63
    assert sheet["rules"]["drop"] == ["conflicts", "duplicates"]
    assert sheet["leaks"] == {"count": 0, "pictures": {}, "sentence": "", "found": []}
    assert sheet["canary"]["split"] == "test"
    with (cleaned.path / SKIPPED).open(newline="") as file:
        assert dict(list(csv.reader(file))[1:]) == gone


def test_the_hashes_are_of_each_picture_that_is_left(cleaned):
    with (cleaned.path / "hashes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = [id_ for split in cleaned.counts for id_ in cleaned.ids(split)]
    assert sorted(row["filename"] for row in rows) == sorted(ids)
    assert len({row["pixel_sha256"] for row in rows}) == len(rows)


def test_the_page_stands_alone_and_shows_what_is_alike(cleaned):
    page = (cleaned.path / "datasheet.html").read_text()
    assert not re.search(r"<script|<link|https?://", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert page.count('src="data:image/jpeg;base64,') == 5
    for said in ("a/02.png", "duplicates: same as a/00.png", "Colours alone get"):
        assert said in page


def test_names_are_escaped_on_the_page(tmp_path):
    records = [record(f"<b>{i}", cell, i % 2) for i, cell in enumerate(CELLS)]
    again = record("<script>alert(1)</script>", CELLS[0], 0)
    made = preparation.write_set(source([*records, again]), tmp_path / "out", settings())
    page = (made.path / "datasheet.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_same_source_gives_the_same_bytes(cleaned, tmp_path):
    data = settings(cleaned.path.parent / "cells", drop=("conflicts", "duplicates"), canary=True)
    again = preparation.write_set(preparation.read_source(data), tmp_path / "again", data)
    for name in FILES:
        assert (again.path / name).read_bytes() == (cleaned.path / name).read_bytes(), name


def test_what_is_known_of_a_set_comes_with_it(cleaned):
    opened = PreparedSet(cleaned.path)
    assert "4 pictures are left out; skipped.csv says why." in opened.notes
    assert opened.rules["drop"] == ("conflicts", "duplicates")
    assert opened.leaks.sentence == ""
    assert opened.source_classes == opened.classes
    assert [(finding.kind, finding.title) for finding in opened.findings] == [
        ("conflicts", "The same picture under several labels"),
        ("duplicates", "The same picture several times"),
    ]
    assert opened.findings[1].clusters == (("a/00.png", "a/60.png"),)


def test_a_set_is_summed_up_for_json(cleaned):
    summary = json.loads(json.dumps(cleaned.to_dict()))
    assert summary["digest"] == cleaned.digest
    assert summary["counts"]["train"]["a"] == cleaned.counts["train"][0]
    assert [(f["kind"], f["pictures"]) for f in summary["findings"]] == [
        ("conflicts", 3),
        ("duplicates", 2),
    ]
    assert "--config.data.drop=duplicates" in summary["findings"][1]["mend"]


def test_a_table_without_pandas_says_how_to_get_it(cleaned, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'bcjax\[pandas\]'"):
        cleaned.to_pandas()


def test_a_set_without_a_datasheet_opens(tmp_path):
    made = preparation.write_set(source([record(f"{i}", c, i % 2) for i, c in enumerate(CELLS)]),
                         tmp_path / "old", settings())  # fmt: skip
    (made.path / DATASHEET).unlink()
    opened = PreparedSet(made.path)
    assert (opened.notes, opened.leaks.sentence, opened.source_classes) == ((), "", ("a", "b"))


def test_other_rules_than_a_set_was_prepared_with_are_refused(cleaned):
    same = settings(cleaned.path, drop=("conflicts", "duplicates"))
    assert preparation.prepare(same).path == cleaned.path
    assert preparation.prepare(settings(cleaned.path)).path == cleaned.path
    with pytest.raises(UserError, match=r"data\.exclude is \('x',\), but .* is prepared already"):
        preparation.prepare(settings(cleaned.path, exclude=("x",)))


@pytest.fixture
def leaking(tmp_path):
    """A folder with a cell of train in test."""
    for split, first in (("train", 0), ("test", 20)):
        for i in range(first, first + 20):
            path = tmp_path / "in" / split / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), CELLS[i])
    cv2.imwrite(str(tmp_path / "in" / "test" / "a" / "copy.png"), CELLS[0])
    return settings(tmp_path / "in", cache_dir=str(tmp_path / "cache"), val_fraction=0.0)


def test_a_leak_is_refused_before_anything_is_cached_and_allowed_if_asked(leaking):
    for _ in range(2):
        with pytest.raises(UserError, match=r"train/a/0\.png \(train\) = test/a/copy\.png"):
            preparation.prepare(leaking)
    leaking.allow_leaks = True
    prepared = preparation.prepare(leaking)
    assert "train/a/0.png (train) = test/a/copy.png (test)" in prepared.leaks.sentence
    assert prepared.leaks.pictures == {"test": 1}
    assert any("scores are too good" in note for note in prepared.notes)
    assert preparation.prepare(leaking).notes == prepared.notes  # from the cache
    leaking.allow_leaks = False
    with pytest.raises(UserError, match="The splits leak"):
        preparation.prepare(leaking)


def test_to_evaluate_on_it_a_leaking_set_needs_no_leave(leaking):
    leaking.exclude = ("what/the/training/set/had",)
    assert preparation.prepare(leaking, complete=False).size("test") == 21


def test_rules_make_another_set_in_the_cache(leaking):
    leaking.allow_leaks = True
    paths = {preparation.prepare(leaking).path}
    for key, value in (
        ("drop", ("duplicates",)), ("keep", ("b=0.5",)), ("exclude", ("train/a/2.png",)),
        ("group_by", "hash"), ("resplit", True), ("max_copies", 1), ("canary", True),
    ):  # fmt: skip
        changed = leaking.copy_and_resolve_references()
        changed.update({key: value, "test_fraction": 0.2})
        paths.add(preparation.prepare(changed).path)
    assert len(paths) == 8


def test_dropped_classes_are_found_again_under_the_same_names(tmp_path):
    data = settings(tmp_path / "in", cache_dir=str(tmp_path / "cache"), drop_classes=("0",))
    for i, cell in enumerate(CELLS):
        path = tmp_path / "in" / str(i % 3) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cell)
    first = preparation.prepare(data)
    assert first.classes == ("1", "2")
    data.classes = first.source_classes  # as a run's config has them
    assert preparation.prepare(data).path == first.path
    np.testing.assert_array_equal(
        [len(first.examples(split)) for split in first.counts],
        [sum(counts) for counts in first.counts.values()],
    )
