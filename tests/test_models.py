"""The table of networks: what was published holds, and what each module promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bcjax.errors import UserError
from bcjax.models import MODELS, create
from bcjax.models.elu_cnn import EluCNN
from bcjax.models.resnet import BasicBlock, Bottleneck, ResNet

# What needs arithmetic is tested on shallow networks of the same parts; whole ones are traced.
TINY = {
    "elu_cnn": EluCNN(3, widths=(4, 8), hidden=8, dropout=0.5),
    "basic": ResNet(3, depths=(1, 2), block=BasicBlock, dropout=0.5),
    "bottleneck": ResNet(3, depths=(1, 2), block=Bottleneck, dropout=0.5),
}


def key(seed=0):
    return jax.random.key(seed, impl="rbg")  # compiles several times faster than the default


def pictures(count, size):
    return jax.random.normal(key(1), (count, size, size, 3))


@functools.cache
def initialised(name):
    return TINY[name], jax.jit(TINY[name].init)(key(), pictures(1, 32))


def shapes(model, size=64, channels=3):
    return jax.eval_shape(model.init, key(), jnp.zeros((1, size, size, channels)))


def parameters(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.fixture(params=TINY)
def tiny(request):
    return initialised(request.param)


@pytest.mark.parametrize("name", MODELS)
def test_the_table_tells_the_truth(name):
    entry = MODELS[name]
    full = shapes(create(name, classes=1000), entry.input_size)
    assert parameters(full) == entry.parameters
    assert set(full["params"]) == set(entry.stages)
    assert ("batch_stats" in full) == name.startswith("resnet")


@pytest.mark.parametrize("name", MODELS)
def test_only_the_last_stage_depends_on_the_classes(name):
    two, three = (shapes(create(name, classes=classes))["params"] for classes in (2, 3))
    assert [s for s in MODELS[name].stages if two[s] != three[s]] == [MODELS[name].stages[-1]]


def test_resnet18_with_eight_classes_has_the_published_count():
    assert parameters(shapes(create("resnet18", classes=8))) == 11_180_616


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("size", "channels", "dtype"), [(28, 1, "float32"), (33, 3, "bfloat16"), (97, 3, "float32")]
)
def test_any_picture_gives_float32_logits(name, size, channels, dtype):
    model = create(name, classes=5, dtype=dtype)
    variables = shapes(model, size, channels)
    images = jax.ShapeDtypeStruct((2, size, size, channels), jnp.bfloat16)
    logits = jax.eval_shape(model.apply, variables, images)
    assert (logits.shape, logits.dtype) == ((2, 5), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_are_the_pooled_vector(dtype):
    model = create("resnet50", classes=5, dtype=dtype)
    features = jax.eval_shape(
        lambda images: model.init_with_output(key(), images, method="features")[0],
        pictures(2, 32),
    )
    assert (features.shape, features.dtype) == ((2, 2048), jnp.dtype(dtype))


@pytest.mark.parametrize(
    ("name", "small_stem", "side"),
    [("resnet18", False, 2), ("resnet18", True, 8), ("elu_cnn", False, 1), ("elu_cnn", True, 2)],
)
def test_a_small_stem_keeps_more_of_a_small_picture(name, small_stem, side):
    model = create(name, classes=2, small_stem=small_stem)

    def last_map(images):
        _, state = model.init_with_output(key(), images, capture_intermediates=True)
        return state["intermediates"][MODELS[name].stages[-2]]["__call__"][0]

    assert jax.eval_shape(last_map, pictures(1, 64)).shape[1:3] == (side, side)


def test_evaluation_treats_each_picture_alone(tiny):
    model, variables = tiny
    images = pictures(3, 33)
    apply = jax.jit(model.apply)
    together = apply(variables, images)
    alone = jnp.concatenate([apply(variables, image[None]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)
    assert not np.allclose(together[0], together[1], rtol=1e-3, atol=1e-5)


def test_the_head_reads_the_features():
    model, variables = initialised("basic")
    images = pictures(2, 32)
    features = model.apply(variables, images, method="features")
    head = variables["params"]["head"]
    expected = features @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(model.apply(variables, images), expected, rtol=1e-4, atol=1e-5)


def test_training_moves_the_batch_statistics_and_evaluation_does_not():
    model, variables = initialised("basic")
    model, images = model.clone(dropout=0.0), pictures(4, 32) + 3.0
    before = variables["batch_stats"]

    _, state = model.apply(variables, images, mutable=["batch_stats"])
    assert jax.tree.all(jax.tree.map(jnp.array_equal, state["batch_stats"], before))

    _, state = model.apply(variables, images, train=True, mutable=["batch_stats"])
    after = state["batch_stats"]["stem"]["norm"]
    # PyTorch's padding of 7x7 / 2, and a tenth of the way from (0, 1) to the batch's own.
    conv = jax.lax.conv_general_dilated(
        images,
        variables["params"]["stem"]["conv"]["kernel"],
        window_strides=(2, 2),
        padding=((3, 3), (3, 3)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(after["mean"], 0.1 * conv.mean((0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(after["var"], 0.9 + 0.1 * conv.var((0, 1, 2)), rtol=1e-3, atol=1e-4)


def test_bfloat16_stays_near_float32(tiny):
    model, variables = tiny
    images = pictures(2, 32)
    expected = model.apply(variables, images)
    error = jnp.abs(model.clone(dtype=jnp.bfloat16).apply(variables, images) - expected).max()
    assert 0 < error < 0.05 * jnp.abs(expected).max()


@pytest.mark.parametrize("name", ["basic", "bottleneck"])
def test_residual_blocks_start_as_their_shortcut(name):
    model, variables = initialised(name)
    _, state = model.apply(variables, pictures(1, 32), capture_intermediates=True)
    stage = state["intermediates"]["stage2"]
    first, second = (stage[block]["__call__"][0] for block in ("block1", "block2"))
    assert first.any()
    assert jnp.array_equal(first, second)


def test_gradients_are_finite_and_reach_every_stage(tiny):
    model, variables = tiny
    images = pictures(4, 32)

    @jax.jit
    @jax.grad
    def gradient(params):
        logits, _ = model.apply(
            {**variables, "params": params},
            images,
            train=True,
            rngs={"dropout": key(2)},
            mutable=["batch_stats"],
        )
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    gradients = gradient(variables["params"])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    for stage in gradients.values():
        assert any(leaf.any() for leaf in jax.tree.leaves(stage))


def test_dropout_acts_in_training_alone(tiny):
    model, variables = tiny
    images = pictures(4, 32)

    @jax.jit
    def train(dropout):
        return model.apply(
            variables, images, train=True, rngs={"dropout": dropout}, mutable=["batch_stats"]
        )[0]

    assert not jnp.array_equal(train(key(1)), train(key(2)))
    assert jnp.array_equal(model.apply(variables, images), model.apply(variables, images))


@pytest.mark.parametrize("size", [64, 96])
def test_elu_cnn_keeps_the_scale_of_activations_through_its_depth(size):
    model, images = create("elu_cnn", classes=2), pictures(2, size)

    @jax.jit
    def variances(images):
        _, state = model.init_with_output(key(), images, capture_intermediates=True)
        return {
            jax.tree_util.keystr(path): leaf.var()
            for path, leaf in jax.tree_util.tree_leaves_with_path(state["intermediates"])
            if "conv" in jax.tree_util.keystr(path)
        }

    # A gain of 1 would leave a hundredth of the variance after 15 layers, a gain of 2 gives 20.
    found = variances(images)
    assert len(found) == 15
    assert all(0.1 < variance < 10 for variance in found.values()), found


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "resnet8"}, "resnet18"),
        ({"name": "resnet18", "smallstem": True}, "small_stem"),
        ({"name": "resnet18", "depths": (1,)}, "depths"),
        ({"name": "resnet18", "dtype": "float16"}, "bfloat16"),
        ({"name": "elu_cnn", "dropout": 1.0}, "dropout"),
    ],
)
def test_a_mistake_is_named_with_its_mend(arguments, named):
    with pytest.raises(UserError, match=named):
        create(**arguments, classes=2)
