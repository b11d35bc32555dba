"""Weights become a network's variables, with what belongs to them, whatever file they are in."""

import json
import shutil

import numpy as np
import pytest
import torch_format
from flax import traverse_util
from published import PUBLISHED, of_network, tensors_of
from safetensors.numpy import save_file

from bcjax import config as configs
from bcjax import models
from bcjax.config import ImageSize
from bcjax.engine import weights
from bcjax.models.norm import Norm
from bcjax.models.pretrained import convert, families, files
from bcjax.runtime.errors import UserError

CASE, MODEL = "timm resnet18", "resnet18"


def make_config(model=MODEL, **changes):
    config = configs.default()
    config.model.name, config.model.weights_head, config.data.image_size = model, "keep", 64
    config.update_from_flattened_dict(changes)
    return config


def drawn(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def flat(imported):
    return traverse_util.flatten_dict(imported.variables, sep="/")


@pytest.fixture(scope="module")
def tensors():
    return drawn(PUBLISHED[CASE])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tensors):
    """The same weights as .pth, as .safetensors, in shards, and as .npz by our paths."""
    folder = tmp_path_factory.mktemp("weights")
    torch_format.save(folder / "w.pth", tensors)
    save_file(tensors, folder / "w.safetensors")
    ordered = list(tensors)
    shards = {"a.safetensors": ordered[:40], "b.safetensors": ordered[40:]}
    (folder / "shards").mkdir()
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / "shards" / shard)
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    np.savez(folder / "w.npz", **flat(weights.read(folder / "w.pth", make_config())))
    return folder


@pytest.fixture(scope="module")
def imported(folder):
    return weights.read(folder / "w.pth", make_config())


