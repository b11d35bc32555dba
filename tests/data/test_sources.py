"""Sources are recognised, read as they are, and refused with a sentence where they are bad."""

import dataclasses
import os
import pickle
from collections import Counter

import cv2
import numpy as np
import pytest
from picture_sources import identity
from places import REAL

from bcjax.data.records import Record, Source
from bcjax.data.sources import SOURCES, open_source, register_source
from bcjax.data.sources.walk import pictures_below
from bcjax.runtime.errors import UserError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return str(root)


def splits_of(source):
    return Counter(record.split for record in source.records)


def labels_of(source):
    return {record.id: source.classes[record.label] for record in source.records}


def refused(location, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        open_source(str(location), **options)
    assert "\n" not in str(caught.value)


# Class folders


def test_class_folders_give_the_pictures_at_any_depth_and_count_the_rest(tmp_path):
    location = touch(
        tmp_path, "b/1.JPG", "b/slide/deep/2.png", "a/3.tiff", "a/.4.png", ".c/5.png", "a/notes.txt"
    )
    source = open_source(location)
    assert source.kind == "class folders"
    assert labels_of(source) == {"a/3.tiff": "a", "b/1.JPG": "b", "b/slide/deep/2.png": "b"}
    assert splits_of(source) == {"": 3}
    assert source.records[0].read() == b"a/3.tiff"
    assert any("Ignored 1" in note and "a/notes.txt" in note for note in source.notes)
    assert pickle.loads(pickle.dumps(source.records[0])).read() == b"a/3.tiff"


def test_split_folders_are_recognised_in_any_case(tmp_path):
    names = [
        "TRAIN/a/1.png",
        "TRAIN/b/2.png",
        "Validation/a/3.png",
        "testing/b/4.png",
        "more/x.png",
    ]
    source = open_source(touch(tmp_path, *names))
    assert splits_of(source) == {"train": 2, "val": 1, "test": 1}
    assert source.classes == ("a", "b")
    notes = " ".join(source.notes)
    assert "more" in notes
    assert "'a' has no picture in test" in notes
    assert "'b' has no picture in val" in notes


def test_what_a_mac_adds_to_a_zip_file_and_masks_beside_the_pictures_are_left_out(tmp_path):
    names = ["a/1.bmp", "a/1_expert.bmp", "b/2.TIF", "b/2_Expert.tif", "__MACOSX/a/._1.bmp"]
    source = open_source(touch(tmp_path, *names))
    assert labels_of(source) == {"a/1.bmp": "a", "b/2.TIF": "b"}
    assert any("Ignored 2" in note and "a/1_expert.bmp" in note for note in source.notes)


def test_folders_named_by_numbers_are_ordered_by_value(tmp_path):
    assert open_source(touch(tmp_path, "10/a.png", "9/a.png", "2/a.png")).classes == (
        "2",
        "9",
        "10",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "2.png"], "holds no class folders"),
        (["a/1.png"], "holds 1 class"),
        (["images/a/1.png", "images/b/2.png"], "name .*images instead"),
        (["a/1.png", "b/readme.txt"], "class folder .*b holds no picture"),
        (["train/1.png", "test/2.png"], "holds no class folders"),
        (["val/a/1.png", "valid/a/2.png"], "two folders for val, val and valid"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "'c' has pictures .* none in train"),
        (["TestA/a/1.png", "TestB/b/1.png"], "TestA, which looks like a split"),
    ],
)
def test_folders_that_are_no_dataset_are_refused(tmp_path, names, message):
    refused(touch(tmp_path, *names), message)


def test_a_broken_link_is_named(tmp_path):
    location = touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    refused(location, r"cannot be read .*gone\.png")


# Manifests


def manifest(root, *lines):
    """A folder with a/1.png, b/2.png and b/3.png and the manifest of these lines."""
    touch(root, "a/1.png", "b/2.png", "b/3.png")
    (root / "cells.csv").write_text("\n".join(lines))
    return str(root)


def test_a_manifest_wins_over_class_folders_and_says_so(tmp_path):
    source = open_source(manifest(tmp_path, "filename,label", "a/1.png,x", "b/2.png,y"))
    assert source.kind == "manifest"
    assert labels_of(source) == {"a/1.png": "x", "b/2.png": "y"}
    assert any("cells.csv says what is in" in note for note in source.notes)
    assert source.records[0].read() == b"a/1.png"


