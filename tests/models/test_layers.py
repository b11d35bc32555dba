"""The layers that all networks share: normalisation, drop path, pools and the classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from networks import jit, key

from bcjax.models.layers import DropPath, Head, adaptive_average_pool, drop_path_rates, max_pool
from bcjax.models.norm import NORMS, Norm


def maps(*shape, seed=0):
    return 2 * jax.random.normal(key(seed), shape) + 3


def normalised(kind, x, train=True):
    layer = Norm(kind)
    y, variables = layer.init_with_output(key(), x, train)
    return y, variables


@pytest.mark.parametrize(
    ("kind", "axes", "channels"),
    [("batch", (0, 1, 2), 40), ("layer", 4, 40), ("group", (1, 2, 4), 40), ("group", (1, 2, 4), 6)],
)
def test_each_norm_has_no_mean_and_unit_variance_over_its_axes(kind, axes, channels):
    y, variables = normalised(kind, maps(3, 5, 4, channels))
    groups = {40: 8, 6: 2}[channels] if kind == "group" else 1  # what 32 groups and they divide by
    y = y.reshape(3, 5, 4, groups, -1)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axes), 1, atol=1e-4)
    assert ("batch_stats" in variables) == (kind == "batch")


@pytest.mark.parametrize("kind", NORMS)
def test_every_norm_has_the_same_parameters(kind):
    _, variables = normalised(kind, maps(2, 3, 3, 8))
    assert jax.tree.map(jnp.shape, variables["params"]) == {"scale": (8,), "bias": (8,)}


def test_a_frozen_batch_norm_trains_on_its_averages_and_keeps_them():
    x = maps(4, 3, 3, 8)
    averages = {"mean": maps(8, seed=1), "var": maps(8, seed=2) ** 2}
    variables = {**normalised("batch", x)[1], "batch_stats": averages}
    y, after = Norm("frozen-batch").apply(variables, x, True, mutable=["batch_stats"])
    assert jnp.array_equal(y, Norm("batch").apply(variables, x, False))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, after["batch_stats"], averages))


def test_drop_path_drops_whole_branches_and_keeps_the_mean():
    branch = 1 + jnp.arange(6.0).reshape(2, 3)
    branches = jnp.broadcast_to(branch, (4000, 2, 3))
    layer = DropPath(0.2)
    kept = layer.apply({}, branches, True, rngs={"dropout": key()}) / branch
    first = kept[:, :1, :1]
    np.testing.assert_allclose(kept, jnp.broadcast_to(first, kept.shape), rtol=1e-6)
    np.testing.assert_allclose(np.unique(first), [0, 1.25], rtol=1e-6)
    # Five standard deviations of the mean of 4,000 such draws.
    assert abs(first.mean() - 1) < 5 * 1.25 * (0.2 * 0.8 / 4000) ** 0.5
    assert jnp.array_equal(layer.apply({}, branches, False), branches)


def test_drop_path_rises_linearly_to_the_last_block():
    np.testing.assert_allclose(drop_path_rates(0.4, 5), [0, 0.1, 0.2, 0.3, 0.4])
    assert drop_path_rates(0.4, 1) == [0]


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 9), (4, 13), (12, 1)])
def test_the_adaptive_pool_averages_the_windows_of_pytorch(height, width):
    x = np.asarray(maps(2, height, width, 3))
    expected = np.empty((2, 6, 6, 3), np.float32)
    for i in range(6):
        for j in range(6):
            rows = slice(i * height // 6, -(-(i + 1) * height // 6))
            columns = slice(j * width // 6, -(-(j + 1) * width // 6))
            expected[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    np.testing.assert_allclose(adaptive_average_pool(x, 6), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "stride", "ours", "theirs"),
    [
        (3, 2, {"padding": 1}, ((1, 1), (1, 1))),
        (3, 1, {"padding": 1}, "SAME"),
        (3, 2, {}, "VALID"),
        (2, 2, {}, "VALID"),
        (2, 2, {"ceil": True}, "SAME"),
    ],
)
def test_the_max_pool_is_that_of_linen_with_its_gradient(size, stride, ours, theirs):
    def pull(pool, x):
        y, back = jax.vjp(pool, x)
        return y, *back(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    @jit
    def both(x):
        return (
            pull(lambda x: max_pool(x, size, stride, **ours), x),
            pull(lambda x: nn.max_pool(x, (size, size), (stride, stride), theirs), x),
        )

    for shape in ((2, 8, 7, 3), (1, 9, 12, 2), (1, 3, 4, 1)):
        for a, b in zip(*both(maps(*shape)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_max_pool_counts_a_tie_once():
    gradient = jax.grad(lambda x: max_pool(x, 2, 2).sum())(jnp.ones((1, 4, 4, 1)))
    assert gradient.sum() == 4


@pytest.mark.parametrize(
    ("hidden", "last", "dropouts"),
    [
        ((), True, ["dropout"]),
        ((8, 4), True, ["dropout1", "dropout2", "dropout"]),
        ((8, 4), False, ["dropout1", "dropout2"]),
    ],
)
def test_a_dropout_stands_before_each_dense_layer(hidden, last, dropouts):
    head = Head(3, hidden, dropout=0.5, last_dropout=last)
    seen = []

    def watch(call, args, kwargs, context):
        if len(context.module.path) == 1:
            seen.append(context.module.name)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        jax.eval_shape(
            lambda: head.init({"params": key(), "dropout": key()}, jnp.zeros((2, 5)), True)
        )
    assert [name for name in seen if "dropout" in name] == dropouts
    dense = [f"dense{i + 1}" for i in range(len(hidden))]
    assert [name for name in seen if "dropout" not in name] == [*dense, "logits"]


@pytest.mark.parametrize("activation", [None, nn.relu, nn.relu6, nn.silu])
@pytest.mark.parametrize("average", [False, True])
def test_batch_norm_is_linens_with_its_gradient_and_its_running_averages(average, activation):
    ours = Norm("frozen-batch" if average else "batch", activation=activation)
    linens = nn.BatchNorm(average, momentum=0.9)
    after_linens = activation or (lambda y: y)
    x, wanted = 2 + 3 * jax.random.normal(jax.random.key(0), (2, 4, 5, 6, 3))
    variables = jax.tree.map(lambda v: v + 0.5, ours.init(jax.random.key(1), x, True))

    def loss(layer, *train, then=lambda y: y):
        def of(params, x):
            given = variables | {"params": params}
            y, after = layer.apply(given, x, *train, mutable=["batch_stats"])
            y = then(y)
            return jnp.square(y - wanted).sum(), (y, after)

        return jax.jit(jax.grad(of, argnums=(0, 1), has_aux=True))(variables["params"], x)

    found, expected = loss(ours, True), loss(linens, then=after_linens)
    for mine, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", NORMS)
def test_a_norm_applies_the_activation_that_it_is_given(kind):
    x = maps(3, 4, 4, 8)
    y, variables = normalised(kind, x)
    activated = Norm(kind, activation=nn.silu).apply(variables, x, True, mutable=["batch_stats"])[0]
    np.testing.assert_allclose(activated, nn.silu(y), rtol=1e-6)


def test_batch_norm_and_its_activation_keep_only_their_input_for_the_gradient():
    x = maps(3, 4, 4, 8)
    variables = normalised("batch", x)[1]

    def trained(x):
        layer = Norm("batch", activation=nn.silu)
        return layer.apply(variables, x, True, mutable=["batch_stats"])[0]

    kept = [leaf for leaf in jax.tree.leaves(jax.vjp(trained, x)[1]) if leaf.shape == x.shape]
    assert kept
    # Or twice the input, of which the variance's gradient is a multiple.
    assert all(jnp.array_equal(each, x) or jnp.array_equal(each, 2 * x) for each in kept)