def test_kernels_are_turned_and_the_rest_is_as_it_was(imported, tensors):
    ours = flat(imported)
    np.testing.assert_array_equal(
        ours["params/stem/conv/kernel"], tensors["conv1.weight"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(
        ours["params/stage3/block1/shortcut_conv/kernel"],
        tensors["layer3.0.downsample.0.weight"].transpose(2, 3, 1, 0),
    )
    np.testing.assert_array_equal(ours["params/head/logits/kernel"], tensors["fc.weight"].T)
    for path, name in {
        "params/stage4/block2/norm1/scale": "layer4.1.bn1.weight",
        "params/stage4/block2/norm1/bias": "layer4.1.bn1.bias",
        "batch_stats/stage4/block2/norm1/mean": "layer4.1.bn1.running_mean",
        "batch_stats/stage4/block2/norm1/var": "layer4.1.bn1.running_var",
        "params/head/logits/bias": "fc.bias",
    }.items():
        np.testing.assert_array_equal(ours[path], tensors[name])


@pytest.mark.parametrize("file", ["w.safetensors", "shards", "w.npz"])
def test_every_file_of_the_same_weights_gives_the_same_variables(folder, imported, file):
    again = weights.read(folder / file, make_config())
    assert flat(again).keys() == flat(imported).keys()
    for path, array in flat(again).items():
        np.testing.assert_array_equal(array, flat(imported)[path])
        assert array.dtype == np.float32


@pytest.mark.parametrize("number", [np.nan, np.inf, -1e300])
@pytest.mark.parametrize("file", ["w.safetensors", "w.pth", "shards", "named.npz", "ours.npz"])
def test_what_is_not_finite_is_refused_with_its_name(folder, tmp_path, tensors, file, number):
    name = "layer2.0.bn1.running_var"
    wrong = tensors[name].astype(np.float64)
    wrong[5] = number
    bad, path = tensors | {name: wrong}, tmp_path / file
    if file == "w.pth":
        torch_format.save(path, bad)
    elif file == "w.safetensors":
        save_file(bad, path)
    elif file == "shards":
        path = shutil.copytree(folder / file, path)
        save_file({key: bad[key] for key in list(bad)[:40]}, path / "a.safetensors")
    elif file == "named.npz":
        np.savez(path, **bad)
    else:
        name = "batch_stats/stage2/block1/norm1/var"
        with np.load(folder / "w.npz") as ours:
            np.savez(path, **{**ours, name: wrong})
    with pytest.raises(UserError, match=f"{file} holds (NaN|infinity, or .*) in {name}: save"):
        weights.read(path, make_config())


def test_what_is_not_finite_in_a_dropped_classifier_is_nobodys_loss(tmp_path, tensors):
    np.savez(tmp_path / "w.npz", **tensors | {"fc.bias": tensors["fc.bias"] * np.nan})
    config = make_config(**{"model.weights_head": "drop"})
    assert weights.read(tmp_path / "w.npz", config, 8).outputs == 0


def test_a_header_as_long_as_a_pickle_begins_is_not_taken_for_one(tmp_path):
    for spaces in range(300):
        save_file({"w": np.ones(3, np.float32)}, tmp_path / "w.safetensors", {"x": " " * spaces})
        if (tmp_path / "w.safetensors").read_bytes()[0] == 0x80:
            break
    tensors, kind = files.read(tmp_path / "w.safetensors")
    assert kind == "safetensors"
    np.testing.assert_array_equal(tensors["w"], np.ones(3))


def test_pictures_of_another_size_are_said(imported):
    assert imported.input_size.stated == 224
    assert imported.notes == ("They were made with pictures of 224 px; here they have 64.",)


def test_half_precision_becomes_float32(tmp_path, tensors, imported):
    path = torch_format.save(tmp_path / "w.pth", torch_format.half(tensors))
    for key, array in flat(weights.read(path, make_config())).items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, flat(imported)[key], rtol=2**-8)


def test_what_belongs_to_the_weights_comes_with_them(imported):
    assert imported.outputs == 1000
    assert imported.config.model.mean == (0.485, 0.456, 0.406)
    assert (imported.config.data.resize, imported.config.data.crop_fraction) == ("crop", 0.875)
    assert imported.origin["names"] == "torchvision or timm"
    assert imported.origin["tensors"] == len(PUBLISHED[CASE])
    assert len(imported.origin["sha256"]) == 64


def test_what_the_user_says_goes_before_what_the_weights_say(folder):
    config = make_config(**{"model.mean": (0.1, 0.2, 0.3), "data.resize": "squash"})
    imported = weights.read(folder / "w.pth", config)
    assert imported.config.model.mean == (0.1, 0.2, 0.3)
    assert imported.config.data.resize == "squash"
    assert imported.config.model.std == (0.229, 0.224, 0.225)


def test_the_pages_of_timm_beside_a_file_are_heeded(tmp_path, tensors):
    torch_format.save(tmp_path / "w.pth", tensors)
    page = {
        "architecture": "tf_resnet18",
        "pretrained_cfg": {
            "input_size": [3, 240, 240], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9,
        },
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(page))
    imported = weights.read(tmp_path / "w.pth", make_config())
    model, data = imported.config.model, imported.config.data
    assert (model.convention, model.mean, model.std) == ("tf", (0.5,) * 3, (0.5,) * 3)
    assert (data.resize, data.crop_fraction, imported.input_size.stated) == ("crop", 0.9, 240)


@pytest.mark.parametrize(
    ("page", "resize", "fraction", "size"),
    [
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224},
          "do_center_crop": True}, "crop", 0.875, 224),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.95}, "crop", 0.95, 224),
        ({"size": {"height": 300, "width": 300}}, "squash", 1.0, 300),
    ],
)  # fmt: skip
def test_the_pages_of_transformers_beside_a_file_are_heeded(tmp_path, page, resize, fraction, size):
    save_file(drawn(PUBLISHED["transformers resnet18"]), tmp_path / "model.safetensors")
    labels = {str(i): f"class {i}" for i in range(1000)}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": labels}))
    page |= {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(page))
    imported = weights.read(tmp_path, make_config())
    data = imported.config.data
    assert imported.config.model.mean == (0.4, 0.5, 0.6)
    assert (data.resize, data.crop_fraction, imported.input_size.stated) == (resize, fraction, size)
    assert imported.classes[:2] == ("class 0", "class 1")


def test_a_dropped_classifier_is_left_out_and_said(folder):
    imported = weights.read(folder / "w.pth", make_config(**{"model.weights_head": "drop"}), 8)
    assert "head" not in imported.variables["params"]
    assert imported.outputs == 0
    assert any("classifier was dropped (logits)" in note for note in imported.notes)


def test_a_kept_classifier_needs_its_number_of_classes(folder):
    with pytest.raises(UserError, match="has 1000 outputs, not 8: drop it"):
        weights.read(folder / "w.pth", make_config(), 8)


def test_weights_without_a_classifier_have_none_to_keep(tmp_path, tensors):
    backbone = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    path = torch_format.save(tmp_path / "w.pth", backbone)
    with pytest.raises(UserError, match="no classifier to keep"):
        weights.read(path, make_config())
    imported = weights.read(path, make_config(**{"model.weights_head": "drop"}), 8)
    assert "head" not in imported.variables["params"]


def test_alexnet_keeps_its_dense_layers_where_the_last_is_new():
    holds = of_network("alexnet")
    (naming,) = families.namings("alexnet")
    fitting = convert.place_by_name(
        naming, tensors_of("torchvision alexnet"), holds.blocks, "w.pth"
    )
    convert.choose_classifier(fitting, holds, keep=False)
    left = {path.split("/")[2] for path in fitting.tensors if path.startswith("params/head/")}
    assert left == {"dense1", "dense2"}


