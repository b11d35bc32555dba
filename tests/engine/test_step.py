import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import RECIPE, SIZE, Network, batches, pictures, placed, same_bits, trainer

from bcjax.engine import dispatch, losses
from bcjax.engine.dispatch import Hyperparameters
from bcjax.engine.step import METRICS, normalise, predict_step
from bcjax.runtime import mesh as meshes
from bcjax.training.meter import Meter

MESH = meshes.create()
PLAIN = Network(norm=False)
SGD = optax.sgd(0.5)
BATCH = 8


def normalised(host):
    images = np.float32(host["image"]) / 255
    return (images - np.float32(RECIPE.mean)) / np.float32(RECIPE.std)


def train(trainer, host, state=None, store=None):
    """One call on host batches (steps, B, ...)."""
    state = trainer.init() if state is None else state
    return trainer.call(state, placed(MESH, host), store or {})


def metrics(rows):
    return [dict(zip(METRICS, row, strict=True)) for row in np.asarray(rows)]


@pytest.fixture(scope="module")
def whole():
    """Batch norm, dropout, augmentation, averages, Adam: all that has a state or a key."""
    return trainer(MESH, Network(dropout=0.5), ops=("flip", "turn"), ema=0.75)


@pytest.fixture(scope="module")
def plain():
    return trainer(MESH, PLAIN, optimizer=SGD)


def mean_loss(params, host, **options):
    logits = PLAIN.apply({"params": params}, normalised(host), train=True)
    return losses.cross_entropy(logits, host["label"], **options).mean()


def test_a_step_is_gradient_optimizer_and_update():
    optimizer = optax.adam(1e-2)
    one = trainer(MESH, PLAIN, optimizer=optimizer)
    host = batches(1, BATCH)
    first = {name: array[0] for name, array in host.items()}
    params = one.init().params
    loss, grads = jax.value_and_grad(mean_loss)(params, first)
    updates, opt_state = optimizer.update(grads, optimizer.init(params), params)
    logits = PLAIN.apply({"params": params}, normalised(first))

    state, rows = train(one, host)
    assert int(state.step) == 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        (state.params, state.opt_state),
        (optax.apply_updates(params, updates), opt_state),
    )
    assert metrics(rows) == [
        {
            "loss": pytest.approx(BATCH * float(loss), rel=1e-5),
            "correct": (np.argmax(logits, axis=1) == first["label"]).sum(),
            "examples": BATCH,
            "grad_norm": pytest.approx(float(optax.tree.norm(grads)), rel=1e-5),
        }
    ]


WEIGHTS = np.float32((0.5, 3.0, 1.0))


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
        ({"class_weights": WEIGHTS}, {"numbers": Hyperparameters(class_weights=WEIGHTS)}),
    ],
)
def test_the_loss_takes_its_options(plain, options, given):
    host = batches(1, BATCH)
    first = {name: array[0] for name, array in host.items()}
    start = plain.init().params
    grads = jax.grad(mean_loss)(start, first, **options)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, start, grads)

    state, rows = train(trainer(MESH, PLAIN, optimizer=SGD, **given), host)
    (row,), (bare,) = metrics(rows), metrics(train(plain, host)[1])
    assert row["loss"] == pytest.approx(BATCH * float(mean_loss(start, first, **options)), rel=1e-5)
    assert row["loss"] != pytest.approx(bare["loss"], rel=1e-3)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.params, expected
    )


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_add_up_to_the_batch(plain, parts):
    host = batches(1, BATCH)
    whole, (row,) = train(plain, host)
    divided, (other,) = train(trainer(MESH, PLAIN, optimizer=SGD, accumulate=parts), host)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6),
        divided.params,
        whole.params,
    )
    np.testing.assert_allclose(row, other, rtol=1e-5)


def test_micro_batches_move_the_batch_statistics_in_turn():
    model = Network()
    one = trainer(MESH, model, optimizer=SGD, accumulate=2, correct_statistics=False)
    host = batches(1, BATCH)
    state = one.init()
    params, batch_stats = jax.device_get((state.params, state.batch_stats))
    for part in range(2):
        _, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            normalised({"image": host["image"][0, part::2]}),
            train=True,
            mutable=["batch_stats"],
        )
        batch_stats = updated["batch_stats"]
    after, _ = train(one, host, state)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after.batch_stats, batch_stats
    )


def test_steps_in_one_call_are_single_steps_bit_for_bit(whole):
    host = batches(3, BATCH)
    together, rows = train(whole, host)
    state, singles = whole.init(), []
    for i in range(3):
        state, row = train(whole, {name: array[i : i + 1] for name, array in host.items()}, state)
        singles.append(row)
    assert int(together.step) == 3
    assert same_bits(together, state)
    assert same_bits(rows, jnp.concatenate(singles))


def test_the_device_store_gives_the_batches_of_the_host_bit_for_bit(whole):
    store = pictures(20)
    index = np.random.default_rng(1).permutation(20)[: 2 * BATCH].reshape(2, BATCH).astype(np.int32)
    host = {"index": index} | {name: array[index] for name, array in store.items()}
    on_devices = meshes.replicate(MESH, store)
    assert same_bits(train(whole, host), train(whole, {"index": index}, store=on_devices))


