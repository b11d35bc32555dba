"""`bcjax export` and `bcjax.export`: files that answer as the run does, or none."""

import hashlib
import importlib.util
import json
import shutil

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from commandline import contents, refused
from flax import traverse_util
from safetensors.numpy import load_file, save_file

import bcjax as library
from bcjax import config as configs
from bcjax.engine import weights
from bcjax.exports import onnx_file
from bcjax.exports.certificate import FailedCheckError
from bcjax.exports.formats import FORMATS
from bcjax.runtime.errors import UserError

LITERT = importlib.util.find_spec("litert_converter") is not None


@pytest.fixture(scope="module")
def calibrated(trained, tmp_path_factory):
    workdir = shutil.copytree(trained.workdir, tmp_path_factory.mktemp("runs") / "clinic")
    library.calibrate(workdir, coverage=0.8)
    return workdir


@pytest.fixture(scope="module")
def exported(calibrated):
    formats = [name for name in FORMATS if LITERT or not name.startswith(("litert", "webapp"))]
    return library.export(calibrated, formats=formats, max_loss=1)


@pytest.fixture(scope="module")
def certificates(exported):
    return {each.format: each for each in exported.certificates}


needs_litert = pytest.mark.skipif(not LITERT, reason="the format litert is not installed")


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_the_files_lie_in_the_folder_of_the_run_with_their_certificates(calibrated, exported):
    folder = calibrated / "export"
    assert exported.folder == folder
    expected = {FORMATS[each.format].top(folder).name for each in exported.certificates}
    assert len(expected) >= 4
    assert {path.name for path in folder.iterdir()} == expected | {
        "model.json", "certificate.json",
    }  # fmt: skip
    for certificate in read(folder, "certificate.json")["certificates"]:
        content = (folder / certificate["file"]).read_bytes()
        assert certificate["bytes"] == len(content)
        assert certificate["sha256"] == hashlib.sha256(content).hexdigest()
        assert certificate["split"] == "test"
        if FORMATS[certificate["format"]].exact:
            assert certificate["same_label"] == certificate["n"] > 0
            assert certificate["difference"] < 1e-5
            assert certificate["distance_difference"] < 1e-3
            assert certificate["loss"]["value"] == 0


def test_eight_bits_take_a_quarter_of_the_place_and_answer_nearly_the_same(exported, certificates):
    whole, small = certificates["onnx"], certificates["onnx_int8"]
    assert small.bytes < 0.4 * whole.bytes
    assert small.tolerance is small.distance_difference is None
    assert 0 < small.difference < 0.2
    model = onnx.load(exported.folder / small.file)
    assert {node.op_type for node in model.graph.node} >= {"QuantizeLinear", "DequantizeLinear"}
    page = json.loads({each.key: each.value for each in model.metadata_props}["bcjax"])
    assert list(page["outputs"]) == ["probabilities"]


@needs_litert
def test_litert_takes_half_and_a_quarter_of_the_place(certificates):
    whole, half, quarter = (certificates[f"litert{end}"] for end in ("", "_float16", "_int8"))
    assert half.bytes < 0.7 * whole.bytes
    assert quarter.bytes < 0.5 * whole.bytes
    assert 0 < half.difference < 1e-2 < 0.2
    assert 0 < quarter.difference < 0.2


def test_a_folder_of_hugging_face_is_read_back_as_the_network(
    calibrated, exported, snapshots, tmp_path
):
    published = exported.folder / "huggingface"
    page = read(published, "config.json")
    net = library.load(calibrated)
    assert page["id2label"] == {str(k): name for k, name in enumerate(net.classes)}
    names = traverse_util.flatten_dict(dict(net.variables), sep="/").keys()
    assert load_file(published / "model.safetensors").keys() == names
    pictures = sorted(snapshots(tmp_path).glob("*/*"))
    again = library.load(published)
    assert (again.step, again.workdir) == (net.step, published)
    expected, found = net.predict(pictures), again.predict(pictures)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.distance, expected.distance)
    np.testing.assert_array_equal(found.sets, expected.sets)


def test_a_run_begins_with_the_weights_of_a_folder_of_hugging_face(calibrated, exported):
    published = exported.folder / "huggingface"
    config = configs.replaced(configs.load(calibrated), {"model.weights_head": "keep"})
    imported = weights.read(published, config)
    net = library.load(calibrated)
    assert imported.classes == net.classes
    jax.tree.map(np.testing.assert_array_equal, imported.variables, dict(net.variables))
    assert [each.origin for each in imported.ancestry.all] == ["known"]


def test_a_damaged_folder_of_hugging_face_is_one_sentence(exported, tmp_path):
    published = shutil.copytree(exported.folder / "huggingface", tmp_path / "published")
    file = published / "model.safetensors"
    with pytest.raises(UserError, match=r"checkpoint .* alone"):
        library.load(published, 77)
    tensors = load_file(file)
    missing = next(iter(tensors))
    save_file({name: each for name, each in tensors.items() if name != missing}, file)
    with pytest.raises(UserError, match=f"{missing} is missing in it, not of shape"):
        library.load(published)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not whole"):
        library.load(published)


