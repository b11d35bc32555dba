"""Files and folders that are not finished yet, and what killed processes have left of them."""

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\..*\.([0-9a-f]{8})\.(\d+)\.(\d*)\.partial", re.DOTALL)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yields a path in the same folder as `path`, where nothing is, and clears it at the end.

    Its name says which process on which host it belongs to. So what a process that was killed has
    left in this folder is removed first, and nothing that a living one, or one on another host,
    writes. Folders above `path` are made. The fault of a disk names `path`.

    Args:
      path: What is to be written; the scratch path's name starts with a dot and this path's name,
        and ends in `.partial`, whatever `path` ends in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(path.parent)
    process = os.getpid()
    name = f".{path.name}.{_host()}.{process}.{_started(process)}.partial"
    scratch = path.with_name(name)
    try:
        _remove(scratch)  # of a process that was killed, where no process has a start time
        yield scratch
    except OSError as error:
        if error.errno and (error.filename or str(scratch)).startswith(str(scratch)):
            error.filename = str(path)  # a write that fails names no file
        raise
    finally:
        with contextlib.suppress(OSError):  # of a disk that has become read-only
            _remove(scratch)


@functools.cache  # once for each folder: a process may write thousands of files into one
def _clear_abandoned(folder: Path) -> None:
    """Removes what processes of this host that live no more have left in a folder."""
    with contextlib.suppress(OSError):  # it may be unreadable, or another process do the same
        for entry in os.scandir(folder):
            owner = _NAME.fullmatch(entry.name)
            if owner and owner[1] == _host() and not _lives(int(owner[2]), owner[3]):
                _remove(Path(entry.path))


@functools.cache
def _host() -> str:
    """Returns 8 digits that differ where a process of the same number is another one."""
    try:  # a container may share its name with the host
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _started(process: int) -> str:
    """Returns when a process of this host began, in ticks since boot; "" where it is not known."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "0" if fields[0] == "Z" else fields[19]  # it has ended, but its parent did not look


def _lives(process: int, started: str) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return started in ("", _started(process))


def _remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