def test_columns_are_found_by_name_in_any_case(tmp_path):
    lines = (
        "\ufeffno;Split;Category;Slide;Patient;Image",
        r"1;Training;10;s1;p1;a\1.png",
        "2;DEV;9;s2;p1;./b/2.png",
    )
    manifest(tmp_path, *lines, "3;training;9;s2;;b/3.png", "")
    source = open_source(str(tmp_path / "cells.csv"))
    assert [(r.id, r.group) for r in source.records] == [
        ("a/1.png", "p1"),
        ("b/2.png", "p1"),
        ("b/3.png", ""),
    ]
    assert source.classes == ("9", "10")
    assert splits_of(source) == {"train": 2, "val": 1}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["filename,label", "a/1.png,x", ",y"], "line 3: the file name is empty"),
        (["filename,label,split", "a/1.png,x,later"], "line 2: split 'later' is unknown"),
        (["filename,label", "a/1.png,x", "./a/1.png,y"], "line 3: a/1.png was listed before"),
        (
            ["filename,label", "7.png,x", "8.png,x", "a/1.png,x"],
            r"2 cannot be found .*7.png .line 2., 8",
        ),
        (["filename,label", "a,x"], "line 2: a is not a file"),
        (["filename,label", "a\0b,x"], "line 2: .* is not a file name"),
        (["filename,label"], "lists no picture"),
        (["filename,label", "a/1.png,x", '"b/2.png,y'], "cannot be read after line 3"),
        (["filename,label", "../secret.png,x"], "line 2: '../secret.png' leads out of"),
        (["filename,label", "a/../../secret.png,x"], "line 2: .* leads out of"),
        (["filename,label", r"..\secret.png,x"], "line 2: .* leads out of"),
        (["filename,label", "/etc/passwd,x"], "line 2: '/etc/passwd' leads out of"),
    ],
)
def test_rows_that_are_wrong_or_lead_out_of_the_folder_are_named(tmp_path, lines, message):
    touch(tmp_path, "secret.png")
    refused(manifest(tmp_path / "data", *lines), message)


@pytest.mark.parametrize("target", ["secret.png", "b/secret.png"])
def test_a_link_that_leads_out_of_the_manifests_folder_is_refused(tmp_path, target):
    touch(tmp_path, "outside/secret.png")
    location = manifest(tmp_path / "data", "filename,label", "a/1.png,x", f"linked/{target},y")
    (tmp_path / "data" / "linked").mkdir()
    (tmp_path / "data" / "linked" / "b").symlink_to(tmp_path / "outside")
    (tmp_path / "data" / "linked" / "secret.png").symlink_to(tmp_path / "outside" / "secret.png")
    refused(location, "line 3: .* is a link that leads out")


def test_rows_without_one_label_are_told_apart_from_names_with_a_comma(tmp_path):
    lines = ["filename;label", "a/1.png;x, y", "b/2.png;x", "b/3.png;"]
    location = manifest(tmp_path, *lines, *(f"c/{i}.png;{name}" for i, name in enumerate("yzz")))
    touch(tmp_path, "c/0.png", "c/1.png", "c/2.png")
    source = open_source(location)
    assert source.classes == ("x", "y", "z")
    assert source.unlabelled == [("a/1.png", "names several: x, y"), ("b/3.png", "names no class")]
    # Who says that it is a class knows best; and what no other row names is no list of classes.
    assert open_source(location, classes=("x", "x, y", "y", "z")).unlabelled[0][0] == "b/3.png"
    lines[2:] = ["b/2.png;v|w", "b/3.png;u"]
    assert open_source(manifest(tmp_path, *lines)).classes == ("u", "v|w", "x, y")


def test_records_keep_the_other_columns_of_a_manifest(tmp_path):
    lines = ("filename,label,Patient,slide,", "a/1.png,x,p1,s1,?", "b/2.png,y,p2,,")
    first, second = open_source(manifest(tmp_path, *lines)).records
    assert first.columns == {"Patient": "p1", "slide": "s1"}
    assert second.columns == {"Patient": "p2", "slide": ""}


def test_a_manifest_must_be_one_and_have_its_columns(tmp_path):
    location = manifest(tmp_path, "filename,label", "a/1.png,x")
    (tmp_path / "other.csv").write_text("path,class\n")
    refused(location, "several manifests .cells.csv, other.csv.")
    (tmp_path / "other.csv").write_text("name,label\n")
    refused(
        tmp_path / "other.csv", "no column filename or file or path or image .it has name, label"
    )
    (tmp_path / "other.csv").write_bytes(b"path,class\n\xff\xfe,x\n")
    refused(tmp_path / "other.csv", "cannot be found .*Windows-1252")


# Classes, fingerprints and locations


