import json
import os
import stat
from pathlib import Path

import pytest

from bcjax.runtime import files
from bcjax.runtime.errors import UserError


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "a" / "b.txt"
    with files.atomic(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        assert partial.parent == path.parent
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(error), files.atomic(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), files.atomic(path):
        pass
    assert path.read_text() == "old"


def test_what_a_killed_process_left_is_written_over(tmp_path):
    path = tmp_path / "b"
    with files.atomic(path) as partial:
        partial.write_text("x")
    partial.mkdir()
    (partial / "left").touch()
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_another(tmp_path):
    path = tmp_path / "pages"
    for name in ("first", "second"):
        with files.atomic(path) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert [each.name for each in path.iterdir()] == ["second"]
    with pytest.raises(ValueError, match="drawn"), files.atomic(path) as partial:  # noqa: PT012
        partial.mkdir()
        (partial / "third").touch()
        raise ValueError("drawn")
    assert list(tmp_path.iterdir()) == [path]
    assert [each.name for each in path.iterdir()] == ["second"]


def test_permissions_are_those_of_the_file_before_or_of_any_new_one(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "b.json"
    plain.touch()
    files.write_json(path, {})
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    files.write_json(path, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_json_is_indented_and_ends_with_a_line(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1, "a": [Path("x")]}, sort_keys=True, default=os.fspath)
    assert path.read_text() == '{\n  "a": [\n    "x"\n  ],\n  "b": 1\n}\n'
    assert files.read_json(path) == json.loads(path.read_text())
    files.write_json(path, {"b": 1, "a": 2})
    assert list(files.read_json(path)) == ["b", "a"]


def test_text_and_bytes(tmp_path):
    files.write_text(tmp_path / "a", "µ\n")
    assert (tmp_path / "a").read_bytes() == "µ\n".encode()
    files.write_bytes(tmp_path / "a", b"\x00")
    assert (tmp_path / "a").read_bytes() == b"\x00"


def test_damaged_json_is_named_with_the_mend(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    with pytest.raises(UserError, match=r"a\.json is damaged .*: evaluate anew\.$"):
        files.read_json(path, mend="evaluate anew")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("synthetic", "synthetic"),
        ("./cells/", "./cells/"),
        ("a~b", "a~b"),
        ("~", "HOME"),
        ("~/a b\nc", "HOME/a b\nc"),
        ("~nobody-of-this-name/a", "~nobody-of-this-name/a"),
        (Path("~/a"), "HOME/a"),
        ("file:///a%20b%0Ac#d?e", "/a b\nc#d?e"),
        ("file://localhost/a", "/a"),
        ("file:/a", "/a"),
        ("C:/cells", "C:/cells"),
        ("tfds:malaria", "tfds:malaria"),
    ],
)
def test_a_path_is_meant_as_people_write_it(written, meant, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert files.local_path(written) == meant.replace("HOME", "/home/me")


@pytest.mark.parametrize(
    "remote", ["gs://b/a", Path("gs://b/a"), "S3://b", "https://x.org/a", "hf://a/b", "file://pc/a"]
)
def test_a_remote_path_is_refused(remote):
    with pytest.raises(UserError, match=rf"{remote} is a remote path; .* mount or copy it"):
        files.user_path(remote)


def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    for name, target in (("page", "real/page"), ("folder", "real")):
        (tmp_path / name).symlink_to(tmp_path / target)
    files.write_text(tmp_path / "page", "new")  # of a link that leads nowhere yet
    assert (tmp_path / "real" / "page").read_text() == "new"
    with files.atomic(tmp_path / "folder") as partial:
        partial.mkdir()
    assert (tmp_path / "folder").is_symlink()
    assert not list((tmp_path / "real").iterdir())
