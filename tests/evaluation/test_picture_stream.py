"""Pictures are found one after the other, wherever people have them."""

import csv
import zipfile

import pytest
from many_pictures import drawings, listed, zipped

from bcjax import config as configs
from bcjax.data.decode import BadImageError
from bcjax.data.preparation import prepare
from bcjax.evaluation.images import collect
from bcjax.evaluation.picture_stream import open_pictures
from bcjax.runtime.errors import UserError


@pytest.fixture
def paths(tmp_path):
    return drawings(tmp_path / "cells", 5)


def names(*words):
    return [each.name for each in open_pictures(words)]


def encoded(*words):
    return [each.read() for each in open_pictures(words)]


def test_each_kind_of_place_gives_the_same_pictures_in_the_same_order(paths, tmp_path):
    whole = [path.read_bytes() for path in paths]
    folder, pattern = tmp_path / "cells", f"{tmp_path}/c*/0*.png"
    table = listed(paths, tmp_path / "list.csv")
    for word in (folder, pattern, table, zipped(paths, tmp_path / "cells.zip")):
        assert encoded(word) == whole
        assert [each.read() for each in collect(word)] == whole
    assert names(folder) == names(pattern) == names(table) == [str(path) for path in paths]
    assert names(tmp_path / "cells.zip")[0] == f"{tmp_path}/cells.zip/inside/000.png"
    assert names(paths[1], folder) == [str(paths[1]), *map(str, paths)]
    assert names(folder) == names(folder / "")


def test_a_prepared_set_gives_all_of_its_splits():
    config = configs.default()
    config.data.update({"source": "synthetic", "synthetic_images": 80, "image_size": 16})
    prepared = prepare(config.data)
    expected = [f"{prepared.path}/{name}" for s in prepared.counts for name in prepared.ids(s)]
    assert names(prepared.path) == expected
    assert len(expected) > 2 * 32  # they are read in blocks
    held = [
        example.image
        for split in prepared.counts
        for example in prepared.examples(split)[range(prepared.size(split))]
    ]
    assert encoded(prepared.path) == held
    backwards = list(open_pictures([prepared.path]))[::-1]
    assert [each.read() for each in backwards] == held[::-1]


def test_pictures_are_found_anew_and_nothing_is_read_before_its_turn(paths, tmp_path):
    pictures = open_pictures([tmp_path / "cells"])
    each = iter(pictures)
    next(each)
    paths[1].write_bytes(b"changed")
    assert next(each).read() == b"changed"
    paths[0].unlink()
    assert len(list(pictures)) == len(paths) - 1


def test_a_zip_file_is_walked_as_its_folder_would_be(tmp_path):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("b/2.png", "a.png", "b/1.PNG", "__MACOSX/b/._1.png", "b/.x.png", "note.txt",
                     "b/1_expert.png", "c/"):  # fmt: skip
            file.writestr(name, name)
    assert names(path) == [f"{path}/{name}" for name in ("a.png", "b/1.PNG", "b/2.png")]


def test_a_damaged_member_of_a_zip_file_is_named_when_it_is_read(paths, tmp_path):
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w") as file:
        for each in paths:
            file.write(each, each.name)
    content = path.read_bytes()
    at = content.index(paths[1].read_bytes())
    path.write_bytes(content[: at + 9] + b"?" + content[at + 10 :])
    first, second, *_ = open_pictures([path])
    assert first.read() == paths[0].read_bytes()
    with pytest.raises(BadImageError, match=r"cannot be taken out of the zip file: .*CRC"):
        second.read()


@pytest.mark.parametrize("column", ["file", "PATH", "image"])
def test_a_list_may_call_its_column_otherwise_and_be_written_on_windows(paths, tmp_path, column):
    text = f"no;{column}\r\n1;cells\\000.png\r\n2; \r\n3;cells\\gone.png\r\n".encode("utf-16")
    (tmp_path / "list.csv").write_bytes(text)
    assert names(tmp_path / "list.csv") == [str(paths[0]), str(tmp_path / "cells" / "gone.png")]
    with pytest.raises(FileNotFoundError):
        encoded(tmp_path / "list.csv")


def test_a_list_may_hold_paths_from_anywhere(paths, tmp_path):
    elsewhere = tmp_path / "other" / "list.csv"
    elsewhere.parent.mkdir()
    with elsewhere.open("w", newline="") as file:
        csv.writer(file).writerows([["filename"], [paths[0]], [f"../cells/{paths[1].name}"]])
    assert encoded(elsewhere) == [path.read_bytes() for path in paths[:2]]


def test_a_name_with_brackets_is_a_name_where_there_is_one(tmp_path):
    paths = drawings(tmp_path / "slide [1]", 2)
    assert names(tmp_path / "slide [1]") == [str(path) for path in paths]
    assert names(f"{tmp_path}/slide*") == [str(path) for path in paths]


def test_a_pattern_stands_for_what_it_matches_in_order(paths, tmp_path):
    zipped(paths[:1], tmp_path / "a.zip")
    (tmp_path / "thumbs.db").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("name\n")
    (tmp_path / "empty").mkdir()
    assert names(f"{tmp_path}/*") == [str(path) for path in paths]
    assert names(f"{tmp_path}/*.zip") == [f"{tmp_path}/a.zip/inside/000.png"]
    assert names(f"{tmp_path}/**/001.png") == [str(paths[1])]
    refused_because("What matches the pattern .*e.* holds no picture", f"{tmp_path}/e*")
    refused_because("Nothing matches the pattern", f"{tmp_path}/t*")


def refused_because(sentence, *words):
    with pytest.raises(UserError, match=sentence) as raised:
        open_pictures(words)
    assert str(raised.value).endswith(".")


def test_a_place_without_pictures_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "none").mkdir()
    refused_because("The folder .*none holds no picture", tmp_path / "none")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    refused_because(r"The zip file .*empty\.zip holds no picture", tmp_path / "empty.zip")
    (tmp_path / "torn.zip").write_bytes(b"PK\3\4 and no more")
    refused_because(r"torn\.zip is no whole zip file", tmp_path / "torn.zip")
    (tmp_path / "a.csv").write_text("name,label\na.png,b\n")
    refused_because(
        r"a\.csv has no column filename or file or path or image \(it has name, label\)",
        tmp_path / "a.csv",
    )
    (tmp_path / "b.csv").write_text("filename\n\n")
    refused_because(r"The list .*b\.csv holds no picture", tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text('filename\n"a.png\n')
    refused_because(r"c\.csv cannot be read after line 2", tmp_path / "c.csv")
    (tmp_path / "d.xlsx").write_bytes(b"")
    refused_because(r"d\.xlsx cannot be read: a workbook", tmp_path / "d.xlsx")
    refused_because(r"Nothing matches the pattern .*/\*\.tif", f"{tmp_path}/*.tif")
    refused_because("There is no picture or folder .*gone", tmp_path / "gone")
    refused_because("is a remote path", "s3://bucket/cells")
