"""What the table of networks says is so: every one is built, traced and counted, or refused."""

import functools
from collections import Counter
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from networks import Average, key, parameters, pictures, shapes

from bcjax.config import ImageSize
from bcjax.models import MODELS, NetworkInfo, create, docs, register
from bcjax.models.network import Count, count
from bcjax.runtime.errors import UserError

# The smallest network of each module stands for its family where one is enough.
FAMILIES = {
    type(create(name, classes=2)): name
    for name in sorted(MODELS, key=lambda name: -MODELS[name].parameters)
}.values()


@pytest.mark.parametrize("name", MODELS)
def test_the_table_tells_the_truth(name):
    entry, stages, calls = MODELS[name], {}, Counter()

    def watch(call, args, kwargs, context):
        answer = call(*args, **kwargs)
        if context.method_name == "__call__" and len(context.module.path) == 1:
            stages.setdefault(context.module.path[0])
            calls[context.module.path[0]] += 1
        return answer

    with nn.intercept_methods(watch):
        counted = count(create(name, classes=1000), ImageSize.of(entry.input_size))
    assert counted == Count(entry.parameters, entry.macs)
    assert tuple(stages) == entry.stages
    # An explanation finds the output of a stage by its only call.
    assert {calls[stage] for stage in stages if stage.startswith("st")} == {1}


@pytest.mark.parametrize(
    ("name", "size", "published"), [("resnet18", 224, 11_180_616), ("simple_cnn", 224, 26_084_104)]
)
def test_with_eight_classes_the_published_count_is_met(name, size, published):
    assert count(create(name, classes=8), ImageSize.of(size)).parameters == published


def test_lenet_has_the_count_of_the_textbooks_for_grey_pictures_and_ten_classes():
    assert count(create("lenet5", classes=10), ImageSize.of(32), channels=1).parameters == 61_706


@pytest.mark.parametrize("name", FAMILIES)
def test_only_the_last_stage_depends_on_the_classes(name):
    two, three = (shapes(create(name, classes=classes))["params"] for classes in (2, 3))
    assert [s for s in MODELS[name].stages if two[s] != three[s]] == [MODELS[name].stages[-1]]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("size", "channels", "dtype", "options"),
    [
        (28, 1, "float32", {"small_stem": True}),
        (64, 3, "bfloat16", {}),
        (97, 2, "float32", {}),
    ],
)
def test_any_picture_gives_float32_logits(name, size, channels, dtype, options):
    model = create(name, classes=5, dtype=dtype, **options)

    def run(images):
        variables = model.init(key(), images)
        return (
            variables,
            model.apply(variables, images),
            model.apply(variables, images, method="features"),
        )

    images = jax.ShapeDtypeStruct((2, size, size, channels), jnp.bfloat16)
    variables, logits, features = jax.eval_shape(run, images)
    assert (logits.shape, logits.dtype) == ((2, 5), jnp.float32)
    assert (features.shape[0], features.ndim, features.dtype) == (2, 2, jnp.dtype(dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("name", "stem", "small_stem"),
    [
        ("resnet18", 2, 8),
        ("elu_cnn", 1, 2),
        ("convnext_atto", 2, 8),
        ("alexnet", 1, 15),
        ("lenet5", 13, 28),
        ("vgg11", 2, 4),
        ("googlenet", 2, 8),
        ("custom_cnn", 4, 8),
    ],
)
def test_a_small_stem_keeps_more_of_a_small_picture(name, stem, small_stem):
    def last_map(images, **options):
        model = create(name, classes=2, **options)
        _, state = model.init_with_output(key(), images, capture_intermediates=True)
        last = max(stage for stage in MODELS[name].stages if stage.startswith("stage"))
        return state["intermediates"][last]["__call__"][0]

    for side, options in ((stem, {}), (small_stem, {"small_stem": True})):
        seen = jax.eval_shape(functools.partial(last_map, **options), pictures(1, 64))
        assert seen.shape[1:3] == (side, side)


@pytest.mark.parametrize("name", ["simple_cnn", "custom_cnn", "conv2d", "alexnet", "vit_tiny"])
def test_a_flattened_map_alone_ties_the_parameters_to_the_size(name):
    small, large = (shapes(create(name, classes=2), size)["params"] for size in (64, 96))
    differ = [stage for stage in MODELS[name].stages if small[stage] != large[stage]]
    assert differ == (["head"] if name in ("simple_cnn", "conv2d") else [])


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("convnext_atto", 32, {}),
        ("convnext_atto", 8, {"small_stem": True}),
        ("alexnet", 63, {}),
        ("lenet5", 16, {}),
        ("lenet5", 10, {"small_stem": True}),
        ("vgg11", 32, {}),
        ("vgg11", 16, {"small_stem": True}),
        ("googlenet", 15, {}),
        ("googlenet", 4, {"small_stem": True}),
        ("vit_tiny", 16, {}),
        ("vit_tiny", 4, {"small_stem": True}),
        ("alexnet", 7, {"small_stem": True}),
        ("custom_cnn", 16, {}),
        ("custom_cnn", 8, {"small_stem": True}),
    ],
)
def test_a_picture_is_refused_where_nothing_of_it_would_be_left(name, size, options):
    model = create(name, classes=2, **options)

    def last(images):
        return model.init_with_output(key(), images, capture_intermediates=True)[1]

    state = jax.eval_shape(last, pictures(1, size))
    assert all(leaf.size for leaf in jax.tree.leaves(state["intermediates"]))
    with pytest.raises(UserError, match=f"needs {size} px"):
        jax.eval_shape(last, jnp.zeros((1, size, size - 1, 3)))