def test_randomness_is_of_the_seed_the_step_and_the_index():
    """And of nothing else: what repeats them repeats the draws."""
    model = Network(dropout=0.5, norm=False)
    frozen = trainer(MESH, model, optimizer=optax.set_to_zero(), ops=("flip", "turn"))
    host = {name: array.repeat(2, axis=0) for name, array in batches(1, BATCH).items()}
    _, rows = train(frozen, host)
    _, again = train(frozen, host)
    assert same_bits(rows, again)
    assert rows[0, 0] != rows[1, 0]  # the same pictures and parameters at another step
    seed = Hyperparameters(seed=1)
    seeded = trainer(MESH, model, optimizer=optax.set_to_zero(), ops=("flip", "turn"), numbers=seed)
    assert train(seeded, host)[1][0, 0] != rows[0, 0]


def test_averages_follow_parameters_and_batch_statistics(whole):
    state = whole.init()
    average = jax.device_get(state.variables)
    assert same_bits(state.ema, average)
    for i in range(3):
        state, _ = train(whole, batches(1, BATCH, seed=i), state)
        average = jax.tree.map(
            lambda old, new, kept=i / (i + 9): kept * old + (1 - kept) * new,
            average,
            jax.device_get(state.variables),
        )
    assert state.best_variables is state.ema
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.ema, average
    )


def test_without_averages_the_network_itself_is_evaluated(plain):
    state = plain.init()
    assert state.ema == {}
    assert state.best_variables == state.variables


def test_the_patience_scales_the_update(plain):
    host = batches(1, BATCH)
    start = jax.device_get(plain.init().params)
    full, _ = train(plain, host)
    state = plain.init()
    lowered = state.patience._replace(lr_scale=np.float32(0.25))
    state = state.replace(patience=meshes.replicate(MESH, lowered))
    quarter, _ = train(plain, host, state)
    jax.tree.map(
        lambda s, f, q: np.testing.assert_allclose(q - s, (f - s) / 4, rtol=1e-4, atol=1e-7),
        start, full.params, quarter.params,
    )  # fmt: skip


def test_a_bfloat16_network_keeps_its_state_in_float32(whole):
    half = trainer(MESH, Network(dtype=jnp.bfloat16, dropout=0.5), ops=("flip", "turn"), ema=0.75)
    host = batches(1, BATCH)
    state, rows = train(half, host)
    kept = jax.tree.leaves((state.params, state.batch_stats, state.ema, state.opt_state[0].mu))
    assert {leaf.dtype for leaf in kept} == {jnp.dtype(jnp.float32)}
    assert rows.dtype == jnp.float32
    _, exact = train(whole, host)
    np.testing.assert_allclose(rows[:, 0], exact[:, 0], rtol=0.02)
    assert rows[0, 0] != exact[0, 0]  # it did compute in bfloat16


def test_the_loop_copies_nothing_between_host_and_devices(whole):
    """Batches are placed before, and metrics fetched explicitly."""
    host = batches(2, BATCH)
    batch, only_index = placed(MESH, host), placed(MESH, {"index": host["index"]})
    store = meshes.replicate(MESH, pictures(2 * BATCH))
    state, meter = whole.init(), Meter()
    with jax.transfer_guard("disallow"):
        for call in range(4):
            state, rows = whole.call(state, *((only_index, store) if call % 2 else (batch, {})))
            meter.add(2 * call, rows)
        assert meter.take()["loss"] > 0
        # The guard is awake:
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            whole.call(state, host, {})


def test_the_state_is_given_to_the_next_step(whole):
    """Donated: else two states would fill the memory of the devices."""
    before = whole.init()
    after, _ = train(whole, batches(1, BATCH), before)
    gone = [leaf.is_deleted() for leaf in jax.tree.leaves(before)]
    assert all(gone)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(after))


@pytest.fixture(scope="module")
def predict():
    step = predict_step(Network(dropout=0.5), RECIPE.mean, RECIPE.std)
    return dispatch.compile_predict(step, MESH)


def test_prediction_is_the_network_in_inference_mode(whole, predict):
    state = whole.init()
    calls = batches(1, BATCH)
    host = {name: array[0] for name, array in calls.items()}
    [logits], [labels] = predict(state.variables, placed(MESH, calls), {})
    expected = Network().apply(state.variables, normalised(host), train=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(labels, host["label"])


def test_prediction_from_the_device_store_is_that_of_the_host(whole, predict):
    variables = whole.init().variables
    store, index = pictures(20), np.arange(3, 3 + BATCH, dtype=np.int32)
    host = {"index": index} | {name: array[index] for name, array in store.items()}
    batch = placed(MESH, {name: array[None] for name, array in host.items()})
    only = placed(MESH, {"index": index[None]})
    on_devices = meshes.replicate(MESH, store)
    assert same_bits(predict(variables, batch, {}), predict(variables, only, on_devices))


def test_batches_of_one_call_are_answered_as_alone_and_padding_is_not(whole, predict):
    variables = whole.init().variables
    calls = batches(3, BATCH)
    mask = np.arange(3)[:, None] < np.full(BATCH, 2)  # the last one is padding
    logits, labels = predict(variables, placed(MESH, calls | {"mask": mask}), {})
    for i in range(2):
        alone = placed(MESH, {name: array[i : i + 1] for name, array in calls.items()})
        [expected], _ = predict(variables, alone, {})
        np.testing.assert_allclose(logits[i], expected, rtol=1e-5, atol=1e-6)
        assert np.array_equal(labels[i], calls["label"][i])
    assert not np.any(logits[2])
    assert not np.any(labels[2])


def test_a_picture_is_normalised_channel_by_channel():
    white = jnp.ones((1, SIZE, SIZE, 3))
    seen = normalise(white, RECIPE.mean, RECIPE.std)
    np.testing.assert_allclose(seen[0, 0, 0], [2.5, 2.4, 7 / 3], rtol=1e-6)
