"""Files that are written whole or not at all, and the paths that users give."""

import contextlib
import json
import os
import re
import shutil
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bcjax.runtime import scratch
from bcjax.runtime.errors import UserError

# Two letters at least, for C: is a drive. One slash is enough, for pathlib makes one of two.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)


def local_path(text: str | os.PathLike[str]) -> str:
    """Returns a path as the system takes it: `~` is the home folder, `file://` is taken off.

    All else stays as it was written: a name that is no path, such as "synthetic", is the same
    name; a relative path starts from the folder of the caller; symbolic links stay links.

    Args:
      text: What the user wrote in a flag, a config or an argument.

    Raises:
      UserError: If it is the path of something remote, such as gs://bucket/run.
    """
    path = os.fspath(text)
    if scheme := _SCHEME.match(path):
        host, slash, rest = path[len("file:") :].removeprefix("//").partition("/")
        if scheme[1].lower() != "file" or host not in ("", "localhost"):
            raise UserError(
                f"{path} is a remote path; bcjax reads and writes local folders only: mount or "
                "copy it."
            )
        return urllib.parse.unquote(slash + rest)
    return os.path.expanduser(path)


def user_path(text: str | os.PathLike[str]) -> Path:
    """Returns the path that a user wrote, see `local_path`.

    Raises:
      UserError: If it is the path of something remote.
    """
    return Path(local_path(text))


def cache_folder() -> Path:
    """Returns the folder of what can be made anew: $BCJAX_CACHE, or ~/.cache/bcjax.

    Raises:
      UserError: If $BCJAX_CACHE is a remote path.
    """
    return user_path(os.environ.get("BCJAX_CACHE") or "~/.cache/bcjax")


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to write to; what is written there takes the place of `path` at the end.

    Readers find the old content or the new one, never a part. If the block raises, `path` stays as
    it was and what was written is removed. Folders above `path` are made.

    Args:
      path: The file to write, or a folder to write anew. A file that is there keeps its
        permissions.

    Yields:
      A path in the same folder, where nothing is. It ends in `.partial`, whatever `path` ends in:
      libraries that go by the ending must be told the format.
    """
    path = Path(os.path.realpath(path))  # a link stays one: what it points to is replaced
    with scratch.beside(path) as partial:
        yield partial
        if path.is_file():
            shutil.copymode(path, partial)
        elif path.is_dir():
            shutil.rmtree(path)
        os.replace(partial, path)


@contextlib.contextmanager
def named_in_faults(path: str | os.PathLike[str]) -> Iterator[None]:
    """Names a file or folder in the fault of a disk that is raised without a name."""
    try:
        yield
    except OSError as error:
        if error.errno:
            error.filename = error.filename or os.fspath(path)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes bytes, whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def write_json(
    path: str | os.PathLike[str],
    tree: Any,
    *,
    sort_keys: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> None:
    """Writes JSON as people read it, whole or not at all.

    Args:
      path: The file.
      tree: What `json.dumps` takes.
      sort_keys: Whether the keys of each object are put in order.
      default: Turns what JSON does not know into what it knows.
    """
    write_text(path, json.dumps(tree, indent=2, sort_keys=sort_keys, default=default) + "\n")


class NotAFileError(UserError, OSError):
    """What a user named as a file is a pipe, a device, a socket or a folder."""


def check_regular(path: Path | str) -> os.stat_result:
    """Returns the status of a file that may be opened, links followed.

    Whoever opens a file of a user's asks this first: a pipe could hang for ever, a device never
    end.

    Raises:
      NotAFileError: If it is there and is not a regular file.
      OSError: If it is not there.
    """
    return _check_kind(path, os.stat(path))


def _check_kind(path: Path | str, status: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
        raise NotAFileError(f"{path} is a {kind}, not a regular file: remove it or name a file")
    return status


def read_regular(path: Path | str) -> bytes:
    """Returns the content of a file.

    It is checked after it was opened, and so opened once: with a small file, asking the disk for it
    takes longer than reading it.

    Raises:
      NotAFileError: If it is there and is not a regular file.
      OSError: If it cannot be read.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
            _check_kind(path, os.fstat(file.fileno()))
            return file.read()
    except OSError:
        check_regular(path)  # folders and sockets cannot be opened: this says what it is
        raise


def _open_without_waiting(path: str, flags: int) -> int:
    """Opens a file; a pipe is opened too, even if nobody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_json(path: Path, mend: str = "delete it, or write it anew") -> Any:
    """Reads a JSON file.

    Args:
      path: The file.
      mend: What a user can do if it is damaged, as the end of a sentence.

    Raises:
      UserError: If it is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): {mend}.") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Reads a file with one JSON object a line; [] if there is none.

    A line that was cut short by a kill is left out.
    """
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines
