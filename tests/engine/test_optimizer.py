import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from bcjax.engine import optimizer as optimizers
from bcjax.engine import schedules
from bcjax.runtime.errors import UserError

PARAMS = {
    "dense": {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.3, -0.7])},
    "norm": {"scale": jnp.array([1.5, 0.8])},
}


def make_config(**changes):
    defaults = {
        "name": "adamw",
        "lr": 1e-3,
        "b1": 0.9,
        "b2": 0.99,
        "eps": 1e-8,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
        "clip_norm": 0.0,
        "schedule": "cosine",
        "final_lr_fraction": 0.0,
        "step_at": (0.5, 0.75),
        "step_factor": 0.1,
    }
    return ConfigDict(defaults | changes)


def gradients(steps):
    rng = np.random.default_rng(0)
    return [
        jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), PARAMS)
        for _ in range(steps)
    ]


def run(tx, grads):
    """The updates of each step and the last state, at parameters that stay where they are."""
    state, updates = tx.init(PARAMS), []
    for grad in grads:
        step, state = tx.update(grad, state, PARAMS)
        updates.append(step)
    return updates, state


def minimise(tx, loss, params, steps):
    """The loss before and after."""

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jax.grad(loss)(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), length=steps)
        return loss(params)

    return float(loss(params)), float(train(params))


