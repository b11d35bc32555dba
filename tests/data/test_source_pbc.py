"""PBC, and class folders from other laboratories, as their downloads lay them out."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from places import REAL

from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError

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


def test_fine_labels_are_the_prefixes_of_the_file_names(cells):
    source = open_source(str(cells), fine_labels=True)
    assert source.classes == tuple(sorted({*FOLDERS.values(), "BNE", "PMY"}))
    for record in source.records:
        assert record.read().decode().endswith(record.id)
        assert source.classes[record.label] == Path(record.id).name.split("_")[0]
    assert source.fingerprint != open_source(str(cells)).fingerprint
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
