"""Writes the folder of the telephone app: the page, the runtime, the network, and what they need.

Any web server can serve the folder over HTTPS. `app.json` says what is in it: the page about the
network as in `model.json`, the certificate, and the SHA-256 of the files, which the app checks.
"""

import dataclasses
import gzip
import hashlib
import json
import re
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bcjax.exports import litert_file, small_distance
from bcjax.exports import servable as servables
from bcjax.exports.exported import Certificate
from bcjax.exports.servable import Servable
from bcjax.exports.webapp import litert_web
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

FOLDER = "webapp"
NAME = "app.tflite"  # before it is compressed
APP = "app.json"
_NETWORK, _RUNTIME = "model.tflite.gz", "runtime"
_MOST_PIXELS = 100_000_000  # a telephone has memory for so many
# Nothing but the folder's own files; WebAssembly is compiled, and no other code is made of text.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'self'"
)


def write(servable: Servable, path: Path) -> None:
    """Writes the network of the app, for one picture at a time; its distance takes few bytes.

    Args:
      servable: The network as other runtimes have it.
      path: The file.

    Raises:
      UserError: As `litert_file.write`; also if pictures are prepared in a way that the app lacks,
        or it is several networks.
    """
    if servable.net is None:
        raise UserError("The app holds one network: export each of them for itself.")
    preparation = servable.page["preparation"]
    for key, lacks in (("stain", "normalise stains"), ("mask", "mask cells")):
        if preparation[key]:
            raise UserError(
                f"The app cannot {lacks}, and this run does (data.{key}={preparation[key]}): "
                "export it as onnx, or train a network without that."
            )
    net, whitening = small_distance.with_small_distance(servable.net)
    path.write_bytes(litert_file.for_one_picture(servables.servable(net, whitening)))


def finish(network: Path, servable: Servable, certificate: Certificate) -> Certificate:
    """Makes the folder of the app around a checked file, which is compressed.

    Args:
      network: The file.
      servable: The network in it.
      certificate: What was checked of it.

    Returns:
      The certificate of the network's file in the folder, which is compressed.
    """
    folder, page = network.parent, servable.page
    _write_static(folder)
    runtime = _written_runtime(folder)
    model = _compressed(folder, _NETWORK, network.read_bytes())
    network.unlink()
    compressed = (folder / _NETWORK).read_bytes()
    certificate = dataclasses.replace(
        certificate,
        file=f"{FOLDER}/{_NETWORK}",
        sha256=hashlib.sha256(compressed).hexdigest(),
        bytes=len(compressed),
    )
    app = {
        "format_version": 1,
        "made_from": fingerprint(servable),
        "model": model | {"bits": 32},
        "runtime": runtime,
        "most_pixels": _MOST_PIXELS,
        "page": page,
        "certificate": certificate.to_dict(),
    }
    files.write_json(folder / APP, app)
    _write_worker(folder)
    return certificate


def made_from(folder: Path) -> str | None:
    """Returns the `fingerprint` of what an app was made from; None where there is no whole one."""
    try:
        return files.read_json(folder / APP)["made_from"]
    except (OSError, UserError, LookupError, TypeError):
        return None


def fingerprint(servable: Servable) -> str:
    """Returns a digest of all that an app is made of: the network, its page and the app's files."""
    digest = hashlib.sha256(json.dumps(servable.page, sort_keys=True).encode())
    digest.update(litert_web.INTEGRITY.encode())
    for leaf in jax.tree.leaves(servable.net and servable.net.variables):
        digest.update(np.asarray(leaf).tobytes())
    with resources.as_file(resources.files(__package__).joinpath("static")) as static:
        for path in sorted(path for path in static.rglob("*") if path.is_file()):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _write_static(folder: Path) -> None:
    with resources.as_file(resources.files(__package__).joinpath("static")) as static:
        shutil.copytree(static, folder, dirs_exist_ok=True)
    page = folder / "index.html"
    html = page.read_text().replace("@CSP@", POLICY)
    page.write_text(_in_words(html, json.loads((folder / "strings.en.json").read_text())))


def _written_runtime(folder: Path) -> dict[str, Any]:
    """Writes the runtime; returns what the app checks of its program, and says of it."""
    (folder / _RUNTIME).mkdir()
    parts = litert_web.read()
    program = parts.pop(litert_web.PROGRAM)
    for name, content in parts.items():
        (folder / _RUNTIME / name).write_bytes(content)
    about = {
        "name": litert_web.NAME,
        "version": litert_web.VERSION,
        "licence": litert_web.LICENCE,
    }
    return about | _compressed(folder, f"{_RUNTIME}/{litert_web.PROGRAM}.gz", program)


def _in_words(html: str, texts: dict[str, str]) -> str:
    """Returns the page with its English texts, for whoever reads it before a script runs."""
    filled = re.sub(
        r'(data-text="(\w+)"[^>]*>)(?=<)', lambda found: found[1] + texts[found[2]], html
    )
    return re.sub(
        r'data-label="(\w+)"',
        lambda found: f'{found[0]} aria-label="{texts[found[1]]}"',
        filled,
    )


def _compressed(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """Writes a file compressed, for not every server does that; returns what the app checks."""
    compressed = gzip.compress(content, 9, mtime=0)
    (folder / name).write_bytes(compressed)
    return {
        "file": name,
        "bytes": len(compressed),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _write_worker(folder: Path) -> None:
    """Fills in the files that the app keeps on the device, and a version that changes with them."""
    worker = folder / "sw.js"
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != worker)
    version = hashlib.sha256()
    for path in paths:
        version.update(path.read_bytes())
    names = ["./", *(path.relative_to(folder).as_posix() for path in paths)]
    text = worker.read_text().replace("@VERSION@", version.hexdigest()[:16])
    worker.write_text(text.replace("@FILES@", json.dumps(names, indent=2)))
