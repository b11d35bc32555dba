"""The stages of each network: in forward order, with all of its parameters."""

import jax.numpy as jnp
import pytest
from flax import linen as nn

from bcjax.config import ImageSize
from bcjax.models import MODELS, create
from bcjax.models.stages import stages
from bcjax.models.table import BUILT_IN

# One network of each kind; the others are larger ones of the same.
_KINDS = {
    "elu_cnn", "custom_cnn", "simple_cnn", "conv2d", "lenet5", "alexnet", "vgg11", "googlenet",
    "resnet18", "resnet50", "convnext_atto", "efficientnet_lite0", "deep_efficientnet",
    "cell_efficientnet_lite", "mobilenet_v1_025", "mobilenet_v2_035", "vit_tiny",
}  # fmt: skip
_MARKED = [
    name if name in _KINDS else pytest.param(name, marks=pytest.mark.slow) for name in BUILT_IN
]


@pytest.mark.parametrize("name", _MARKED)
def test_the_stages_are_those_of_the_table_with_all_parameters(name):
    info = MODELS[name]
    found = stages(create(name, classes=1000), ImageSize.of(info.input_size))
    assert tuple(stage.name for stage in found) == info.stages
    assert sum(stage.parameters for stage in found) == info.parameters
    assert all(stage.shape for stage in found)
    assert found[-1].shape == (1000,)


def test_shapes_blocks_and_layers_are_those_of_the_paper():
    stem, first, *_, last, head = stages(create("resnet50", classes=5), ImageSize.of(224))
    assert (stem.shape, stem.blocks, stem.layers) == ((56, 56, 64), 0, {"conv 7x7": 1})
    assert (first.shape, first.blocks) == ((56, 56, 256), 3)
    assert first.layers == {"conv 1x1": 7, "conv 3x3": 3}  # a projection in the first block
    assert last.shape == (7, 7, 2048)
    assert head.layers == {"dense": 1}
    assert (
        stages(create("mobilenet_v2_035", classes=5), ImageSize.of(96))[2].layers["depthwise 3x3"]
        == 2
    )
    tokens = stages(create("vit_tiny", classes=5), ImageSize.of(224))[1]
    assert (tokens.shape, tokens.blocks, tokens.layers["attention"]) == ((197, 192), 12, 12)


def test_a_module_from_outside_has_its_own_parts():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, images, train=False):
            scale = self.param("scale", nn.initializers.ones, (3,))
            return nn.Dense(4, name="answer")(jnp.mean(images * scale, axis=(1, 2)))

    answer, scale = stages(Own(), ImageSize.of(8))
    assert (answer.name, answer.shape, answer.parameters) == ("answer", (4,), 16)
    assert (scale.name, scale.shape, scale.parameters) == ("scale", (), 3)
