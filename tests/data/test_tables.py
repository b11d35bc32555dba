"""Tables as people have them: of Excel and pandas, in any encoding, one-hot, missing labels."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.picture_sources import settings

from bcjax.data import preparation
from bcjax.data.sources import open_source, tables
from bcjax.runtime.errors import UserError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "blé é") for form in ("NFC", "NFD"))


def pictures(root, *names):
    for name in names or ("1.png", "2.png", "3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def write(root, text, encoding="utf-8", name="labels.csv"):
    (pictures(root) / name).write_bytes(text.encode(encoding))
    return str(root / name)


def labels_of(source):
    return {record.id: source.classes[record.label] for record in source.records}


EXPECTED = {"1.png": "ä", "2.png": "b", "3.png": "b"}
PLAIN = "filename;label\n1.png;ä\n2.png;b\n3.png;b\n"


# Forms of a file


@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
@pytest.mark.parametrize("line", ["sep={}\n", "SEP={}\r\n", '"sep={}"\n'])
def test_excels_first_line_names_the_separator(tmp_path, separator, line):
    location = write(tmp_path, line.format(separator) + PLAIN.replace(";", separator))
    assert labels_of(open_source(location)) == EXPECTED
    (tmp_path / "labels.csv").write_text(
        f"sep={separator}\nfile{separator}label\n9.png{separator}x"
    )
    with pytest.raises(UserError, match=r"9\.png .line 3."):
        open_source(location)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_encoding_that_excel_writes_is_read(tmp_path, encoding):
    source = open_source(write(tmp_path, PLAIN, encoding))
    assert labels_of(source) == EXPECTED
    assert any("Windows-1252" in note for note in source.notes) == (encoding == "cp1252")


def test_bytes_that_are_no_text_are_read_with_a_word(tmp_path):
    location = write(tmp_path, "")
    (tmp_path / "labels.csv").write_bytes(b"path,class\n\xff\x81,x\n")
    with pytest.raises(UserError, match=r"cannot be found.*Windows-1252: check the names"):
        open_source(location)


@given(
    st.lists(
        st.sampled_from(["x", "y", "a b", "ö", 'with "quotes"', "a,b;c"]), min_size=1, max_size=6
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
    st.booleans(),
)
def test_a_table_holds_the_same_in_every_form(tmp_path_factory, cells, separator, encoding, marked):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    quoted = [f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in cells]
    lines = [f"file{separator}label", *(f"{i}.png{separator}{c}" for i, c in enumerate(quoted))]
    text = "\n".join([f"sep={separator}"] * marked + lines)
    path.write_bytes(text.encode(encoding))
    table = tables.read(path)
    assert [row.cells["label"] for row in table.rows] == cells
    assert [row.line for row in table.rows] == [2 + marked + i for i in range(len(cells))]


# One-hot columns


def test_columns_of_zeros_and_ones_are_the_classes(tmp_path):
    source = open_source(
        write(tmp_path, "image,age,MEL,NV,BKL\n1.png,40,0,1,0\n2.png,,1.0,0.0,0.0\n3.png,7,0,0,1\n")
    )
    assert labels_of(source) == {"1.png": "NV", "2.png": "MEL", "3.png": "BKL"}
    assert any("MEL, NV, BKL, are taken for the classes" in note for note in source.notes)
    assert source.records[0].columns == {"age": "40"}


def test_rows_with_no_one_or_several_have_no_single_label(tmp_path):
    location = write(tmp_path, "image,a,b\n1.png,0,0\n2.png,1,1\n3.png,1,0\n")
    source = open_source(location, complete=False)
    assert source.unlabelled == [
        ("1.png", "names no class"), ("2.png", "names several: a, b"),
    ]  # fmt: skip


def test_a_column_of_labels_counts_more_than_columns_of_zeros_and_ones(tmp_path):
    source = open_source(write(tmp_path, "image,label,sex,old\n1.png,x,0,1\n2.png,y,1,0\n"))
    assert source.classes == ("x", "y")


# Missing labels


@pytest.mark.parametrize("word", ["", "nan", "NaN", "N/A", "#N/A", "<NA>", "null", "-1", "-1.0"])
def test_a_word_for_no_label_is_no_class_and_is_counted(tmp_path, word):
    location = write(tmp_path, f"filename,label\n1.png,a\n2.png,{word}\n3.png,b\n")
    source = open_source(location)
    assert source.classes == ("a", "b")
    ((id_, why),) = source.unlabelled
    assert id_ == "2.png"
    assert word in why
    with pytest.raises(
        UserError, match=r"1 entries of .*do not have exactly one label each .2\.png"
    ):
        preparation.read_source(settings(location))
    assert len(preparation.read_source(settings(location, on_unlabelled="drop")).records) == 2


def test_a_word_for_no_group_and_no_split_is_none(tmp_path):
    rows = "1.png,a,nan,<NA>\n2.png,a,p1,train\n3.png,b,NaN,\n"
    source = open_source(write(tmp_path, f"file,label,patient,split\n{rows}"), complete=False)
    assert [(record.group, record.split) for record in source.records] == [
        ("", ""), ("p1", "train"), ("", ""),
    ]  # fmt: skip
    assert source.notes == ("labels.csv says nan or the like for 3 groups or splits: for none.",)


def test_a_user_may_say_that_such_a_word_is_a_class(tmp_path):
    location = write(tmp_path, "filename,label\n1.png,1\n2.png,-1\n3.png,\n")
    source = open_source(location, classes=("-1", "1"))
    assert labels_of(source) == {"1.png": "1", "2.png": "-1"}
    assert source.unlabelled == [("3.png", "names no class")]


# Tables that are passed over


def test_a_table_that_is_passed_over_says_why(tmp_path):
    pictures(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "labels.csv").write_text("filename,age\na/1.png,3\n")
    (tmp_path / "names.csv").write_text("class,colour\na,red\n")
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    (tmp_path / "broken.csv").write_text('id\n"1')
    notes = open_source(str(tmp_path)).notes
    assert [note for note in notes if "passed over" in note] == [
        "broken.csv was passed over: it has no column filename or file or path or image and no "
        "column label or class or category (it has id).",
        "labels.csv was passed over: it has no column label or class or category (it has "
        "filename, age).",
        "names.csv was passed over: it has no column filename or file or path or image (it has "
        "class, colour).",
        "labels.xlsx was passed over: a workbook is not read, so save its table as a CSV file in "
        "UTF-8.",
    ]


def test_pictures_beside_a_workbook_are_refused_with_the_mend(tmp_path):
    pictures(tmp_path)
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"no class folders.*labels.xlsx.* CSV file in UTF-8"):
        open_source(str(tmp_path))
    with pytest.raises(UserError, match=r"labels.xlsx cannot be read: a workbook"):
        open_source(str(tmp_path / "labels.xlsx"))


# File names


@pytest.mark.parametrize("form", ["{}/in/1.png", "{}/in/x/../1.png", "{}/link/1.png", "x/../1.png"])
def test_a_path_that_lies_inside_the_folder_is_accepted(tmp_path, form):
    (tmp_path / "link").symlink_to(tmp_path / "in")
    folder = tmp_path / ("link" if "link" in form else "in")
    pictures(tmp_path / "in", "1.png", "2.png", "3.png")
    (tmp_path / "in" / "t.csv").write_text(f"file,label\n{form.format(tmp_path)},a\n2.png,b\n")
    assert labels_of(open_source(str(folder / "t.csv"))) == {"1.png": "a", "2.png": "b"}
    (tmp_path / "in" / "t.csv").write_text(f"file,label\n{form.format(tmp_path)},a\n1.png,b\n")
    with pytest.raises(UserError, match=r"line 3: 1\.png was listed before"):
        open_source(str(folder / "t.csv"))


@pytest.mark.parametrize(("listed", "there"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_files_are_found_in_whatever_unicode_form(tmp_path, listed, there):
    pictures(tmp_path, f"{there}/{there}.png", "2.png")
    text = f"file,label\n{listed}/{listed}.png,a\n2.png,b\n"
    (tmp_path / "t.csv").write_text(text)
    source = open_source(str(tmp_path))
    assert labels_of(source) == {f"{there}/{there}.png": "a", "2.png": "b"}
    assert source.records[-1].read() == f"{there}/{there}.png".encode()
    (tmp_path / "t.csv").write_text(f"{text}{there}/{there}.png,b\n")
    with pytest.raises(UserError, match=r"line 4: .* was listed before"):
        open_source(str(tmp_path))


def test_a_picture_is_excluded_in_whatever_unicode_form_it_is_named(tmp_path):
    for name in (f"a/{DECOMPOSED}.png", *(f"{c}/{i}.png" for c in "ab" for i in range(4))):
        pictures(tmp_path / "in", name)
        pixels = np.random.default_rng(len(list(tmp_path.rglob("*.png")))).integers(
            0, 256, (9, 9, 3)
        )
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "in" / name)
    data = settings(tmp_path / "in", exclude=(f"a/{COMPOSED}.png",))
    prepared = preparation.prepare(data, tmp_path / "out")
    assert f"a/{DECOMPOSED}.png" in (tmp_path / "out" / "skipped.csv").read_text()
    assert sum(map(sum, prepared.counts.values())) == 8


def test_two_files_that_differ_in_unicode_form_alone_are_two(tmp_path):
    pictures(tmp_path, f"{COMPOSED}.png", f"{DECOMPOSED}.png")
    (tmp_path / "t.csv").write_text(f"file,label\n{COMPOSED}.png,a\n{DECOMPOSED}.png,b\n")
    assert labels_of(open_source(str(tmp_path))) == {
        f"{COMPOSED}.png": "a",
        f"{DECOMPOSED}.png": "b",
    }


# Names of classes


@pytest.mark.parametrize(
    ("one", "other"),
    [(COMPOSED, DECOMPOSED), ("a", "a "), ("a b", "a  b"), ("a b", "a\u00a0b"), (" a", "a")],
)
def test_classes_that_look_the_same_are_one_and_said_to_be(tmp_path, one, other):
    pictures(tmp_path, f"{one}/1.png", f"{other}/2.png", "z/1.png")
    source = open_source(str(tmp_path))
    kept = " ".join(unicodedata.normalize("NFC", one).split())
    assert source.classes == (kept, "z")
    assert sorted(record.label for record in source.records) == [0, 0, 1]
    (note,) = source.notes
    assert "look the same" in note
    assert ascii(one) in note
    assert ascii(other) in note


def test_classes_without_such_a_twin_keep_their_spelling(tmp_path):
    pictures(tmp_path, f"{DECOMPOSED}/1.png", "b /2.png")
    source = open_source(str(tmp_path))
    assert source.classes == ("b ", DECOMPOSED)
    assert source.notes == ()


def test_classes_that_differ_by_case_stay_two_and_are_named(tmp_path):
    pictures(tmp_path, "a/1.png", "A/1.png")
    source = open_source(str(tmp_path))
    assert source.classes == ("A", "a")
    assert any("by case alone" in note for note in source.notes)


def test_the_users_names_may_be_in_another_form(tmp_path):
    pictures(tmp_path, f"{DECOMPOSED}/1.png", "b/2.png")
    source = open_source(str(tmp_path), classes=("b", f" {COMPOSED}"))
    assert source.classes == ("b", f" {COMPOSED}")
    assert [record.label for record in source.records] == [0, 1]
    with pytest.raises(UserError, match="twice"):
        open_source(str(tmp_path), classes=("b", COMPOSED, DECOMPOSED))


def test_labels_in_a_table_that_look_the_same_are_one_class(tmp_path):
    text = f"file,label\n1.png,{COMPOSED}\n2.png,{DECOMPOSED}\n3.png,z\n"
    assert open_source(write(tmp_path, text)).classes == (COMPOSED, "z")


@given(st.lists(st.text("aé\u0301e b\u00a0", min_size=1, max_size=4), min_size=1, max_size=5))
def test_the_normal_form_is_that_of_itself(names):
    from bcjax.data.records import normal_form

    assert all(normal_form(normal_form(name)) == normal_form(name) for name in names)
