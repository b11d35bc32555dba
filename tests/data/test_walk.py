"""Which files of a folder are opened: regular ones that are called like pictures, however deep."""

import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.picture_sources import settings

from bcjax import config as configs
from bcjax.data import preparation
from bcjax.data.decode import read_file
from bcjax.data.input_transform import InputTransform
from bcjax.data.sources import open_source
from bcjax.data.sources.walk import files_below, is_litter, pictures_below
from bcjax.evaluation.images import collect, find_pictures
from bcjax.models.pretrained import files as weights
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.tune.space import Space

LITTER = (
    "._a.jpg", ".DS_Store", ".hidden.png", "Thumbs.db", "desktop.ini", "__MACOSX/a/._a.jpg",
    "__MACOSX/b.png", ".git/a.png", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "~$labels.xlsx",
)  # fmt: skip


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return str(root)


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


ODD = {
    "named pipe": make_pipe,
    "socket": make_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.symlink_to(path.parent),
}


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    """Makes something that is no regular file, and knows what it is."""

    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ODD[request.param](path)
        return path

    make.kind = request.param
    return make


# Only regular files are opened


def test_what_is_no_regular_file_is_named_and_not_opened(odd):
    path = odd("a.jpg")
    with pytest.raises(files.NotAFileError, match=f"a.jpg is a {odd.kind}, not a regular file"):
        read_file(path)


def test_a_class_folder_with_one_is_refused_before_anything_is_written(odd, tmp_path):
    touch(tmp_path, "in/a/1.png", "in/b/1.png")
    odd("in/b/odd.png")
    with pytest.raises(UserError, match=rf"in/b/odd\.png is a {odd.kind}"):
        preparation.prepare(settings(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_that_lists_one_or_is_one_is_refused(odd, tmp_path):
    touch(tmp_path, "in/1.png")
    (tmp_path / "in" / "cells.csv").write_text("file,label\n1.png,a\nodd.png,b\n")
    odd("in/odd.png")
    with pytest.raises(UserError, match=r"line 3: .*odd\.png.*"):
        open_source(str(tmp_path / "in" / "cells.csv"))


@pytest.mark.parametrize("name", ["cells.csv", "cells.npz"])
def test_a_source_that_is_one_is_refused(odd, name):
    path = odd(name)
    if odd.kind != "folder":
        with pytest.raises(UserError, match=f"{name} is a {odd.kind}"):
            open_source(str(path))


def test_settings_that_name_one_are_refused(odd, tmp_path):
    path = odd("odd")
    if odd.kind == "folder":
        return
    with pytest.raises(UserError, match="odd"):
        InputTransform.from_config(settings(stain="macenko", stain_reference=str(path)))
    with pytest.raises(UserError, match=f"odd is a {odd.kind}"):
        weights.find(path)
    with pytest.raises(UserError, match="odd"):
        Space(path)
    with pytest.raises(UserError, match="odd"):
        configs.get(str(odd("odd.py")))


def test_prediction_names_one_and_answers_the_rest(odd, tmp_path):
    odd("in/odd.png")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "in" / "real.png")
    found = collect(str(tmp_path / "in"))
    if odd.kind == "folder":  # a link that leads back
        assert [Path(each.name).name for each in found] == ["real.png"]
        return
    assert [Path(each.name).name for each in found] == ["odd.png", "real.png"]
    with pytest.raises(OSError, match=f"odd.png is a {odd.kind}"):
        found[0].read()
    assert found[1].read().startswith(b"\x89PNG")


def test_a_link_to_itself_is_named(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b" / "loop.png").symlink_to("loop.png")
    with pytest.raises(UserError, match=r"loop\.png"):
        open_source(str(tmp_path))


# One walk


def test_links_that_lead_in_a_circle_are_walked_once(tmp_path):
    touch(tmp_path, "a/1.png", "a/deep/2.png")
    (tmp_path / "a" / "deep" / "up").symlink_to(tmp_path)
    assert [path.name for path in pictures_below(tmp_path)] == ["1.png", "2.png"]


def test_class_folders_that_are_links_are_read_by_every_command(tmp_path):
    root = tmp_path / "in"
    touch(tmp_path, "in/a/1.png", "elsewhere/2.png", "elsewhere/deep/3.png")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "on").symlink_to(root)
    expected = ["a/1.png", "b/2.png", "b/deep/3.png"]
    assert [record.id for record in open_source(str(root)).records] == expected
    assert [path.relative_to(root).as_posix() for path in find_pictures([root])] == expected
    (root / "loop").symlink_to(tmp_path)
    assert len(find_pictures([root])) == 3


def test_folders_may_lie_deeper_than_pythons_stack(tmp_path):
    here = Path.cwd()
    try:
        for name in "ab":
            os.chdir(tmp_path)
            for part in (name, *["d"] * 1500):
                os.mkdir(part)
                os.chdir(part)
            Path(f"{name}.png").write_bytes(b"a picture")
        os.chdir(here)
        source = open_source(str(tmp_path))
        assert source.classes == ("a", "b")
        assert [record.id.count("/") for record in source.records] == [1501, 1501]
        assert [path.name for path in find_pictures([tmp_path])] == ["a.png", "b.png"]
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-r", tmp_path / "a", tmp_path / "b"], check=True)  # rmtree recurses


@given(st.lists(st.lists(st.sampled_from(["a", "b.png", "c", "B", "a-"]), min_size=1, max_size=4)))
def test_the_walk_is_sorted_folder_by_folder(tmp_path_factory, trees):
    root = tmp_path_factory.mktemp("tree")
    for parts in trees:
        folder = root.joinpath(*(f"{part}_" for part in parts[:-1]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / parts[-1]).touch()
    found = list(files_below(root))
    assert found == sorted(path for path in root.rglob("*") if path.is_file())


def test_every_command_passes_over_the_same_litter(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png", *LITTER, *(f"a/{name}" for name in LITTER))
    touch(tmp_path, "a/1_expert.png")  # an outline, which training skips
    source = open_source(str(tmp_path))
    assert source.classes == ("a", "b")
    assert [record.id for record in source.records] == ["a/1.png", "b/1.png"]
    assert source.notes == ("Ignored 1, no pictures of a class: a/1_expert.png.",)
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures([tmp_path])]
    assert names == ["a/1.png", "b/1.png"]
    assert [Path(each.name).name for each in collect(tmp_path)] == ["1.png", "1.png"]


def test_a_hidden_table_is_no_table(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png", "._labels.csv")
    (tmp_path / "._labels.csv").write_text("filename,label\na/1.png,x\n")
    assert open_source(str(tmp_path)).kind == "class folders"


def test_a_hidden_picture_that_is_named_is_read(tmp_path):
    touch(tmp_path, ".mine.png")
    assert find_pictures([tmp_path / ".mine.png"]) == [tmp_path / ".mine.png"]
    with pytest.raises(UserError, match="holds no picture"):
        find_pictures([tmp_path])


@given(st.text(min_size=1).filter(lambda name: name[0] not in ".~@$#"))
def test_names_that_people_give_are_no_litter(name):
    assert not is_litter(name + " cells")