def assert_trees_close(a, b, rtol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-9), a, b)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_descends_a_quadratic(name):
    tx = optimizers.create(make_config(name=name, lr=0.02), total_steps=400, warmup_steps=10)
    before, after = minimise(tx, lambda p: optax.tree.norm(p, squared=True), PARAMS, steps=400)
    assert after < 0.05 * before


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_fits_a_logistic_regression(name):
    x = jax.random.normal(jax.random.key(0), (64, 5))
    labels = (x @ jnp.arange(-2.0, 3.0) > 0.5).astype(jnp.int32)
    params = {"kernel": jnp.zeros((5, 2)), "bias": jnp.zeros(2)}

    def loss(p):
        logits = x @ p["kernel"] + p["bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    tx = optimizers.create(make_config(name=name, lr=0.05), total_steps=100, warmup_steps=5)
    before, after = minimise(tx, loss, params, steps=100)
    assert before == pytest.approx(np.log(2))
    assert after < 0.5 * before


DECAY = {"weight_decay": 0.1, "mask": optimizers.decay_mask}


def with_l2(alias):
    return optax.chain(optax.add_decayed_weights(**DECAY), alias)


@pytest.mark.parametrize(
    ("changes", "alias"),
    [
        ({"name": "adamw"}, lambda lr: optax.adamw(lr, b2=0.99, **DECAY)),
        ({"name": "nadamw"}, lambda lr: optax.nadamw(lr, b2=0.99, **DECAY)),
        ({"name": "lion"}, lambda lr: optax.lion(lr, b2=0.99, **DECAY)),
        ({"name": "adam"}, lambda lr: with_l2(optax.adam(lr, b2=0.99))),
        ({"name": "nadam"}, lambda lr: with_l2(optax.nadam(lr, b2=0.99))),
        ({"name": "sgd"}, lambda lr: with_l2(optax.sgd(lr, momentum=0.9))),
        ({"name": "sgd", "momentum": 0.0}, lambda lr: with_l2(optax.sgd(lr))),
        ({"name": "sgd", "nesterov": True}, lambda lr: with_l2(optax.sgd(lr, 0.9, nesterov=True))),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_agrees_with_the_alias_of_optax(changes, alias):
    config = make_config(weight_decay=0.1, **changes)
    ours = optimizers.create(config, total_steps=6, warmup_steps=2)
    theirs = alias(schedules.create(config, 6, 2))
    grads = gradients(6)
    assert_trees_close(run(ours, grads)[0], run(theirs, grads)[0])


def test_rmsprop_agrees_with_optax_while_the_learning_rate_is_constant():
    config = make_config(name="rmsprop", schedule="constant", weight_decay=0.0)
    ours = optimizers.create(config, total_steps=5, warmup_steps=0)
    theirs = optax.rmsprop(1e-3, 0.99, momentum=0.9, eps_in_sqrt=False, bias_correction=True)
    grads = gradients(5)
    assert_trees_close(run(ours, grads)[0], run(theirs, grads)[0])


def test_adafactor_agrees_with_optax_without_decay():
    config = make_config(name="adafactor", weight_decay=0.0)
    ours = optimizers.create(config, total_steps=5, warmup_steps=0)
    theirs = optax.adafactor(schedules.create(config, 5, 0), multiply_by_parameter_scale=False)
    grads = gradients(5)
    assert_trees_close(run(ours, grads)[0], run(theirs, grads)[0])


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_updates_are_linear_in_the_learning_rate_and_the_state_does_not_know_it(name):
    def at(lr):
        config = make_config(name=name, lr=lr, weight_decay=0.1, clip_norm=1.0)
        return run(optimizers.create(config, total_steps=6, warmup_steps=2), gradients(6))

    (slow, slow_state), (fast, fast_state) = at(1e-3), at(4e-3)
    assert_trees_close(jax.tree.map(lambda u: 4 * u, slow), fast)
    assert_trees_close(slow_state, fast_state)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_decay_shrinks_kernels_and_leaves_vectors_alone(name):
    config = make_config(name=name, schedule="constant", lr=0.01, weight_decay=0.5)
    tx = optimizers.create(config, total_steps=3, warmup_steps=0)
    (updates,), _ = run(tx, [jax.tree.map(jnp.zeros_like, PARAMS)])
    kernel, shrink = PARAMS["dense"]["kernel"], updates["dense"]["kernel"]
    assert jnp.all(jnp.sign(shrink) == -jnp.sign(kernel))
    assert not updates["dense"]["bias"].any()
    assert not updates["norm"]["scale"].any()
    if name in ("adamw", "nadamw", "lion", "adafactor", "sgd"):
        np.testing.assert_allclose(shrink, -0.01 * 0.5 * kernel, rtol=1e-6)


def test_decay_mask_takes_what_has_two_dimensions_or_more():
    params = {
        "conv": {"kernel": jnp.zeros((3, 3, 1, 4)), "bias": jnp.zeros(4)},
        "embedding": jnp.zeros((1, 5, 4)),
        "gamma": jnp.zeros(4),
        "temperature": jnp.zeros(()),
    }
    assert optimizers.decay_mask(params) == {
        "conv": {"kernel": True, "bias": False},
        "embedding": True,
        "gamma": False,
        "temperature": False,
    }


@pytest.mark.parametrize(
    "shapes", [[], [()], [(5,), (3,)], [(3, 3, 2, 7)], [(4, 6), (1, 1, 5, 3), (6,), ()]]
)
def test_the_global_norm_is_optax_s(shapes):
    rng = np.random.default_rng(0)
    tree = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]
    np.testing.assert_allclose(
        jax.jit(optimizers.global_norm)(tree), optax.tree.norm(tree) if tree else 0, rtol=1e-6
    )


@given(scale=st.floats(1e-3, 1e6), clip_norm=st.floats(0.01, 10.0))
@settings(max_examples=30)
def test_clipping_bounds_the_step_and_keeps_its_direction(scale, clip_norm):
    config = make_config(
        name="sgd", momentum=0.0, lr=1.0, schedule="constant", weight_decay=0.0, clip_norm=clip_norm
    )
    grad = jax.tree.map(lambda g: scale * g, gradients(1)[0])
    tx = optimizers.create(config, total_steps=1, warmup_steps=0)
    updates, _ = tx.update(grad, tx.init(PARAMS), PARAMS)
    factor = min(1.0, clip_norm / float(optax.tree.norm(grad)))
    assert_trees_close(updates, jax.tree.map(lambda g: -factor * g, grad), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "middle", "end"),
    [
        ("constant", 1.0, 1.0),
        ("cosine", 0.55, 0.1),
        ("linear", 0.55, 0.1),
        ("exponential", 0.1**0.5, 0.1),
        ("step", 0.1, 0.01),
    ],
)
def test_schedule_at_its_corners(kind, middle, end):
    lr = schedules.create(
        make_config(lr=2.0, schedule=kind, final_lr_fraction=0.1), 110, warmup_steps=10
    )
    assert lr(0) == pytest.approx(2.0 / 11)
    assert lr(9) == pytest.approx(2.0 * 10 / 11)
    assert lr(10) == pytest.approx(2.0)
    assert lr(60) == pytest.approx(2.0 * middle)
    assert lr(110) == pytest.approx(2.0 * end)
    assert lr(1000) == pytest.approx(2.0 * end)


def test_step_decay_counts_from_the_start_of_the_run():
    config = make_config(lr=1.0, schedule="step", step_at=(0.2, 0.5), step_factor=0.5)
    lr = schedules.create(config, 20, warmup_steps=6)
    np.testing.assert_allclose([lr(5), lr(6), lr(9), lr(10), lr(19)], [6 / 7, 0.5, 0.5, 0.25, 0.25])


@given(data=st.data(), kind=st.sampled_from(list(schedules.SCHEDULES)))
@settings(max_examples=60)
def test_schedule_starts_above_zero_and_stays_between_zero_and_lr(data, kind):
    total = data.draw(st.integers(1, 60))
    warmup = data.draw(st.integers(0, total - 1))
    final_lr_fraction = data.draw(st.floats(0.0 if kind != "exponential" else 1e-6, 1.0))
    lr = schedules.create(
        make_config(lr=0.3, schedule=kind, final_lr_fraction=final_lr_fraction), total, warmup
    )
    values = np.array([lr(step) for step in range(total + 3)])
    assert values[0] > 0
    assert values[warmup] <= values.max() <= np.float32(0.3) * (1 + 1e-6)
    assert values.min() >= 0
    assert np.all(np.diff(values[:warmup]) > 0)
    assert np.all(np.diff(values[warmup:]) <= 1e-6 * 0.3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule": "exponential"}, "optim.final_lr_fraction is 0.*exponential"),
        ({"step_at": (0.75, 0.5)}, r"optim.step_at is \(0.75, 0.5\)"),
        ({"step_at": (0.5, 1.5)}, r"optim.step_at is \(0.5, 1.5\)"),
    ],
)
def test_a_schedule_that_is_not_possible_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        schedules.create(make_config(**changes), 10, 1)


@pytest.mark.parametrize("warmup_steps", [10, 11, -1])
def test_a_warmup_that_does_not_fit_the_run_is_refused(warmup_steps):
    with pytest.raises(UserError, match=f"warm-up of {warmup_steps} steps .* run of 10 steps"):
        optimizers.create(make_config(), total_steps=10, warmup_steps=warmup_steps)