def test_a_network_answers_by_its_onnx_file_as_by_itself(calibrated, exported, snapshots, tmp_path):
    pictures = sorted(snapshots(tmp_path).glob("*/*"))
    expected = library.load(calibrated).predict(pictures)
    net = library.load(calibrated, backend="onnx")
    found = net.predict(pictures)
    assert found.labels == expected.labels
    for name in ("probabilities", "logits", "energy"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3)
    assert "ONNX Runtime" in repr(net)


def test_predict_answers_by_the_onnx_file(bcjax, calibrated, exported, snapshots, tmp_path):
    folder = snapshots(tmp_path)
    ran = bcjax("predict", f"--workdir={calibrated}", "--backend=onnx", "--json", folder)
    assert ran.status == 0, ran.err
    expected = library.load(calibrated).predict(folder)
    assert [row["label"] for row in json.loads(ran.out)] == list(expected.labels)
    refused(bcjax("predict", f"--workdir={calibrated}", "--backend=torch", folder), "backend")


def test_an_onnx_file_that_is_not_of_the_checkpoint_is_refused(calibrated, exported, tmp_path):
    run = shutil.copytree(calibrated, tmp_path / "run")
    shutil.copytree(exported.folder, run / "export", dirs_exist_ok=True)
    page, file = read(run / "export", "model.json"), run / "export" / "model.onnx"
    library.load(run, backend="onnx")
    with pytest.raises(UserError, match="no backend"):
        library.load(run, backend="torch")
    with pytest.raises(UserError, match="by JAX alone"):
        library.load([run, calibrated], backend="onnx")
    for change, said in (
        ({"checkpoint": 0}, "is of checkpoint 0, not of"),
        ({"calibration": None}, "another calibration"),
    ):
        (run / "export" / "model.json").write_text(json.dumps(page | change))
        with pytest.raises(UserError, match=said):
            library.load(run, backend="onnx")
    (run / "export" / "model.json").write_text(json.dumps(page))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="not as it was written: run bcjax export"):
        library.load(run, backend="onnx")
    file.unlink()
    with pytest.raises(UserError, match="no ONNX file to answer with: run bcjax export"):
        library.load(run, backend="onnx")


def test_several_networks_are_one_file_that_answers_by_their_mean(
    bcjax, calibrated, own_run, snapshots, tmp_path
):
    steps = sorted(int(path.name) for path in (own_run / "checkpoints").iterdir())[-2:]
    out = tmp_path / "out"
    checkpoints = ",".join(map(str, steps))
    ran = bcjax("export", f"--workdir={own_run}", f"--checkpoint={checkpoints}", f"--out={out}")
    assert ran.status == 0, ran.err
    page = read(out, "model.json")
    assert [each["checkpoint"] for each in page["networks"]] == steps
    assert list(page["outputs"]) == ["probabilities", "logits"]
    ensemble = library.load([own_run], steps)
    (tmp_path / "cells").mkdir()
    pictures = sorted(snapshots(tmp_path / "cells").glob("*/*"))
    session = onnxruntime.InferenceSession(out / "model.onnx")
    (found,) = session.run(["probabilities"], {"images": ensemble.networks[0].preprocess(pictures)})
    np.testing.assert_allclose(found, ensemble.predict(pictures).probabilities, atol=1e-5)
    refused(bcjax("export", f"--workdir={own_run}", f"--checkpoint={checkpoints}"), "folder")
    one_network = ("--format=safetensors", f"--out={out}", f"--checkpoint={checkpoints}")
    refused(bcjax("export", f"--workdir={own_run}", *one_network), "holds one network")


def test_a_file_and_its_page_are_enough_to_answer_as_predict_does(
    calibrated, exported, snapshots, tmp_path
):
    net = library.load(calibrated)
    pictures = sorted(snapshots(tmp_path).glob("*/*"))
    expected = net.predict(pictures)
    page = read(exported.folder, "model.json")
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["bcjax"]) == page
    probabilities, logits, distance = session.run(
        None, {page["input"]["name"]: net.preprocess(pictures)}
    )
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(logits, expected.logits, atol=1e-4)
    np.testing.assert_allclose(distance, expected.distance, rtol=1e-3)
    assert tuple(page["classes"]) == expected.classes
    fitted = page["calibration"]
    sets = probabilities >= fitted["conformal"]["least"]
    assert (sets == expected.sets).mean() > 0.99  # a probability may lie on the threshold
    assert ((distance > fitted["distance_threshold"]) == expected.outlier).all()


def test_pictures_that_are_cropped_are_cropped_once(calibrated, tmp_path):
    cropped = shutil.copytree(calibrated, tmp_path / "run")
    config = json.loads((cropped / "config.json").read_text())
    config["data"] |= {"resize": "crop", "crop_fraction": 0.5}
    (cropped / "config.json").write_text(json.dumps(config))
    (certificate,) = library.export(cropped).certificates
    assert certificate.difference < 1e-5


