"""Kaggle's 4-class folder: found however deep, its split kept, and never split anew unawares."""

from collections import Counter

import pytest
from picture_sources import settings
from places import REAL

from bcjax.data import preparation
from bcjax.data.curate import curation
from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError

CLASSES = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")
BCCD4 = REAL / "bccd4"


@pytest.fixture
def downloaded(tmp_path):
    """The zip file's layout: the folder twice, and a table that is of BCCD's smears."""
    top = tmp_path / "archive"
    inner = top / "dataset2-master" / "dataset2-master"
    for split, count in {"TRAIN": 4, "TEST": 2, "TEST_SIMPLE": 1}.items():
        for name in CLASSES:
            (inner / "images" / split / name).mkdir(parents=True)
            for i in range(count):
                (inner / "images" / split / name / f"_{i}_{i * 7}.jpeg").write_bytes(b"jpeg")
    (inner / "labels.csv").write_text(",Image,Category\n,0,NEUTROPHIL\n,1,\n")
    return top


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "dataset2-master",
        "dataset2-master/dataset2-master",
        "dataset2-master/dataset2-master/images",
    ],
)
def test_it_is_found_at_any_depth_of_its_download(downloaded, inside):
    source = open_source(str(downloaded / inside))
    assert source.kind == "Kaggle's 4-class folder"
    assert source.classes == CLASSES
    assert source.augmented
    assert Counter(record.split for record in source.records) == {"train": 16, "test": 8}
    assert source.records[-1].id == "TRAIN/NEUTROPHIL/_3_21.jpeg"
    notes = " ".join(source.notes)
    assert "left out what lies beside: TEST_SIMPLE" in notes
    assert "augmented copies of far fewer originals" in notes


def test_one_of_its_folders_alone_is_known_too_but_names_no_split(downloaded):
    source = open_source(str(downloaded / "dataset2-master/dataset2-master/images/TRAIN"))
    assert (source.kind, source.augmented) == ("Kaggle's 4-class folder", True)
    assert {record.split for record in source.records} == {""}


def test_photographs_under_the_same_class_names_are_no_copies(tmp_path):
    for split in ("TRAIN", "TEST"):
        for name in CLASSES:
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "BloodImage_00001.jpeg").write_bytes(b"jpeg")
    assert not open_source(str(tmp_path)).augmented
    assert open_source(str(tmp_path / "TRAIN")).kind == "class folders"


def test_beside_a_second_data_set_the_user_must_choose(downloaded):
    raw = downloaded / "dataset-master" / "dataset-master"
    (raw / "JPEGImages").mkdir(parents=True)
    (raw / "Annotations").mkdir()
    with pytest.raises(UserError, match=r"several data sets: name .*dataset-master or .*images"):
        open_source(str(downloaded))


def test_a_manifest_of_the_users_wins(downloaded):
    pictures = downloaded / "dataset2-master/dataset2-master/images"
    (pictures / "mine.csv").write_text(
        "file,class\nTRAIN/MONOCYTE/_0_0.jpeg,a\nTEST/MONOCYTE/_0_0.jpeg,b\n"
    )
    assert open_source(str(pictures)).kind == "manifest"


def test_augmented_copies_are_split_anew_only_if_forced_or_grouped(downloaded):
    data = settings(downloaded, resplit=True)
    for useless in ("", "hash"):
        merged = settings(downloaded, resplit=True, group_by=useless)
        with pytest.raises(UserError, match=r"both sides of .*group_by=copies.*--allow-leaks"):
            curation.curate(preparation.read_source(merged), merged)
    kept = preparation.read_source(settings(downloaded))
    source = preparation.read_source(data)
    assert {record.split for record in source.records} == {""}
    assert source.fingerprint != kept.fingerprint
    for change in ({"group_by": "copies"}, {"allow_leaks": True}):
        allowed = settings(downloaded, resplit=True, **change)
        with pytest.raises(UserError, match="cannot be read"):  # it goes on to the pictures
            curation.curate(source, allowed)
    # Data to evaluate on is not split at all.
    assert preparation.read_source(data, complete=False).fingerprint == kept.fingerprint


def test_the_real_training_folder_is_known_as_copies():
    if not BCCD4.exists():
        pytest.skip("the real pictures bccd4 are not in ../shared/data")
    source = open_source(str(BCCD4 / "TRAIN"))
    assert (source.kind, source.augmented) == ("Kaggle's 4-class folder", True)
    assert len(source.records) == 9957
