"""Each tensor of the libraries' own state dicts has its place in ours, and no place is left.

`published_tensors.json` was written by those libraries: see benchmarks/peer.py.
"""

import numpy as np
import pytest
from flax import traverse_util
from networks import jit
from published import LOGITS, PUBLISHED, drawn_tensors, of_network, tensors_of

from bcjax import models
from bcjax.models.pretrained import convert, families
from bcjax.runtime.errors import UserError

OURS = {
    "mobilenetv2_100": "mobilenet_v2", "mobilenetv1_100": "mobilenet_v1",
    "deit_tiny_patch16_224": "vit_tiny", "vit_b_16": "vit_base",
}  # fmt: skip


@pytest.fixture(scope="module")
def networks():
    """What each network holds, looked at once."""
    return {name: of_network(name) for name in {ours(case) for case in PUBLISHED}}


def ours(case):
    published = case.split()[1]
    return OURS.get(published, published)


@pytest.mark.parametrize("case", PUBLISHED)
def test_every_published_tensor_has_its_place(case, networks):
    tensors, holds = tensors_of(case), networks[ours(case)]
    naming = families.best(families.namings(ours(case)), tensors)
    assert case.split()[0] in naming.source
    fitting = convert.place_by_name(naming, tensors, holds.blocks, "w.pth")
    convert.choose_classifier(fitting, holds, keep=True)
    convert.fit(fitting, holds)
    convert.check(fitting, holds, model=ours(case), optional=())
    assert {path: t.shape for path, t in fitting.tensors.items()} == dict(holds.shapes)
    assert not fitting.notes


@pytest.mark.parametrize("case", PUBLISHED)
def test_every_published_backbone_takes_a_new_classifier_with_hidden_layers(case):
    tensors, holds = tensors_of(case), of_network(ours(case), hidden=(16, 8), dropout=0.1)
    naming = families.best(families.namings(ours(case)), tensors)
    fitting = convert.place_by_name(naming, tensors, holds.blocks, "w.pth")
    convert.choose_classifier(fitting, holds, keep=False)
    convert.fit(fitting, holds)
    head = [path for path in holds.shapes if path.startswith("params/head/")]
    convert.check(fitting, holds, model=ours(case), optional=head)
    assert fitting.tensors.keys() == holds.shapes.keys() - set(head)


@pytest.mark.parametrize("case", LOGITS)
def test_logits_are_those_of_the_library(case, networks):
    naming = families.best(families.namings(ours(case)), tensors_of(case))
    holds = networks[ours(case)]
    fitting = convert.place_by_name(naming, drawn_tensors(case), holds.blocks, "w.pth")
    convert.fit(fitting, holds)
    tree = traverse_util.unflatten_dict(fitting.tensors, sep="/")
    size, expected = LOGITS[case]["size"], np.array(LOGITS[case]["logits"])
    pictures = np.random.default_rng(0).standard_normal((2, size, size, 3), np.float32)
    found = jit(models.create(ours(case), classes=1000).apply)(tree, pictures)
    np.testing.assert_allclose(found[:, :10], expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("case", "whose"),
    [
        ("timm resnet50", "ResNet of torchvision or timm"),
        ("torchvision alexnet", "AlexNet of torchvision"),
        ("timm vgg11_bn", "VGG of timm"),
        ("torchvision googlenet", "GoogLeNet of torchvision"),
        ("transformers vit_tiny", "ViT of transformers"),
        ("transformers convnext_tiny", "ConvNeXt of transformers"),
        ("torchvision mobilenet_v2", "MobileNetV2 of torchvision"),
    ],
)
def test_tensors_are_recognised_where_their_network_is_not_named(case, whose):
    assert families.recognised(tensors_of(case)) == whose


def test_no_library_knows_foreign_names():
    assert families.recognised({"encoder.weight": np.zeros(3), "w": np.zeros(2)}) == ""
    assert families.namings("elu_cnn") == ()


def faults(case, model, tensors, networks):
    holds = networks.get(model) or of_network(model)
    naming = families.best(families.namings(model), tensors)
    fitting = convert.place_by_name(naming, tensors, holds.blocks, "w.pth")
    convert.fit(fitting, holds)
    with pytest.raises(UserError) as error:
        convert.check(fitting, holds, model=model, optional=())
    return str(error.value)


def test_weights_of_another_depth_are_listed_by_name(networks):
    case = "timm resnet50"
    said = faults(case, "resnet18", tensors_of(case), networks)
    assert "w.pth does not fit resnet18" in said
    assert "of its tensors have no place in the network (layer1.0.conv3.weight," in said
    assert "layer1.0.conv1.weight is (1, 1, 64, 64) instead of (3, 3, 64, 64)" in said


def test_weights_of_another_width_are_listed_by_name(networks):
    case = "timm mobilenetv2_100"
    said = faults(case, "mobilenet_v2_035", tensors_of(case), networks)
    assert "conv_stem.weight is (3, 3, 3, 32) instead of (3, 3, 3, 16)" in said
    assert "no place" not in said


def test_a_missing_tensor_is_named_as_ours(networks):
    tensors = tensors_of("timm resnet18")
    del tensors["layer4.1.bn2.running_var"]
    said = faults("timm resnet18", "resnet18", tensors, networks)
    assert "1 of the network's have no tensor in the file" in said
    assert "batch_stats/stage4/block2/norm2/var" in said


@pytest.mark.parametrize("case", ["torchvision mobilenet_v2", "transformers efficientnet_b0"])
def test_blocks_beyond_the_last_are_left_over(case, networks):
    tensors = tensors_of(case)
    name = next(name for name in tensors if ".2." in name)
    more = name.replace(".2.", ".77.")
    said = faults(case, ours(case), {**tensors, more: tensors[name]}, networks)
    assert f"1 of its tensors have no place in the network ({more})" in said
