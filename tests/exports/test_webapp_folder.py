"""What `--format=webapp` writes."""

import gzip
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from commandline import refused

import bcjax as library
from bcjax.config import ImageSize
from bcjax.exports import litert_file, small_distance
from bcjax.exports.servable import Servable
from bcjax.exports.small_distance import SmallWhitening
from bcjax.exports.webapp import app as apps
from bcjax.exports.webapp import folder, litert_web
from bcjax.runtime.errors import UserError

TEXTS = (".html", ".css", ".json", ".webmanifest", ".js")


def test_the_folder_is_whole_and_its_certificate_is_of_its_file(app):
    exported = app.folder.parent
    (certificate,) = json.loads((exported / "certificate.json").read_text())["certificates"]
    about = json.loads((app.folder / "app.json").read_text())
    assert certificate == about["certificate"]
    content = (exported / certificate["file"]).read_bytes()
    assert certificate["sha256"] == hashlib.sha256(content).hexdigest()
    assert certificate["same_label"] == certificate["n"]
    for part in ("model", "runtime"):
        file = app.folder / about[part]["file"]
        assert about[part]["bytes"] == file.stat().st_size
        whole = gzip.decompress(file.read_bytes())
        assert about[part]["sha256"] == hashlib.sha256(whole).hexdigest()
    assert about["model"]["bits"] == 32
    assert about["page"]["classes"] == list(library.load(app.workdir).classes)
    # The worker keeps every file but itself, and nothing that is not there.
    kept = json.loads(re.search(r"FILES = (\[.*?\])", (app.folder / "sw.js").read_text(), re.S)[1])
    there = {path.relative_to(app.folder).as_posix() for path in app.folder.rglob("*.*")}
    assert set(kept) == there - {"sw.js"} | {"./"}
    manifest = json.loads((app.folder / "manifest.webmanifest").read_text())
    assert all((app.folder / icon["src"]).exists() for icon in manifest["icons"])


def test_nothing_in_the_folder_names_another_host(app):
    written = [path for path in app.folder.rglob("*") if path.suffix in TEXTS]
    assert len(written) > 10
    for path in written:
        if path.name != "loader.js":  # its comments name pages
            assert not re.search(r"https?://\w", path.read_text()), path


@pytest.mark.parametrize(
    ("keys", "part"),
    [({"stain": "reinhard"}, "normalise stains"), ({"mask": True}, "mask cells")],
    ids=["stain", "mask"],
)
def test_a_run_with_steps_that_the_app_lacks_is_refused(bcjax, own_run, tmp_path, keys, part):
    config = json.loads((own_run / "config.json").read_text())
    config["data"] |= keys
    (own_run / "config.json").write_text(json.dumps(config))
    out = tmp_path / "out"
    ran = bcjax("export", f"--workdir={own_run}", "--format=webapp", f"--out={out}")
    refused(ran, part, "export it as onnx")
    assert not out.exists()


def test_an_app_is_made_anew_only_where_the_run_changed(app, tmp_path):
    net = library.load(app.workdir)
    made = shutil.copytree(app.folder, tmp_path / "export" / "webapp")
    beside = made.parent / "model.onnx"
    beside.write_text("another export")
    assert not apps.ready(net, made)
    about = json.loads((made / "app.json").read_text())
    (made / "app.json").write_text(json.dumps(about | {"made_from": "another"}))
    assert apps.ready(net, made)
    assert folder.made_from(made) == about["made_from"]
    assert beside.read_text() == "another export"
    (made / "app.json").write_text("damaged")
    assert folder.made_from(made) is None


def test_the_runtime_is_the_pinned_one(app):
    packages = dict.fromkeys(["@litertjs/core", "@litertjs/wasm-utils"], b"another package")
    with pytest.raises(UserError, match="is not @litertjs/core"):
        litert_web.pack(packages)
    parts = litert_web.read()
    assert parts[litert_web.PROGRAM].startswith(b"\0asm")
    # A script finds the others by their names in the folder.
    assert b'from "./wasm_utils.js"' in parts["litert.js"]
    about = json.loads((app.folder / "app.json").read_text())["runtime"]
    assert (about["name"], about["version"]) == ("LiteRT.js", litert_web.VERSION)


@pytest.mark.parametrize(("mixing", "smaller"), [(0.02, 5), (0.2, 2)])
def test_a_small_whitening_gives_the_same_distances(mixing, smaller):
    random = np.random.default_rng(0)
    mixed = mixing * random.normal(size=(300, 300)) + np.eye(300)
    features = random.normal(size=(2000, 300)) @ mixed
    variances, directions = np.linalg.eigh(np.cov(features.T))
    whitening = directions / np.sqrt(variances)
    small = SmallWhitening.of(whitening)
    expected = np.linalg.norm(features @ whitening, axis=1)
    found = np.linalg.norm(features @ small.matrix, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    size = len(gzip.compress(small.rounded.tobytes()))
    assert size < whitening.astype(np.float32).nbytes / smaller
    assert SmallWhitening.of(whitening[:, :200]) is None
    assert SmallWhitening.of(np.eye(small_distance._LEAST - 1)) is None


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_integers_of_a_litert_file_stay_small_and_are_cast_once(kind, tmp_path):
    pytest.importorskip("litert_converter", reason="LiteRT's converter is not installed")
    from ai_edge_litert import schema_py_generated as schema

    random = np.random.default_rng(0)
    most = np.iinfo(kind).max
    rounded = np.tril(random.integers(-most, most, (300, 300)), -1).astype(kind)
    scale, diagonal = random.uniform(0.001, 0.01, (2, 300)).astype(np.float32)
    small = SmallWhitening(rounded, scale, diagonal)

    def answer(images):
        return {"whitened": small(images.reshape(len(images), 300).astype("float32"))}

    servable = Servable(None, answer, ImageSize(10, 10), (), ("whitened",), {})
    file = tmp_path / "model.tflite"
    file.write_bytes(litert_file.for_one_picture(servable))
    assert file.stat().st_size < rounded.nbytes + 8000
    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    operators = {code.builtinCode for code in model.operatorCodes}
    assert schema.BuiltinOperator.DEQUANTIZE in operators
    pictures = random.integers(0, 256, (2, 10, 10, 3), dtype=np.uint8)
    found = litert_file.Runtime(file)(pictures)["whitened"]
    np.testing.assert_allclose(found, pictures.reshape(2, 300) @ small.matrix, rtol=1e-4, atol=1)
