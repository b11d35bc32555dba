"""Digests of the files of a folder: they alone say whether one is as it was written."""

import json
import zlib
from pathlib import Path

from bcjax.runtime import files

NAME = "digests.json"
_CHUNK = 1 << 22  # bytes read at a time


def write(folder: Path, but: str) -> None:
    """Writes size and CRC-32 of each file in a folder, in all folders below it, to `NAME` there.

    CRC-32 finds each change of up to 32 neighbouring bits, and misses one in 4 billion others. A
    gigabyte takes about a second.

    Args:
      folder: The folder.
      but: The name of a file in it that is still to be written to.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    digests = {name: _digest(path) for name, path in names.items() if name != but}
    page = {"files": digests, "crc32": _crc32(digests)}
    files.write_json(folder / NAME, page)


def changed(folder: Path) -> str | None:
    """Returns the first file that is not as it was written; "" if all of them are.

    None means that nobody knows: there are no digests, or they are not as they were written.

    Raises:
      OSError: If a file cannot be read.
    """
    try:
        page = json.loads((folder / NAME).read_bytes())
        digests = page["files"]
        if page["crc32"] != _crc32(digests):
            return None
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    for name, digest in digests.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != digest[0] or _digest(path) != digest:
            return name
    return ""


def _digest(path: Path) -> list[int]:
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return [size, crc]


def _crc32(digests: dict[str, list[int]]) -> int:
    return zlib.crc32(json.dumps(digests, sort_keys=True).encode())