def test_the_users_classes_fix_names_and_order(tmp_path):
    location = touch(tmp_path, "a/1.png", "b/2.png")
    source = open_source(location, classes=("b", "a"))
    assert source.classes == ("b", "a")
    assert labels_of(source) == {"a/1.png": "a", "b/2.png": "b"}
    refused(location, "label 'b' .b/2.png. is not among data.classes .a, bee", classes=("a", "bee"))
    refused(location, "class 'c' has no picture", classes=("a", "b", "c"))
    refused(location, "data.classes names 'a' twice", classes=("a", "b", "a"))


def test_a_source_is_known_by_its_content(tmp_path):
    location = touch(tmp_path / "in", "a/1.png", "b/2.png")

    def known(**options):
        return identity(open_source(location, **options), tmp_path)

    first = known()
    assert first != known(classes=("b", "a"))
    os.utime(tmp_path / "in" / "a" / "1.png", ns=(1, 1))
    assert known() == first
    os.rename(tmp_path / "in" / "b" / "2.png", tmp_path / "in" / "b" / "3.png")
    assert known() != first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cels", "does not exist; name a folder.*: did you mean 'cells'"),
        ("cells.cvs", "does not exist"),
        ("notes.txt", "neither a .csv nor a .npz"),
        ("", "class folder .*cells holds no picture"),
    ],
)
def test_a_location_that_is_nothing_is_refused_with_the_nearest(tmp_path, name, message):
    touch(tmp_path, "notes.txt")
    (tmp_path / "cells").mkdir()
    refused(f"{tmp_path}/{name}", message)


def test_an_empty_location_is_refused():
    refused(" ", "data.source is empty")


def test_synthetic_pictures_are_a_source_like_any_other():
    source = open_source("synthetic", synthetic_images=40)
    assert len(source.records) == 40
    assert len(source.classes) == 8


# Kinds of source that others add


@pytest.fixture
def registry(monkeypatch):
    """The table of sources, put back afterwards."""
    monkeypatch.setattr("bcjax.data.sources.registry.SOURCES", dict(SOURCES))


def by_hand(request):
    """A source of two pictures, whatever was asked for."""
    records = [Record(str(i), i, bytes) for i in range(2)]
    return Source("by hand", request.location, ("a", "b"), records, "fingerprint")


def test_a_registered_source_may_not_call_two_pictures_alike(registry):
    def read(request):
        source = by_hand(request)
        return dataclasses.replace(source, records=[*source.records, Record("1", 0, bytes)])

    register_source("slides")(read)
    refused("slides", "slides has several pictures called '1': its reader must give each an id")


def test_a_registered_source_is_read_by_its_name(registry):
    register_source("slides")(by_hand)
    assert open_source("slides").kind == "by hand"
    assert open_source("slides:/mnt/scanner").location == "slides:/mnt/scanner"
    refused("slides", "has no boxes", boxes="crop")


def test_a_registered_source_goes_before_the_others(registry, tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png", "scanner.ini")
    register_source("scanner", lambda request: (request.path / "scanner.ini").exists())(by_hand)
    assert open_source(str(tmp_path)).kind == "by hand"


def test_two_sources_may_not_have_one_name(registry):
    with pytest.raises(UserError, match="a source called 'npz' already"):
        register_source("npz")


def test_the_walk_skips_litter_and_outlines_and_is_sorted(tmp_path):
    names = ["b/2.png", "a.jpg", "b/deep/er/3.TIF", "b/.hidden.png", "__MACOSX/x.png", "notes.txt"]
    touch(tmp_path, *names, "b/2_expert.png")
    found = [path.relative_to(tmp_path).as_posix() for path in pictures_below(tmp_path)]
    assert found == ["a.jpg", "b/2.png", "b/deep/er/3.TIF"]


# Real sets


@pytest.mark.parametrize(
    ("name", "kind", "count", "classes", "splits"),
    [
        ("pbc96", "manifest", 13670, 8, {"train": 10958, "val": 1356, "test": 1356}),
        ("pbc28.npz", "npz in MedMNIST's layout", 13670, 8, {"train": 10958, "val": 1356}),
        ("bccd4", "Kaggle's 4-class folder", 9957, 4, {"train": 9957}),
        ("bccd", "raw BCCD", 282, 5, {"": 282}),
        ("pbc3200", "PBC", 3200, 8, {"": 3200}),
        ("wbc_jtsc", "class folders", 300, 5, {"": 300}),
    ],
)
def test_real_sets_are_recognised(name, kind, count, classes, splits):
    if not (REAL / name).exists():
        pytest.skip(f"the real pictures {name} are not in ../shared/data")
    source = open_source(str(REAL / name))
    assert (source.kind, len(source.records), len(source.classes)) == (kind, count, classes)
    assert splits.items() <= splits_of(source).items()
    assert cv2.imdecode(np.frombuffer(source.records[-1].read(), np.uint8), 1).ndim == 3
