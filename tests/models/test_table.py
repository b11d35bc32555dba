"""What the table of networks says is so: every one is built, traced and counted."""

import functools

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from networks import key, pictures, shapes

from bcjax.models import MODELS, create
from bcjax.models.network import Count, count
from bcjax.runtime.errors import UserError

# The smallest network of each module stands for its family where one is enough.
FAMILIES = {
    type(create(name, classes=2)): name
    for name in sorted(MODELS, key=lambda name: -MODELS[name].parameters)
}.values()


@pytest.mark.parametrize("name", MODELS)
def test_the_table_tells_the_truth(name):
    entry, stages = MODELS[name], {}

    def watch(call, args, kwargs, context):
        answer = call(*args, **kwargs)
        if context.method_name == "__call__" and len(context.module.path) == 1:
            stages.setdefault(context.module.path[0])
        return answer

    with nn.intercept_methods(watch):
        counted = count(create(name, classes=1000), entry.input_size)
    assert counted == Count(entry.parameters, entry.macs)
    assert tuple(stages) == entry.stages


@pytest.mark.parametrize(
    ("name", "size", "published"), [("resnet18", 224, 11_180_616), ("simple_cnn", 224, 26_084_104)]
)
def test_with_eight_classes_the_published_count_is_met(name, size, published):
    assert count(create(name, classes=8), size).parameters == published


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


@pytest.mark.parametrize("name", ["simple_cnn", "custom_cnn", "conv2d", "alexnet"])
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
