"""`bcjax cache`: what is kept, and away with it."""

import pytest
from commandline import refused


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path))
    for name, size in (("programs", 1_500_000), ("xla", 400_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * size)
    return tmp_path


def test_each_part_is_shown_with_its_size(bcjax, folder):
    ran = bcjax("cache")
    assert ran.status == 0, ran.err
    rows = {line.split()[0]: line.split()[1:4] for line in ran.out.splitlines() if " MB" in line}
    assert rows["programs"] == ["1", "1.5", "MB"]
    assert rows["xla"] == ["1", "0.4", "MB"]
    assert rows["data"] == ["0", "0.0", "MB"]


def test_the_named_part_is_deleted_and_nothing_else(bcjax, folder):
    ran = bcjax("cache", "--clear=programs")
    assert ran.status == 0, ran.err
    assert not (folder / "programs").exists()
    assert (folder / "xla" / "file").exists()


def test_an_unknown_part_is_refused_before_anything_is_deleted(bcjax, folder):
    refused(bcjax("cache", "--clear=programs,program"), "did you mean 'programs'?")
    assert (folder / "programs" / "file").exists()
