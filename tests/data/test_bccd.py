"""Raw BCCD: smears or boxed cells, labelled by its table, and nothing labelled by guess."""

import io
import pickle
from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from picture_sources import identity, settings
from PIL import Image
from places import REAL

from bcjax.data import decode, preparation
from bcjax.data.boxes import Box, box_reader
from bcjax.data.sources import open_source
from bcjax.runtime.errors import UserError

BCCD = REAL / "bccd"
SMEAR = "JPEGImages/BloodImage_%05d.jpg"
WIDTH, HEIGHT = 64, 48
# Where a pixel is, is what it shows.
PIXELS = np.stack(
    [*np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)], -1
)


def png():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


def annotation(*boxes, name="WBC"):
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    return f"<?xml version='1.0'?><annotation>{objects}</annotation>"


@pytest.fixture
def smears(tmp_path):
    """Six smears, of which three have one cell, one has two alike, one two unlike, one is blank."""
    top = tmp_path / "dataset-master" / "dataset-master"
    (top / "JPEGImages").mkdir(parents=True)
    (top / "Annotations").mkdir()
    cell, other = (20, 10, 30, 30), (40, 10, 50, 20)
    boxes = {0: [cell], 1: [other], 2: [cell, other], 3: [cell, other], 4: [cell], 5: [other]}
    for number, each in boxes.items():
        (top / "JPEGImages" / f"BloodImage_{number:05d}.jpg").write_bytes(png())
        (top / "Annotations" / f"BloodImage_{number:05d}.xml").write_text(annotation(*each))
    table = [
        ",Image,Category", ",0,MONOCYTE", ",1,BASOPHIL", ',2,"MONOCYTE, MONOCYTE"',
        ',3,"MONOCYTE,BASOPHIL"', ",4,", ",5,BASOPHIL", ",77,MONOCYTE",
    ]  # fmt: skip
    (top / "labels.csv").write_text("\n".join(table))
    return top


def test_whole_smears_are_labelled_by_rows_of_one_cell(smears):
    for location in (smears, smears.parents[1], smears / "labels.csv"):
        source = open_source(str(location))
        assert source.kind == "raw BCCD"
        assert {r.id: source.classes[r.label] for r in source.records} == {
            SMEAR % 0: "MONOCYTE",
            SMEAR % 1: "BASOPHIL",
            SMEAR % 5: "BASOPHIL",
        }
        assert dict(source.unlabelled) == {
            SMEAR % 2: "names several: MONOCYTE, MONOCYTE",
            SMEAR % 3: "names several: MONOCYTE, BASOPHIL",
            SMEAR % 4: "names no class",
        }
        assert any("lists 1 pictures that are not there" in note for note in source.notes)
        assert source.records[0].read() == png()


def test_boxed_cells_are_cut_out_and_those_of_a_smear_are_a_group(smears, tmp_path):
    source = open_source(str(smears), boxes="crop")
    assert [(r.id, source.classes[r.label], r.group) for r in source.records] == [
        (f"{SMEAR % smear}#{cell}", name, SMEAR % smear)
        for smear, cell, name in [
            (0, 0, "MONOCYTE"), (1, 0, "BASOPHIL"), (2, 0, "MONOCYTE"), (2, 1, "MONOCYTE"),
            (5, 0, "BASOPHIL"),
        ]
    ]  # fmt: skip
    assert dict(source.unlabelled) == {
        SMEAR % 3: "names several: MONOCYTE, BASOPHIL",
        SMEAR % 4: "names no class",
    }
    first = pickle.loads(pickle.dumps(source.records[0]))
    # 10 x 20 pixels around (25, 20), with a fifth of 20 on each side: a square of 28.
    np.testing.assert_array_equal(decode.decode(first.read()), PIXELS[6:34, 11:39])
    assert identity(source, tmp_path) != identity(open_source(str(smears)), tmp_path)


def test_a_row_that_does_not_name_each_boxed_cell_labels_none(smears):
    path = smears / "Annotations" / "BloodImage_00001.xml"
    path.write_text(annotation((1, 1, 9, 9), (20, 20, 30, 30)))
    (smears / "Annotations" / "BloodImage_00002.xml").unlink()
    why = dict(open_source(str(smears), boxes="crop").unlabelled)
    assert why[SMEAR % 1] == "names BASOPHIL; boxed white cells: 2"
    assert why[SMEAR % 2].endswith("boxed white cells: 0")


def test_without_its_table_it_is_refused(smears):
    (smears / "labels.csv").unlink()
    for boxes in ("", "crop"):
        with pytest.raises(UserError, match=r"holds no labels.csv .* the boxes .* say only WBC"):
            open_source(str(smears), boxes=boxes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", "not a Pascal VOC annotation"),
        (annotation((1, 2, "x", 4)), "could not convert string to float"),
        (annotation((9, 2, 3, 4)), "9, 2, 3, 4 is not a box"),
        (annotation(("nan", 2, 3, 4)), "is not a box"),
        ('<!DOCTYPE a [<!ENTITY b "cc">]><annotation>&b;</annotation>', "declares a document type"),
        ("<annotation/>" + " " * (1 << 20), "larger than 1 MiB"),
        ("\xff", "not a Pascal VOC annotation"),
    ],
)
def test_a_damaged_or_dangerous_annotation_is_named(smears, text, message):
    path = smears / "Annotations" / "BloodImage_00001.xml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message) as caught:
        open_source(str(smears), boxes="crop")
    assert str(path) in str(caught.value)


