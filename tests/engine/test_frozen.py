"""Frozen means frozen: not a bit moves, nothing is computed for it, no optimizer knows it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from staged import Staged, frozen_but
from tiny import NUMBERS, RECIPE, batches, placed, same_bits, trainer

from bcjax.engine import dispatch, losses
from bcjax.engine import state as states
from bcjax.engine.step import infer, normalise, predict_step
from bcjax.engine.trainable import NOTHING_FROZEN, join
from bcjax.runtime import mesh as meshes

MESH = meshes.create()
BATCH = 8
RANDOM = Staged(dropout=0.5, drop_path=0.5)
ADAMW = optax.adamw(0.1, weight_decay=0.5)
STAGE2 = frozen_but("stage2,head")
HEAD = frozen_but("head")


def flat(tree):
    return traverse_util.flatten_dict(jax.device_get(tree), sep="/")


def first_of(host):
    return {name: array[0] for name, array in host.items()}


def images(host):
    pixels = np.float32(first_of(host)["image"]) / 255
    return normalise(pixels, RECIPE.mean, RECIPE.std)


@pytest.fixture(scope="module")
def partial():
    """The second stage and the head train; all that has a state or a key is on."""
    options = {"optimizer": ADAMW, "ema": 0.75, "ops": ("flip", "turn")}
    return trainer(MESH, RANDOM, frozen=STAGE2, **options)


@pytest.fixture(scope="module")
def head():
    return trainer(MESH, RANDOM, frozen=HEAD, optimizer=ADAMW)


def test_nothing_that_is_frozen_moves_by_a_bit(partial):
    state = partial.init()
    before = flat(state.variables | {"ema": state.ema})
    for i in range(3):
        state, _ = partial.call(state, placed(MESH, batches(1, BATCH, seed=i)), {})
    after = flat(state.variables | {"ema": state.ema})
    assert before.keys() == after.keys()
    for path, array in before.items():
        if "/stage1/" in f"/{path}":
            assert same_bits(array, after[path]), path
        else:
            assert not np.array_equal(array, after[path]), path


def test_the_optimizer_knows_what_trains_alone(partial):
    state = partial.init()
    moments = state.opt_state[0]
    trains = {path for path in flat(state.params) if not path.startswith("stage1/")}
    assert flat(moments.mu).keys() == flat(moments.nu).keys() == trains
    size = sum(flat(state.params)[path].size for path in trains)
    kept = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim)
    assert kept == 2 * size


def test_frozen_modules_run_as_in_inference(head):
    """Batch norm with its averages, no drop path; the head has its dropout."""
    host, state = batches(1, BATCH), head.init()
    # Statistics that inference sees, and training would not.
    state = state.replace(batch_stats=jax.tree.map(lambda s: s + 0.5, state.batch_stats))
    variables = state.variables
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[1]
    features = RANDOM.apply(variables, images(host), False, method="features")
    logits = RANDOM.apply(variables, features, True, method="classify", rngs={"dropout": key})
    expected = losses.cross_entropy(logits, first_of(host)["label"]).sum()
    undropped = losses.cross_entropy(
        RANDOM.apply(variables, features, False, method="classify"), first_of(host)["label"]
    ).sum()
    _, rows = head.call(state, placed(MESH, host), {})
    assert rows[0, 0] == pytest.approx(float(expected), rel=1e-5)
    assert rows[0, 0] != pytest.approx(float(undropped), rel=1e-3)


@functools.cache
def initial():
    """Variables of a `Staged`, whatever its rates."""
    init = jax.jit(Staged().init)
    return init(jax.random.key(0, impl="rbg"), jnp.zeros((1, 8, 8, 3)))


def applied(model, asked, **rngs):
    """Logits and statistics of a training step, frozen as asked."""
    part, seen = frozen_but(asked), images(batches(1, 4))

    @jax.jit
    def logits_and_statistics(variables):
        with part.in_inference():
            return model.apply(variables, seen, train=True, mutable=["batch_stats"], rngs=rngs)

    return logits_and_statistics(initial())


@pytest.mark.parametrize("remat", [False, True], ids=["kept", "recomputed"])
def test_drop_path_is_off_in_frozen_blocks_and_dropout_in_a_frozen_head(remat):
    bare, random = Staged(remat=remat), Staged(dropout=0.5, drop_path=0.5, remat=remat)
    # stage1's downsampling trains, its blocks do not: drawing a number would need a key.
    logits, _ = applied(random, "stage1/downsample")
    np.testing.assert_allclose(logits, applied(bare, "stage1/downsample")[0], rtol=1e-6)
    for asked in ("stage2/block1", "head"):
        keyed = applied(random, asked, dropout=jax.random.key(1, impl="rbg"))[0]
        assert not np.allclose(keyed, applied(bare, asked)[0], rtol=1e-3)


@pytest.mark.parametrize("remat", [False, True], ids=["kept", "recomputed"])
def test_a_norm_that_trains_in_part_has_its_statistics_move(remat):
    _, updated = applied(Staged(remat=remat), "stage1/block2/norm/scale")
    stats = flat(updated["batch_stats"])
    moved = {path for path, array in stats.items() if array.any() and "mean" in path}
    assert moved == {"stage1/block2/norm/mean"}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_gradient_is_that_of_the_whole_as_far_as_it_goes(accumulate):
    model = Staged()
    sgd = optax.sgd(1.0)
    one = trainer(MESH, model, frozen=HEAD, optimizer=sgd, accumulate=accumulate)
    host = batches(1, BATCH)
    start = jax.device_get(one.init().variables)

    def mean_loss(params):
        with HEAD.in_inference():
            logits = model.apply(start | {"params": params}, images(host), train=True)
        return losses.cross_entropy(logits, first_of(host)["label"]).mean()

    grads = flat(jax.grad(mean_loss)(start["params"])["head"])
    state, rows = one.call(one.init(), placed(MESH, host), {})
    after = flat(state.params["head"])
    for path, before in flat(start["params"]["head"]).items():
        np.testing.assert_allclose(before - after[path], grads[path], rtol=1e-4, atol=1e-6)
    norm = np.sqrt(sum(np.square(grad).sum() for grad in grads.values()))
    assert rows[0, 3] == pytest.approx(norm, rel=1e-5)


def flops(program, *arguments):
    return jax.jit(program).lower(*arguments).compile().cost_analysis()["flops"]


def test_a_step_of_the_head_costs_about_a_forward_pass():
    model = Staged(width=32)
    host = first_of(batches(1, BATCH))

    def step_flops(asked):
        one = trainer(MESH, model, frozen=asked)
        return flops(one.step, one.abstract, host, {}, NUMBERS)

    forward = flops(
        functools.partial(infer, model, mean=RECIPE.mean, std=RECIPE.std),
        trainer(MESH, model).abstract.variables,
        host["image"],
    )
    assert step_flops(HEAD) / forward < 1.3
    assert step_flops(NOTHING_FROZEN) / forward > 2.5


def test_features_stand_for_their_pictures():
    """Where nothing is augmented: the same losses and the same end, within rounding."""
    model = Staged(dropout=0.5)
    one = trainer(MESH, model, frozen=HEAD, optimizer=ADAMW, ema=0.9)
    host = batches(3, BATCH)
    whole, rows = one.call(one.init(), placed(MESH, host), {})

    backbone = dispatch.compile_predict(
        predict_step(model, RECIPE.mean, RECIPE.std, "features"), MESH
    )
    flattened = {name: array.reshape(1, -1, *array.shape[2:]) for name, array in host.items()}
    every = meshes.place(MESH, flattened, np.arange(3 * BATCH), 3 * BATCH, leading=1)
    [features], [labels] = jax.device_get(backbone(one.init().variables, every, {}))
    assert features.dtype == np.float32
    pictures = meshes.replicate(MESH, {"features": features, "label": labels})
    only = placed(MESH, {"index": host["index"]})
    cached, others = one.call(one.init(), only, pictures)
    np.testing.assert_allclose(others, rows, rtol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), cached, whole)

    predict = dispatch.compile_predict(predict_step(model, RECIPE.mean, RECIPE.std), MESH)
    index = meshes.place(MESH, {"index": flattened["index"]}, np.arange(24), 24, leading=1)
    np.testing.assert_allclose(
        predict(whole.variables, index, pictures)[0],
        predict(whole.variables, every, {})[0],
        rtol=1e-4,
        atol=1e-5,
    )


def test_what_is_divided_is_joined_again():
    params = initial()["params"]
    for part in (NOTHING_FROZEN, HEAD, STAGE2, frozen_but("norm/scale")):
        trains, fixed = part.divide(params)
        assert flat(fixed).keys() == part.parameters
        assert same_bits(join(trains, fixed), params)


def test_averages_of_what_a_phase_freezes_are_it_from_then_on(partial):
    state, _ = partial.call(partial.init(), placed(MESH, batches(1, BATCH)), {})
    begun = states.begin(state, 1, ADAMW, "accuracy", HEAD)
    assert (int(begun.phase), int(begun.began), int(begun.step)) == (1, 1, 1)
    assert same_bits(begun.variables, state.variables)
    ema, old, new = flat(begun.ema), flat(state.ema), flat(state.variables)
    for path, array in ema.items():
        assert same_bits(array, (old if path.startswith("params/head/") else new)[path])
    assert flat(begun.opt_state[0].mu).keys() == {p for p in flat(state.params) if "head" in p}
    assert not any(leaf.any() for leaf in jax.tree.leaves(begun.opt_state))