@pytest.mark.parametrize("name", ["convnext_atto", "resnet18", "alexnet", "simple_cnn", "elu_cnn"])
def test_a_classifier_can_have_hidden_layers(name):
    model = create(name, classes=7, hidden=(64, 32), dropout=0.3)
    head = shapes(model)["params"]["head"]
    units = {layer: values["kernel"].shape[1] for layer, values in head.items()}
    assert units == {"dense1": 64, "dense2": 32, "logits": 7}
    assert set(shapes(model.clone(hidden=()))["params"]["head"]) == {"logits"}


@pytest.mark.parametrize(
    ("name", "option", "published"),
    [
        ("convnext_small", "drop_path", 0.4),
        ("alexnet", "dropout", 0.5),
        ("alexnet", "hidden", (4096, 4096)),
        ("simple_cnn", "norm", "batch"),
    ],
)
def test_an_option_is_as_published_unless_given(name, option, published):
    other = {"drop_path": 0.1, "dropout": 0.2, "hidden": (16,), "norm": "group"}[option]
    assert option in MODELS[name].options
    assert getattr(create(name, classes=2), option) == published
    assert getattr(create(name, classes=2, **{option: other}), option) == other


def test_what_makes_a_variant_is_no_option():
    for name, fixed in (("resnet18", "depths"), ("convnext_tiny", "width"), ("alexnet", "widths")):
        assert fixed not in MODELS[name].options


@pytest.mark.parametrize("name", ["elu_cnn", "custom_cnn", "simple_cnn", "conv2d"])
def test_own_networks_have_the_stages_widths_depths_and_kernels_that_are_asked_for(name):
    model = create(name, classes=3, widths=(4, 6), depths=(1, 2), kernel_size=5, hidden=(7,))
    found = shapes(model, 32)["params"]
    convolutions = {
        f"{stage}/{layer}": values["kernel"].shape
        for stage in ("stage1", "stage2")
        for layer, values in found[stage].items()
        if "conv" in layer
    }
    first, second = convolutions["stage2/conv1" if name == "elu_cnn" else "stage2/conv"], (6, 6)
    assert sorted(convolutions.values()) == [(5, 5, 3, 4), (5, 5, 4, 6), (5, 5, *second)]
    assert first == (5, 5, 4, 6)
    assert set(found) == {"stage1", "stage2", "head"}
    assert found["head"]["dense1"]["kernel"].shape[1] == 7


def test_each_convolution_of_a_stage_has_its_own_normalisation():
    stage = shapes(create("custom_cnn", classes=2, depths=(1, 3, 1, 1)))["params"]["stage2"]
    assert set(stage) == {"conv", "norm", "conv2", "norm2", "conv3", "norm3"}


def test_grey_pictures_save_parameters_in_the_first_layer_alone():
    grey, rgb = (shapes(create("convnext_atto", classes=2), 64, c) for c in (1, 3))
    assert parameters(rgb) - parameters(grey) == 2 * 4 * 4 * 40


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "resnet8"}, "resnet18"),
        ({"name": "convnext-tiny"}, "convnext_tiny"),
        ({"name": "resnet18", "smallstem": True}, "small_stem"),
        ({"name": "resnet18", "depths": (1,)}, "depths"),
        ({"name": "resnet18", "dtype": "float16"}, "bfloat16"),
        ({"name": "elu_cnn", "dropout": 1.0}, "dropout"),
        ({"name": "resnet18", "drop_path": -0.1}, "drop_path"),
        ({"name": "resnet18", "norm": "instance"}, "frozen-batch"),
        ({"name": "alexnet", "norm": "batch"}, "no option 'norm'"),
        ({"name": "alexnet", "hidden": (0,)}, "hidden"),
        ({"name": "resnet18", "widths": (8,)}, "layout is fixed: elu_cnn, simple_cnn, custom_cnn"),
        ({"name": "efficientnet_b0", "squeeze": ()}, "layout is fixed: deep_efficientnet"),
        ({"name": "elu_cnn", "widths": ()}, "leave no stage"),
        ({"name": "elu_cnn", "widths": (8, 8), "depths": (1,)}, "2 stages, .* those of 1"),
        ({"name": "conv2d", "depths": (1, 2)}, "4 stages, .* those of 2"),
        ({"name": "conv2d", "kernel_size": 4}, "kernel_size of 4 is even.* try 5"),
        ({"name": "deep_efficientnet", "kernel_size": 2}, "is even"),
        ({"name": "deep_efficientnet", "squeeze": (4, 5)}, "its stages are 1 to 4"),
        ({"name": "deep_efficientnet", "squeeze": (0,)}, "its stages are 1 to 4"),
    ],
)
def test_a_mistake_is_named_with_its_mend(arguments, named):
    with pytest.raises(UserError, match=named):
        create(**arguments, classes=2)


def test_a_network_from_outside_is_created_like_any_other():
    with mock.patch.dict(MODELS):
        register("average", NetworkInfo(Average, input_size=32))
        assert parameters(shapes(create("average", classes=5))) == 5 * (3 + 1)
        for name in ("average", "resnet18"):
            with pytest.raises(UserError, match=f"There already is a model '{name}'"):
                register(name, MODELS["alexnet"])
    assert "average" not in MODELS


def test_the_page_is_what_the_table_says():
    assert docs.PAGE.read_text() == docs.render(), "run python -m bcjax.models.docs"
