"""ONNX Runtime Web, which runs a network in a browser: pinned, and packed with bcjax.

`runtime.tar.xz` holds two files of one version of the npm package, so that nothing is fetched when
a network is exported. To take another version, change `VERSION` and `INTEGRITY` (npm view
onnxruntime-web@VERSION dist.integrity), and run

    python -m bcjax.exports.webapp.onnxruntime_web

which asks npm for the package, checks it, and writes the file anew.
"""

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path

from bcjax.runtime import files
from bcjax.runtime.errors import UserError

NAME, VERSION, LICENCE = "ONNX Runtime Web", "1.30.0", "MIT"
INTEGRITY = (
    "sha512-"
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
# The build for CPUs alone: those with WebGPU are twice as large.
SCRIPT, PROGRAM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_PACKED = "runtime.tar.xz"


def read() -> dict[str, bytes]:
    """Returns the files of the runtime by name."""
    packed = resources.files(__package__).joinpath(_PACKED).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as archive:
        return {name: _member(archive, name) for name in (SCRIPT, PROGRAM)}


def fetch() -> bytes:
    """Fetches the pinned package by npm and returns it packed, as `runtime.tar.xz`.

    Raises:
      UserError: If npm is not there or cannot fetch it, or the package is another one.
    """
    with tempfile.TemporaryDirectory(prefix="bcjax-npm-") as folder:
        command = ["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise UserError("npm, which fetches ONNX Runtime Web, is not installed.") from error
        except subprocess.CalledProcessError as error:
            raise UserError(f"npm could not fetch ONNX Runtime Web: {error.stderr}") from error
        (package,) = Path(folder).glob("*.tgz")
        return pack(package.read_bytes())


def pack(package: bytes) -> bytes:
    """Returns the two files of the npm package that a page needs, as a compressed archive.

    Raises:
      UserError: If the package is not the pinned one.
    """
    digest = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if digest != INTEGRITY:
        raise UserError(
            f"The npm package is not onnxruntime-web {VERSION}: its integrity is {digest}, and "
            f"{INTEGRITY} is pinned."
        )
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as source,
        tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive,
    ):
        for name in (SCRIPT, PROGRAM):
            content = _member(source, f"package/dist/{name}")
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # no folder has such a name
    return file.read()


if __name__ == "__main__":
    files.write_bytes(Path(__file__).with_name(_PACKED), fetch())
