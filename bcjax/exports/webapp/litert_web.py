"""LiteRT.js, which runs a network in a browser: pinned, and packed with bcjax.

`runtime.tar.xz` holds four files of two npm packages, so that nothing is fetched when a network is
exported. To take another version, change `VERSION` and `_INTEGRITY` (npm view PACKAGE@VERSION
dist.integrity), and run

    python -m bcjax.exports.webapp.litert_web

which asks npm for the packages, checks them, and writes the file anew.
"""

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from bcjax.runtime import files
from bcjax.runtime.errors import UserError

NAME, VERSION, LICENCE = "LiteRT.js", "2.5.3", "Apache-2.0"
_CORE, _UTILS = "@litertjs/core", "@litertjs/wasm-utils"
_INTEGRITY = {
    _CORE: "sha512-"
    "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    _UTILS: "sha512-"
    "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
INTEGRITY = " ".join(_INTEGRITY.values())
# The build without relaxed SIMD, which Safari lacks: it is as fast, and there is but one.
PROGRAM = "litert.wasm"
_FILES = {
    "litert.js": (_CORE, "dist/index.js"),
    "wasm_utils.js": (_UTILS, "dist/index.js"),
    "loader.js": (_CORE, "wasm/litert_wasm_compat_internal.js"),
    PROGRAM: (_CORE, "wasm/litert_wasm_compat_internal.wasm"),
}
_PACKED = "runtime.tar.xz"


def read() -> dict[str, bytes]:
    """Returns the files of the runtime by name."""
    packed = resources.files(__package__).joinpath(_PACKED).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as archive:
        return {name: _member(archive, name) for name in _FILES}


def fetch() -> bytes:
    """Fetches the pinned packages by npm and returns them packed, as `runtime.tar.xz`.

    Raises:
      UserError: If npm is not there or cannot fetch them, or a package is another one.
    """
    return pack({package: _fetched(package) for package in _INTEGRITY})


def _fetched(package: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="bcjax-npm-") as folder:
        command = ["npm", "pack", "--silent", f"{package}@{VERSION}"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise UserError(f"npm, which fetches {NAME}, is not installed.") from error
        except subprocess.CalledProcessError as error:
            raise UserError(f"npm could not fetch {package}: {error.stderr}") from error
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def pack(packages: Mapping[str, bytes]) -> bytes:
    """Returns the files of npm packages that a page needs, as a compressed archive.

    Args:
      packages: The packages by name, as npm packs them.

    Raises:
      UserError: If a package is not the pinned one.
    """
    for name, content in packages.items():
        digest = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        if digest != _INTEGRITY[name]:
            raise UserError(
                f"The npm package is not {name} {VERSION}: its integrity is {digest}, and "
                f"{_INTEGRITY[name]} is pinned."
            )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive:
        for name, (package, path) in _FILES.items():
            with tarfile.open(fileobj=io.BytesIO(packages[package]), mode="r:gz") as source:
                content = _for_pages(_member(source, f"package/{path}"))
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def _for_pages(content: bytes) -> bytes:
    """Names the other package by its file, as a browser finds it."""
    return content.replace(f'from "{_UTILS}"'.encode(), b'from "./wasm_utils.js"')


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # no folder has such a name
    return file.read()


if __name__ == "__main__":
    files.write_bytes(Path(__file__).with_name(_PACKED), fetch())
