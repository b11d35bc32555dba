"""Views of a picture that are averaged within the file."""

import json

import numpy as np
import onnxruntime
import pytest
from commandline import refused
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

import bcjax as library
from bcjax.evaluation.disagreement import log_mean as reference
from bcjax.exports.averaged_views import AveragedViews, averaged, log_mean
from bcjax.runtime.errors import UserError

ALL = "flip, turn"


@given(st.integers(0, 99), st.integers(1, 4), st.floats(0.1, 1e4))
def test_means_of_probabilities_are_those_of_float64(seed, several, scale):
    logits = np.random.default_rng(seed).normal(0, scale, (several, 5, 3)).astype(np.float32)
    expected = reference(log_softmax(logits.astype(np.float64), axis=-1))
    np.testing.assert_allclose(log_mean(list(logits)), expected, rtol=1e-5, atol=1e-5)


def turned(pixels):
    """Returns the pictures in their eight orientations, by NumPy."""
    quarters = [np.rot90(pixels, k, axes=(1, 2)) for k in range(4)]
    return [*quarters, *(each[:, :, ::-1] for each in quarters)]


@pytest.mark.parametrize("formats", [("onnx",), ("onnx", "stablehlo")])
def test_a_file_averages_the_views_that_evaluate_averages(
    formats, bcjax, own_run, snapshots, tmp_path
):
    out = tmp_path / "out"
    pictures = sorted(snapshots(tmp_path / "cells").glob("*/*"))
    net = library.load(own_run)
    if len(formats) == 1:
        ran = bcjax("export", f"--workdir={own_run}", f"--views={ALL}", f"--out={out}")
        assert ran.status == 0, ran.err
    else:
        net.export(out, formats=formats, views=ALL)
    pixels = net.preprocess(pictures)
    logits = np.stack([net.outputs(np.ascontiguousarray(each)).logits for each in turned(pixels)])
    expected = np.exp(reference(log_softmax(logits.astype(np.float64), axis=-1)))
    session = onnxruntime.InferenceSession(out / "model.onnx")
    (found,) = session.run(["probabilities"], {"images": pixels})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    page = json.loads((out / "model.json").read_text())
    assert len(page["views"]) == 8
    assert page["calibration"] is None
    assert "means over 8 views" in page["cautions"][0]


def test_wide_pictures_are_turned_by_half_alone(own_run):
    net = library.load(own_run)
    net.config.data.image_size = (32, 48)
    model = averaged(net, ALL).model
    assert isinstance(model, AveragedViews)
    assert len(model.views) == 4


@pytest.mark.parametrize(
    ("views", "formats", "said"),
    [
        ("crop(0.9)", "onnx", "flip, turn or both"),
        ("spin", "onnx", "none of flip, turn"),
        ("flip", "safetensors", "without views"),
    ],
)
def test_what_a_file_cannot_average_is_refused(views, formats, said, bcjax, own_run, tmp_path):
    out = tmp_path / "out"
    options = (f"--views={views}", f"--format={formats}", f"--out={out}")
    refused(bcjax("export", f"--workdir={own_run}", *options), said)
    assert not out.exists()


def test_views_are_refused_from_python(own_run, tmp_path):
    with pytest.raises(UserError, match="flip, turn or both"):
        library.load(own_run).export(tmp_path / "out", views="scale(0.9)")
