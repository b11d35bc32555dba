"""What the file system cannot do is said in a sentence; what bcjax does wrong is not."""

import errno
import os
import pathlib

import pytest

from bcjax.runtime import files
from bcjax.runtime.errors import disk_fault


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space", "/a"), "The disk is full (/a): free some space"),
        (OSError(errno.EDQUOT, "Quota", "/a"), "Your share of the disk is used up (/a)"),
        (OSError(errno.EROFS, "Read-only", "/a"), "The disk is read-only (/a)"),
        (OSError(errno.EACCES, "Denied", "/a"), "There is no permission (/a)"),
        (OSError(errno.ENAMETOOLONG, "Long", "/a"), "The name is too long (/a)"),
        (OSError(errno.ESTALE, "Stale", "/a"), "The network disk was taken away (/a)"),
        (OSError(errno.EXDEV, "of two", "/a", None, "/b"), None),
        (
            OSError(errno.ENOTDIR, "of two", "/a", None, "/b"),
            "A file is where a folder is needed (/b)",
        ),
        (OSError(errno.ENOSPC, "No space"), "The disk is full ([Errno 28] No space)"),
        (
            PermissionError(errno.EACCES, "Failed to open file '/a b'"),
            "There is no permission",
        ),
        (
            ValueError("INTERNAL: '/a': Read-only file system"),
            "The disk is read-only (INTERNAL",
        ),
        (OSError("Not enough disk space. Needed: Unknown size"), "The disk is full"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), "The disk is full"),
        (OSError(errno.EACCES, "of a socket"), None),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a"), None),
        (ValueError("broken"), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_disks_fault_is_told_from_a_defect(error, said):
    found = disk_fault(error)
    assert found == said if said is None else found.startswith(said)


def test_a_fault_is_found_behind_what_was_raised_from_it():
    error = RuntimeError("the thread ended")
    error.__cause__ = OSError(errno.ENOSPC, "No space", "/a")
    assert disk_fault(error).startswith("The disk is full (/a)")
    assert disk_fault(error, "/b").startswith("The disk is full (/b)")


@pytest.mark.parametrize("write", [files.write_text, lambda path, text: files.write_json(path, 1)])
def test_a_write_that_fails_names_the_file(tmp_path, monkeypatch, write):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space") as raised:
        write(tmp_path / "page", "text")
    assert disk_fault(raised.value).startswith(f"The disk is full ({tmp_path / 'page'})")
    assert not list(tmp_path.iterdir())
