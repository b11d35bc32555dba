"""The folder of a run: one process writes it at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bcjax.runtime.errors import UserError


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps a second process out; the lock goes with the process, however that ends.

    Raises:
      UserError: If another process is in.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(workdir):
            yield
    except Timeout as error:
        raise UserError(
            f"Another process is training in {workdir}: wait for it, or give another --workdir."
        ) from error


def is_locked(workdir: Path) -> bool:
    """Whether a process is training there now."""
    try:
        with _lock(workdir):
            return False
    except Timeout:
        return True


def _lock(workdir: Path) -> FileLock:
    return FileLock(workdir / ".lock", timeout=0)
