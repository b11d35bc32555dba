"""Digests tell a folder that is as it was written from one that is not, and from unknown ones."""

import pytest

from bcjax.runtime import digests


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a").write_bytes(bytes(range(256)))
    (tmp_path / "in" / "b").write_bytes(b"")
    (tmp_path / "later").write_text("begun")
    digests.write(tmp_path, but="later")
    (tmp_path / "later").write_text("ended")
    return tmp_path


def test_what_is_as_it_was_written_is_known(folder):
    assert digests.changed(folder) == ""
    (folder / "new").write_text("nobody asks")
    assert digests.changed(folder) == ""


@pytest.mark.parametrize("bit", range(0, 256 * 8, 97))
def test_each_flipped_bit_is_found(folder, bit):
    content = bytearray((folder / "a").read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    (folder / "a").write_bytes(content)
    assert digests.changed(folder) == "a"


def test_files_that_are_gone_cut_or_longer_are_found(folder):
    (folder / "in" / "b").write_bytes(b"\0")
    assert digests.changed(folder) == "in/b"
    (folder / "a").write_bytes(bytes(range(255)))
    assert digests.changed(folder) == "a"
    (folder / "a").unlink()
    assert digests.changed(folder) == "a"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": {"a": [1, 2]}, "crc32": 3}'])
def test_digests_that_are_damaged_tell_nothing(folder, text):
    (folder / digests.NAME).write_text(text)
    assert digests.changed(folder) is None


def test_without_digests_nothing_is_known(folder):
    (folder / digests.NAME).unlink()
    assert digests.changed(folder) is None