def test_the_licence_of_the_pictures_goes_with_the_file(calibrated, tmp_path):
    stated = shutil.copytree(calibrated, tmp_path / "run")
    assert read(library.export(stated).folder, "model.json")["data"]["licence"] == "unknown"
    config = json.loads((stated / "config.json").read_text())
    config["data"]["licence"] = "CC BY 4.0"
    (stated / "config.json").write_text(json.dumps(config))
    assert read(library.export(stated).folder, "model.json")["data"]["licence"] == "CC BY 4.0"


def test_an_average_of_views_in_the_folder_of_a_run_does_not_answer_as_the_run(own_run):
    library.load(own_run).export(views="flip")
    with pytest.raises(UserError, match="averages several views"):
        library.load(own_run, backend="onnx")


def test_files_of_an_earlier_export_do_not_stay_beside_the_page_of_another(calibrated, tmp_path):
    library.export(calibrated, tmp_path, formats=("onnx", "stablehlo"))
    library.export(calibrated, tmp_path, formats="onnx", checkpoint="latest")
    assert not (tmp_path / "model.stablehlo").exists()
    assert (tmp_path / "model.onnx").exists()


def test_the_command_says_what_it_checked(bcjax, calibrated, tmp_path):
    out = tmp_path / "clinic"
    ran = bcjax("export", f"--workdir={calibrated}", f"--out={out}", "--checkpoint=latest")
    assert ran.status == 0, ran.err
    assert "8 of 8" in ran.out
    assert f"written to {out}" in ran.out
    assert {path.name for path in out.iterdir()} == {
        "model.onnx", "model.json", "certificate.json",
    }  # fmt: skip


def test_a_run_without_calibration_is_exported_with_a_caution(bcjax, own_run, tmp_path):
    shutil.rmtree(own_run / "calibration")
    ran = bcjax("export", f"--workdir={own_run}", f"--out={tmp_path / 'out'}")
    assert ran.status == 0, ran.err
    said = "is not calibrated"
    assert said in ran.out.replace("\n", " ")
    page = read(tmp_path / "out", "model.json")
    assert said in page["cautions"][0]
    assert page["calibration"] is None


def test_a_file_that_answers_otherwise_is_not_kept(bcjax, calibrated, tmp_path, monkeypatch):
    def wrong(self, images):
        found = right(self, images)
        return found | {"probabilities": found["probabilities"] + 2e-4 * np.eye(8)[0]}

    def displaced(self, images):
        found = right(self, images)
        return found | {"distance": 1.02 * found["distance"]}

    def broken(self, images):
        return {"probabilities": right(self, images)["probabilities"] * np.nan}

    def worse(self, images):
        return {"probabilities": np.roll(right(self, images)["probabilities"], 1, axis=1)}

    right = onnx_file.Runtime.__call__
    monkeypatch.setattr(onnx_file.Runtime, "__call__", wrong)
    with pytest.raises(FailedCheckError, match="where 1e-04 is allowed"):
        library.export(calibrated, tmp_path / "out")
    monkeypatch.setattr(onnx_file.Runtime, "__call__", displaced)
    with pytest.raises(FailedCheckError, match=r"distances differ by up to 2.0%"):
        library.export(calibrated, tmp_path / "out")
    monkeypatch.setattr(onnx_file.Runtime, "__call__", broken)
    with pytest.raises(FailedCheckError, match="no probabilities"):
        library.export(calibrated, tmp_path / "out")
    monkeypatch.setattr(onnx_file.Runtime, "__call__", worse)
    with pytest.raises(FailedCheckError, match=r"loses .* of the accuracy .* 10.0% is allowed"):
        library.export(calibrated, tmp_path / "out", formats="onnx_int8", max_loss=0.1)
    monkeypatch.setattr(onnx_file.Runtime, "__call__", wrong)
    with pytest.raises(SystemExit, match="answers otherwise") as ended:
        bcjax("export", f"--workdir={calibrated}", f"--out={tmp_path / 'out'}")
    assert ended.value.code != 0
    assert not (tmp_path / "out").exists()


def test_mistakes_are_refused_and_write_nothing(bcjax, own_run, tmp_path):
    before = contents(own_run)
    refused(bcjax("export"), "--workdir")
    refused(
        bcjax("export", f"--workdir={own_run}", "--format=coreml"),
        "coreml",
        "onnx, onnx_int8, litert",
    )
    refused(bcjax("export", f"--workdir={own_run}", "--format="), "format", "onnx")
    refused(bcjax("export", f"--workdir={own_run}", "--checkpoint=77"), "77")
    refused(bcjax("export", f"--workdir={own_run}", "--max-loss=2"), "max_loss=2")
    file = tmp_path / "taken"
    file.write_text("a file")
    refused(bcjax("export", f"--workdir={own_run}", f"--out={file}"), file)
    assert contents(own_run) == before
