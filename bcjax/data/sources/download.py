"""BloodMNIST from where MedMNIST publishes it: resumed where the download broke off, and checked.

What was received lies beside the target as `.partial`; the target appears whole and checked, or
not at all.
"""

import hashlib
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from bcjax.runtime.errors import UserError

log = logging.getLogger("bcjax")

_ZENODO = "https://zenodo.org/records/10519652/files"
_TRIES = 5  # connections in a row that may break off
_TIMEOUT = 60  # seconds without a byte


class PublishedFile(NamedTuple):
    """The checksums of a file, as published; MedMNIST's info.py gives the MD5 alone."""

    md5: str
    sha256: str | None = None


FILES = {
    "bloodmnist": PublishedFile(
        "7053d0359d879ad8a5505303e11de1dc",
        "062023e186f537e26b3c21ea3b2614ddfc475e8a14825dfd20663bbb7e37bddc",
    ),
    "bloodmnist_64": PublishedFile("2b94928a2ae4916078ca51e05b6b800b"),
    "bloodmnist_128": PublishedFile("adace1e0ed228fccda1f39692059dd4c"),
    "bloodmnist_224": PublishedFile("b718ff6835fcbdb22ba9eacccd7b2601"),
}


def fetch(name: str, folder: Path) -> Path:
    """Returns the file `name`.npz in `folder`, downloaded if it is not there yet.

    Several processes may ask at once: one downloads, the others wait. $BCJAX_MEDMNIST_URL names
    another place to get it from than Zenodo; the checksums stay.

    Args:
      name: One of `FILES`.
      folder: Folder of downloads; it is made if it does not exist.

    Raises:
      UserError: If it cannot be downloaded (what was received is kept, to go on from), or is not
        what was published (nothing is kept).
    """
    target = folder / f"{name}.npz"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        if not target.exists():
            url = f"{os.environ.get('BCJAX_MEDMNIST_URL') or _ZENODO}/{target.name}"
            partial = folder / f"{target.name}.partial"
            _download(url, partial)
            try:
                _check(url, partial, FILES[name])
            except UserError:
                partial.unlink()
                raise
            partial.rename(target)
    return target


def _download(url: str, partial: Path) -> None:
    log.info("Downloading %s into %s ...", url, partial.parent)
    for _ in range(_TRIES):
        try:
            return _resume(url, partial)
        except (OSError, http.client.HTTPException) as error:
            fault = error
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                break  # the server would answer the same again
    raise UserError(
        f"{url} cannot be downloaded ({fault}): repeat the command to go on from what has come, or "
        "fetch the file yourself and name it in data.source"
    ) from fault


def _resume(url: str, partial: Path) -> None:
    """Appends what `partial` lacks; starts anew if the server cannot start in the middle."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "bcjax"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; if there is too much, the checksum will show it
        raise
    resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
    with response, partial.open("ab" if resumed else "wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)
        if response.length:  # bytes that were announced and did not arrive
            raise ConnectionError(f"it broke off {response.length:,} bytes before the end")


def _check(url: str, path: Path, published: PublishedFile) -> None:
    for name, expected in published._asdict().items():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, name).hexdigest()
        if expected not in (None, found):
            raise UserError(
                f"{url} is not the file that MedMNIST published ({name.upper()} {found} instead of "
                f"{expected}): what came was deleted, so repeat the command, or get it from "
                "another place with BCJAX_MEDMNIST_URL"
            )
