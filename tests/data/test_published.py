"""Published data sets are recognised wherever their download has put them."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from picture_sources import identity, settings
from places import REAL

from bcjax.data import preparation
from bcjax.data.curate import curation
from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError

# Kaggle's 4-class folder


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


def test_augmented_copies_are_split_anew_only_if_forced_or_grouped(downloaded, tmp_path):
    data = settings(downloaded, resplit=True)
    for useless in (None, "hash"):
        merged = settings(downloaded, resplit=True, group_by=useless)
        with pytest.raises(UserError, match=r"both sides of .*group_by=copies.*--allow-leaks"):
            curation.curate(preparation.read_source(merged), merged)
    kept = preparation.read_source(settings(downloaded))
    source = preparation.read_source(data)
    assert {record.split for record in source.records} == {""}
    assert identity(source, tmp_path) != identity(kept, tmp_path)
    for change in ({"group_by": "copies"}, {"allow_leaks": True}):
        allowed = settings(downloaded, resplit=True, **change)
        with pytest.raises(UserError, match="cannot be read"):  # it goes on to the pictures
            curation.curate(source, allowed)
    # Data to evaluate on is not split at all.
    unsplit = preparation.read_source(data, complete=False)
    assert identity(unsplit, tmp_path) == identity(kept, tmp_path)


def test_the_real_training_folder_is_known_as_copies():
    if not BCCD4.exists():
        pytest.skip("the real pictures bccd4 are not in ../shared/data")
    source = open_source(str(BCCD4 / "TRAIN"))
    assert (source.kind, source.augmented) == ("Kaggle's 4-class folder", True)
    assert len(source.records) == 9957


# PBC


FOLDERS = {
    "basophil": "BA", "eosinophil": "EO", "erythroblast": "ERB", "ig": "MMY", "lymphocyte": "LY",
    "monocyte": "MO", "neutrophil": "SNE", "platelet": "PLATELET",
}  # fmt: skip


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.fixture
def cells(tmp_path):
    """Mendeley's zip file, unpacked on a Mac into a folder of its own name."""
    inside = "PBC_dataset_normal_DIB"
    names = [f"{inside}/{name}/{prefix}_1{i}.jpg" for name, prefix in FOLDERS.items() for i in "23"]
    fine = [f"{inside}/neutrophil/BNE_4.jpg", f"{inside}/ig/PMY_5.jpg"]
    return touch(tmp_path / inside, *names, *fine, f"{inside}/.DS_Store", "__MACOSX/._ig")


def test_the_eight_folders_are_found_where_the_zip_file_put_them(cells):
    for location in (cells, cells / cells.name):
        source = open_source(str(location))
        assert (source.kind, source.classes) == ("PBC", tuple(FOLDERS))
        assert len(source.records) == 18
        assert source.records[0].id == "basophil/BA_12.jpg"


def test_fine_labels_are_the_prefixes_of_the_file_names(cells, tmp_path):
    source = open_source(str(cells), fine_labels=True)
    assert source.classes == tuple(sorted({*FOLDERS.values(), "BNE", "PMY"}))
    for record in source.records:
        assert record.read().decode().endswith(record.id)
        assert source.classes[record.label] == Path(record.id).name.split("_")[0]
    assert identity(source, tmp_path) != identity(open_source(str(cells)), tmp_path)
    turned = source.classes[::-1]
    assert open_source(str(cells), fine_labels=True, classes=turned).classes == turned


def test_fine_labels_of_a_manifest_keep_its_splits(cells):
    rows = [
        f"{path.relative_to(cells)},cell,{'train' if '2' in path.name else 'test'}"
        for path in sorted(cells.rglob("*_1?.jpg"))
    ]
    (cells / "cells.csv").write_text("\n".join(("file,label,split", *rows)))
    source = open_source(str(cells), fine_labels=True)
    assert source.classes == tuple(sorted(FOLDERS.values()))
    assert Counter(record.split for record in source.records) == {"train": 8, "test": 8}


@pytest.mark.parametrize("name", ["cell_3.jpg", "SNE.jpg", "sne_3.jpg"])
def test_names_that_are_not_pbcs_have_no_fine_labels(cells, name):
    touch(cells, f"{cells.name}/ig/{name}")
    with pytest.raises(UserError, match=rf"ig/{name} .* does not begin with a sub-type of PBC"):
        open_source(str(cells), fine_labels=True)


def test_the_real_set_has_its_sub_types():
    if not (REAL / "pbc3200").exists():
        pytest.skip("the real pictures pbc3200 are not in ../shared/data")
    source = open_source(str(REAL / "pbc3200"), fine_labels=True)
    counts = Counter(source.classes[record.label] for record in source.records)
    assert len(counts) == 13
    assert counts["BNE"] + counts["SNE"] + counts["NEUTROPHIL"] == 400
    assert counts["MMY"] + counts["MY"] + counts["PMY"] + counts["IG"] == 400


# Other laboratories


def test_splits_of_pbcs_classes_are_one_data_set(cells):
    for split in ("train", "test"):
        shutil.copytree(cells / cells.name, cells / "mine" / split)
    source = open_source(str(cells / "mine"))
    assert {record.split for record in source.records} == {"train", "test"}


def test_raabins_other_laboratory_is_left_out(tmp_path):
    names = [f"{split}/{name}/1.jpg" for split in ("Train", "TestA") for name in ("Baso", "Mono")]
    folder = touch(tmp_path / "Raabin-WBC", *names, "TestB/Mono/1.jpg", "GrTh/nucleus/1.png")
    source = open_source(str(tmp_path))
    assert source.kind == "Raabin-WBC"
    assert {record.id: record.split for record in source.records} == {
        "TestA/Baso/1.jpg": "test", "TestA/Mono/1.jpg": "test",
        "Train/Baso/1.jpg": "train", "Train/Mono/1.jpg": "train",
    }  # fmt: skip
    notes = " ".join(source.notes)
    assert "left out what lies beside: GrTh, TestB" in notes
    assert (
        f"TestB is another laboratory's: evaluate on it by itself (--data.source={folder}" in notes
    )


def test_lisc_is_read_without_its_outlines(tmp_path):
    names = ["Main Dataset/Baso/1.bmp", "Main Dataset/mono/2.bmp", "Main Dataset/mono/2_expert.bmp"]
    touch(tmp_path / "LISC Database", *names, "Ground Truth Segmentation/Baso/area/1_expert.bmp")
    source = open_source(str(tmp_path))
    assert source.kind == "LISC"
    assert [record.id for record in source.records] == names[:2]
    notes = " ".join(source.notes)
    assert "left out what lies beside: Ground Truth Segmentation" in notes
    assert "Main Dataset/mono/2_expert.bmp" in notes
