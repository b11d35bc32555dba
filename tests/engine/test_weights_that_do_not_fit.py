"""Weights that do not fit are refused for what is the matter, with what would fit."""

from pathlib import Path

import numpy as np
import pytest
import torch_format
from networks import Average
from published import of_network, tensors_of

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.engine import weights
from bcjax.models import MODELS, NetworkInfo, create
from bcjax.models.pretrained import convert
from bcjax.runtime.errors import UserError

DROP = {"model.weights_head": "drop"}


def make_config(model, **changes):
    options = {"model.name": model, "model.weights_head": "keep", "data.image_size": 64}
    return configs.replaced(configs.default(), options | changes)


def drawn(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def in_order(model):
    """Weights in the order of a network's layers, batch norm folded, as inference engines keep."""
    arrays = {}
    for path, shape in of_network(model).shapes.items():
        if path.endswith("/kernel"):
            arrays[path] = np.zeros(shape, np.float32)
            arrays[path.replace("/kernel", "/bias")] = np.zeros(shape[-1:], np.float32)
    return arrays


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """The narrow MobileNetV2: 53 layers in a row, the last of which is the classifier."""
    path = tmp_path_factory.mktemp("narrow") / "w.npz"
    arrays = in_order("mobilenet_v2_035").values()
    np.savez(path, *arrays)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Returns the file of a published network's weights."""
    folder = tmp_path_factory.mktemp("published")

    def write(case):
        path = folder / f"{case.replace(' ', '_')}.npz"
        if not path.exists():
            np.savez(path, **tensors_of(case))
        return path

    return write


def refused(path, model, **changes):
    with pytest.raises(UserError) as caught:
        weights.read(path, make_config(model, **changes))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_layers_in_a_row_fit_a_network_with_another_classifier(narrow):
    changes = {"model.hidden": (16,), **DROP}
    imported = weights.read(narrow, make_config("mobilenet_v2_035", **changes), 8)
    assert (imported.outputs, "head" in imported.variables["params"]) == (0, False)
    plain = weights.read(narrow, make_config("mobilenet_v2_035", **DROP), 8)
    np.testing.assert_equal(imported.variables, plain.variables)
    assert any("The classifier was dropped" in note for note in imported.notes)


def test_layers_in_a_row_may_come_without_a_classifier(tmp_path):
    *backbone, _, _ = in_order("mobilenet_v2_035").values()
    np.savez(tmp_path / "w.npz", *backbone)
    imported = weights.read(tmp_path / "w.npz", make_config("mobilenet_v2_035", **DROP), 8)
    assert imported.outputs == 0
    said = refused(tmp_path / "w.npz", "mobilenet_v2_035")
    assert "has 52 layers in a row, mobilenet_v2_035 has 53" in said
    assert "model.weights_head=drop" in said


def test_a_classifier_in_a_row_is_kept_only_by_the_same_hidden_layers(narrow):
    said = refused(narrow, "mobilenet_v2_035", **{"model.hidden": (16,)})
    assert "has 53 layers in a row, mobilenet_v2_035 has 54" in said
    assert "model.hidden=()" in said
    assert "model.weights_head=drop" in said


def test_the_network_of_layers_in_a_row_is_named(narrow):
    assert "model.name=mobilenet_v2_035" in refused(narrow, "resnet18", **DROP)
    assert "model.name=mobilenet_v2_035" in refused(narrow, "mobilenet_v2_050", **DROP)


def test_more_convolutions_are_not_taken_for_hidden_layers(tmp_path):
    np.savez(tmp_path / "w.npz", *in_order("resnet18").values())
    for changes in ({}, DROP):
        said = refused(tmp_path / "w.npz", "simple_cnn", **changes)
        assert said.endswith("they have the size of resnet18: set model.name=resnet18.")


def test_kernels_laid_out_as_in_pytorch_are_said(tmp_path):
    arrays = [x.transpose(3, 2, 0, 1) if x.ndim == 4 else x for x in in_order("resnet18").values()]
    np.savez(tmp_path / "w.npz", *arrays)
    assert "as PyTorch has them" in refused(tmp_path / "w.npz", "resnet18", **DROP)


def test_names_of_another_family_are_recognised_in_an_npz_too(published):
    said = refused(published("timm resnet18"), "mobilenet_v2", **DROP)
    assert "they look like ResNet of torchvision or timm; name their network" in said


def test_batch_norms_that_are_not_folded_are_said(tmp_path):
    kernel, scale = np.zeros((3, 3, 3, 64), np.float32), np.zeros(64, np.float32)
    np.savez(tmp_path / "w.npz", kernel, scale, scale, scale, scale)
    said = refused(tmp_path / "w.npz", "resnet18", **DROP)
    assert "fold" in said
    assert "under their names" in said


@pytest.mark.parametrize(
    ("case", "model", "changes", "mend"),
    [
        ("timm resnet50", "resnet18", {}, "model.name=resnet50"),
        ("timm mobilenetv2_100", "mobilenet_v2_035", {}, "model.name=mobilenet_v2"),
        ("timm mobilenetv2_100", "mobilenet_v2", {"model.alpha": 0.5}, "model.alpha"),
        ("timm resnet18", "resnet18", {"model.small_stem": True}, "model.small_stem=false"),
        ("timm resnet18", "resnet18", {"model.norm": "group"}, "model.norm=batch"),
        ("timm resnet18", "resnet18", {"model.hidden": (9,)}, "model.hidden=()"),
    ],
)
def test_the_setting_that_fits_is_named(published, case, model, changes, mend):
    said = refused(published(case), model, **changes)
    assert said.endswith(f"{mend}.") or f"{mend}, " in said or f"{mend} " in said, said
    assert "name the network that it was made for" not in said


def test_a_first_layer_without_a_tensor_is_listed(tmp_path):
    tensors = tensors_of("timm resnet18")
    del tensors["conv1.weight"]
    np.savez(tmp_path / "w.npz", **tensors)
    said = refused(tmp_path / "w.npz", "resnet18", **DROP)
    assert "1 of the network's have no tensor in the file (params/stem/conv/kernel)" in said


def test_weights_of_small_pictures_ask_for_the_small_stem(tmp_path):
    holds = convert.network_tensors(
        create("resnet18", classes=3, small_stem=True), ImageSize.of(32), 3
    )
    np.savez(tmp_path / "w.npz", **drawn(holds.shapes))
    assert "model.small_stem=true" in refused(tmp_path / "w.npz", "resnet18", **DROP)


def test_weights_without_batch_statistics_ask_for_another_norm(tmp_path):
    holds = convert.network_tensors(
        create("resnet18", classes=3, norm="group"), ImageSize.of(32), 3
    )
    np.savez(tmp_path / "w.npz", **drawn(holds.shapes))
    assert "model.norm=group" in refused(tmp_path / "w.npz", "resnet18", **DROP)


def test_grey_weights_ask_for_grey_pictures(tmp_path):
    holds = convert.network_tensors(create("resnet18", classes=3), ImageSize.of(32), 1)
    np.savez(tmp_path / "w.npz", **drawn(holds.shapes))
    assert "model.channels=1" in refused(tmp_path / "w.npz", "resnet18", **DROP)


def test_hidden_layers_of_another_width_are_not_taken_for_another_size(tmp_path):
    holds = convert.network_tensors(create("conv2d", classes=3, hidden=(4,)), ImageSize.of(64), 3)
    np.savez(tmp_path / "w.npz", **drawn(holds.shapes))
    said = refused(tmp_path / "w.npz", "conv2d", **{"model.hidden": (5,)})
    assert "pictures of another size" not in said
    assert "model.hidden=(4,)" in said


def test_a_network_whose_weights_no_library_publishes_says_what_it_takes(tmp_path):
    path = torch_format.save(tmp_path / "w.pth", {"conv.weight": np.zeros((4, 3), np.float32)})
    said = refused(path, "elu_cnn", **DROP)
    assert "elu_cnn" in said
    assert "a run of bcjax" in said


@pytest.mark.parametrize("head", ["keep", "drop"])
def test_a_network_from_outside_may_call_its_classifier_otherwise(tmp_path, monkeypatch, head):
    monkeypatch.setitem(MODELS, "average", NetworkInfo(Average, input_size=32))
    np.savez(tmp_path / "w.npz", **drawn({"params/head/kernel": (3, 5), "params/head/bias": (5,)}))
    changes = {"model.weights_head": head}
    imported = weights.read(tmp_path / "w.npz", make_config("average", **changes), 5)
    assert imported.outputs == (5 if head == "keep" else 0)
    assert imported.variables["params"].keys() == ({"head"} if head == "keep" else set())
    if head == "keep":
        with pytest.raises(UserError, match="has 5 outputs, not 4"):
            weights.read(tmp_path / "w.npz", make_config("average", **changes), 4)


def test_a_classifier_without_a_bias_is_not_taken_for_one_that_fits(tmp_path):
    tensors = tensors_of("timm resnet18")
    del tensors["fc.bias"]
    np.savez(tmp_path / "w.npz", **tensors)
    with pytest.raises(UserError, match=r"no tensor in the file \(params/head/logits/bias\)"):
        weights.read(tmp_path / "w.npz", make_config("resnet18"), 1000)


@pytest.mark.parametrize("name", ["imagenet", "DEFAULT", "True"])
def test_a_name_of_weights_is_not_taken_for_a_file_that_is_missing(name):
    said = refused(Path(name), "resnet18")
    assert "bcjax downloads no weights" in said


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"", "empty"),
    ],
)
def test_a_file_in_the_place_of_weights_is_called_what_it_is(tmp_path, content, what):
    path = tmp_path / "resnet18.pth"
    path.write_bytes(content)
    assert what in refused(path, "resnet18")