def test_a_picture_listed_twice_in_two_ways_is_refused(smears):
    table = smears / "labels.csv"
    rows = table.read_text()
    table.write_text(rows + "\n,1,BASOPHIL")
    assert len(open_source(str(smears)).records) == 3
    table.write_text(rows + "\n,1,MONOCYTE")
    with pytest.raises(UserError, match="line 9: picture 1 was listed before with another"):
        open_source(str(smears))


def test_smears_without_one_label_are_left_out_only_if_asked(smears):
    with pytest.raises(UserError, match=r"3 entries .*00002.jpg names several.*on_unlabelled=drop"):
        preparation.read_source(settings(smears))
    assert len(preparation.read_source(settings(smears, on_unlabelled="drop")).records) == 3
    assert len(preparation.read_source(settings(smears), complete=False).records) == 3
    with pytest.raises(UserError, match="on_unlabelled='ask' is unknown: error or drop"):
        preparation.read_source(settings(smears, on_unlabelled="ask"))


# Boxes in a manifest


def boxed_manifest(root, *rows):
    (root / "s.png").write_bytes(png())
    (root / "cells.csv").write_text("\n".join(("file,label,xmin,ymin,xmax,ymax", *rows)))
    return str(root / "cells.csv")


def test_a_manifest_with_boxes_gives_a_picture_for_each_row(tmp_path):
    location = boxed_manifest(
        tmp_path, "s.png,a,0,0,10,10", "s.png,b,40,20,50,30", "s.png,,1,1,2,2"
    )
    source = open_source(location, boxes="crop")
    assert [(r.id, r.group) for r in source.records] == [("s.png#0", "s.png"), ("s.png#1", "s.png")]
    np.testing.assert_array_equal(decode.decode(source.records[0].read()), PIXELS[:12, :12])
    assert source.unlabelled == [("s.png#2", "names no class")]
    with pytest.raises(UserError, match=r"line 3: s.png was listed before"):
        open_source(location)
    moved = boxed_manifest(tmp_path, "s.png,a,0,0,10,11", "s.png,b,40,20,50,30", "s.png,,1,1,2,2")
    assert identity(open_source(moved, boxes="crop"), tmp_path) != identity(source, tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [("s.png,a,,,,", "line 2: could not convert"), ("s.png,a,5,5,5,9", "line 2: .* is not a box")],
)
def test_a_row_without_a_proper_box_is_named(tmp_path, row, message):
    with pytest.raises(UserError, match=message):
        open_source(boxed_manifest(tmp_path, row, "s.png,b,0,0,9,9"), boxes="crop")


def test_what_has_no_boxes_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png())
    for location in (str(tmp_path), "synthetic"):
        with pytest.raises(UserError, match="has no boxes to cut out"):
            open_source(location, boxes="crop")
    with pytest.raises(UserError, match=r"data.boxes='cut' is unknown"):
        open_source(str(tmp_path), boxes="cut")
    (tmp_path / "cells.csv").write_text("file,label\na/1.png,a\nb/1.png,b\n")
    with pytest.raises(UserError, match=r"has no columns xmin, ymin, xmax, ymax"):
        open_source(str(tmp_path), boxes="crop")


# Crops


@hypothesis.given(
    left=st.integers(0, WIDTH - 2), top=st.integers(0, HEIGHT - 2),
    width=st.integers(1, WIDTH), height=st.integers(1, HEIGHT), margin=st.floats(0, 1),
)  # fmt: skip
def test_a_crop_holds_its_box_and_is_square_unless_the_border_clips_it(
    left, top, width, height, margin
):
    box = Box(left, top, min(WIDTH, left + width), min(HEIGHT, top + height))
    part = decode.decode(box_reader(png, box, margin)())
    (y0, x0), (y1, x1) = part[0, 0, :2], part[-1, -1, :2]
    np.testing.assert_array_equal(part, PIXELS[y0 : y1 + 1, x0 : x1 + 1])
    slack = 1 if margin == 0 else 0  # half a pixel is rounded away on either side
    assert x0 <= box.xmin + slack
    assert y0 <= box.ymin + slack
    assert x1 + 1 >= box.xmax - slack
    assert y1 + 1 >= box.ymax - slack
    clipped = x0 == 0 or y0 == 0 or x1 == WIDTH - 1 or y1 == HEIGHT - 1
    # A border that lies half-way between two pixels is rounded to the even one, so that a side may
    # be a pixel longer than meant, and the other a pixel shorter.
    assert clipped or abs(part.shape[0] - part.shape[1]) <= 2


def test_a_box_outside_its_picture_is_a_bad_picture():
    with pytest.raises(decode.BadImageError, match="64 x 48 pixels end before"):
        box_reader(png, Box(100, 0, 110, 10))()


def test_real_smears_give_their_cells():
    if not BCCD.exists():
        pytest.skip("the real pictures bccd are not in ../shared/data")
    smears, cells = (open_source(str(BCCD), boxes=boxes) for boxes in ("", "crop"))
    assert len(smears.records) + len(smears.unlabelled) == 298
    assert Counter(r.group for r in cells.records).most_common(1)[0][1] == 2
    assert Counter(cells.classes[r.label] for r in cells.records) == {
        "NEUTROPHIL": 162, "EOSINOPHIL": 75, "LYMPHOCYTE": 29, "MONOCYTE": 16, "BASOPHIL": 2,
    }  # fmt: skip
    assert min(decode.decode(cells.records[0].read()).shape[:2]) > 200
