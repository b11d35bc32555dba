"""By which runtime a run answers, and what is said where that is not possible."""

import shutil

import pytest
from commandline import refused

import bcjax as library
from bcjax.runtime.errors import UserError
from bcjax.serve import backends
from bcjax.serve.served_run import ServedRun
from bcjax.serve.settings import Settings

SETTINGS = Settings(max_batch=2)


def test_without_an_exported_file_jax_answers_and_it_is_said_why(calibrated):
    chosen = backends.load(calibrated, "best", "auto")
    assert chosen.backend == "jax"
    assert "no ONNX file" in chosen.why
    with pytest.raises(UserError):
        backends.load(calibrated, "best", "onnx")


def test_what_is_wrong_with_the_run_is_said_not_that_it_has_no_file(bcjax, calibrated):
    run = f"--workdir={calibrated}"
    refused(bcjax("serve", run, "--port=0", "--backend=auto", "--checkpoint=77"), "77", "best")


def test_an_exported_run_is_answered_by_its_file(calibrated, tmp_path, serve, pictures, expected):
    run = shutil.copytree(calibrated, tmp_path / "run")
    served = ServedRun("clinic", run, "best", "auto", SETTINGS)
    assert served.loaded.backend == "jax"
    library.export(run)
    assert served.reload() is True
    assert served.loaded.backend == "onnx"
    client = serve([served])
    headers = {"content-type": "image/png"}
    for picture, prediction in zip(pictures, expected, strict=True):
        page = client.post("/v1/predict", content=picture, headers=headers).json()
        (answer,) = page["predictions"]
        assert answer["label"] == prediction.label
        assert answer["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-4)
        assert answer["outlier"] == prediction.outlier
    assert client.get("/v1/models").json()["models"][0]["backend"] == "onnx"