def test_the_rows_of_alexnets_first_dense_layer_follow_pixels():
    (naming,) = families.namings("alexnet")
    rows = np.arange(9216, dtype=np.float32)[:, None]  # PyTorch's: channel, row, column
    turned = naming.finish({"params/head/dense1/kernel": rows})
    channel, row, column = 77, 2, 5
    ours = turned["params/head/dense1/kernel"].reshape(6, 6, 256)
    assert ours[row, column, channel] == (channel * 6 + row) * 6 + column


def test_the_background_of_1001_outputs_is_dropped_and_said(tmp_path, tensors):
    more = {name: np.concatenate([t[:1] + 9, t]) for name, t in tensors.items() if "fc" in name}
    path = torch_format.save(tmp_path / "w.pth", {**tensors, **more})
    imported = weights.read(path, make_config())
    assert imported.outputs == 1000
    np.testing.assert_array_equal(flat(imported)["params/head/logits/bias"], tensors["fc.bias"])
    assert any("the background, was dropped" in note for note in imported.notes)


def test_grey_pictures_sum_the_first_kernel_over_its_colours(folder, tensors):
    imported = weights.read(folder / "w.pth", make_config(**{"model.channels": 1}))
    kernel = tensors["conv1.weight"].transpose(2, 3, 1, 0).sum(axis=2, keepdims=True)
    np.testing.assert_array_equal(flat(imported)["params/stem/conv/kernel"], kernel)
    np.testing.assert_allclose(imported.config.model.mean, (0.449,))
    assert any("summed over red, green and blue" in note for note in imported.notes)


def test_the_biases_before_a_batch_norm_become_part_of_its_mean(tmp_path, tensors):
    biased = {"conv1.bias": np.float32(0.5) + tensors["bn1.bias"]}
    path = torch_format.save(tmp_path / "w.pth", {**tensors, **biased})
    imported = weights.read(path, make_config())
    np.testing.assert_array_equal(
        flat(imported)["batch_stats/stem/norm/mean"],
        tensors["bn1.running_mean"] - biased["conv1.bias"],
    )
    assert "Biases before batch norms became part of their means: 1." in imported.notes


@pytest.fixture(scope="module")
def in_order():
    """Weights of MobileNetV2 in the order of its layers, batch norm folded: kernel, bias, ..."""
    holds, rng = of_network("mobilenet_v2_035"), np.random.default_rng(0)
    arrays = {}
    for path, shape in holds.shapes.items():
        if path.endswith("/kernel"):
            layer = f"{len(arrays) // 2:02}_{path.split('/')[-2]}"
            arrays[f"{layer}/kernel"] = rng.normal(0, 0.1, shape).astype(np.float32)
            arrays[f"{layer}/bias"] = rng.normal(0, 0.1, shape[-1]).astype(np.float32)
    return arrays


def test_folded_weights_in_the_order_of_layers_compute_what_they_did(tmp_path, in_order):
    np.savez(tmp_path / "w.npz", **in_order)
    imported = weights.read(tmp_path / "w.npz", make_config("mobilenet_v2_035"))
    assert imported.config.model.norm == "frozen-batch"
    stem = {part: tree["stem"]["norm"] for part, tree in imported.variables.items()}
    x = np.random.default_rng(1).normal(0, 9, (2, 3, 3, 16)).astype(np.float32)
    epsilon = of_network("mobilenet_v2_035").epsilons["stem/norm"]
    norm = Norm(imported.config.model.norm, epsilon=epsilon)
    after, moved = norm.apply(stem, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(after, x + in_order["00_conv/bias"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(
        moved["batch_stats"]["var"], stem["batch_stats"]["var"], strict=True
    )
    np.testing.assert_array_equal(
        flat(imported)["params/head/logits/bias"], list(in_order.values())[-1]
    )


def test_layers_in_a_row_of_another_network_are_counted(tmp_path, in_order):
    np.savez(tmp_path / "w.npz", **dict(list(in_order.items())[:-2]))
    with pytest.raises(UserError, match="has 52 layers in a row, mobilenet_v2_035 has 53"):
        weights.read(tmp_path / "w.npz", make_config("mobilenet_v2_035"))


def test_a_network_that_flattens_refuses_weights_of_another_size(tmp_path):
    holds = convert.network_tensors(
        models.create("conv2d", classes=3, hidden=(4,)), ImageSize.of(64), 3
    )
    np.savez(tmp_path / "w.npz", **drawn(holds.shapes))
    config = make_config("conv2d", **{"model.hidden": (4,)})
    assert weights.read(tmp_path / "w.npz", config).outputs == 3
    config.data.image_size = 80
    with pytest.raises(UserError, match="pictures of another size"):
        weights.read(tmp_path / "w.npz", config)
