"""Running averages are right from their first step, and end where they always ended."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from staged import Staged, frozen_but
from tiny import CLASSES, RECIPE, SIZE, Network, batches, placed, same_bits, trainer

from bcjax import config as configs
from bcjax.augment import policy
from bcjax.engine import averages, dispatch, program
from bcjax.engine import state as states
from bcjax.engine.step import predict_step
from bcjax.engine.trainable import NOTHING_FROZEN
from bcjax.models.mbconv import MBConvLayout, MBConvNet, MBConvRow
from bcjax.models.mobilenet import MobileNetV1
from bcjax.models.plain_cnn import PlainCNN
from bcjax.models.resnet import Bottleneck, ResNet
from bcjax.runtime import mesh as meshes

MESH = meshes.create()
BATCH, EPOCH_BATCH = 8, 32
STILL = optax.set_to_zero()


def flat(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def train(trainer, host, state=None):
    return trainer.call(trainer.init() if state is None else state, placed(MESH, host), {})[0]


def each_batch(model, host, **options):
    """The running statistics after each batch alone: those of the batch itself."""
    one = trainer(MESH, model, optimizer=STILL, **options)
    singles = [{name: a[i : i + 1] for name, a in host.items()} for i in range(len(host["index"]))]
    return [flat(train(one, single).batch_stats) for single in singles]


def averaged(values, share=1.0):
    """The average of values, of which `age` are in it when the next one comes."""
    average = 1e6  # nothing of it is left
    for age, value in enumerate(values):
        kept = min(share, age / (age + 9))
        average = kept * average + (1 - kept) * value
    return average


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_an_average_keeps_more_and_more_until_that_is_its_share(share):
    kept = np.asarray(averages.kept(share, jnp.arange(20_000)))
    assert kept[0] == 0
    assert (np.diff(kept) >= 0).all()
    reached = round(9 * share / (1 - share))
    np.testing.assert_allclose(kept[:reached], [t / (t + 9) for t in range(reached)], rtol=1e-6)
    assert (kept[reached + 1 :] == np.float32(share)).all()


def test_an_average_is_that_of_about_the_last_tenth():
    assert averaged(np.arange(1000)) == pytest.approx(900, abs=1)


@pytest.mark.parametrize("model", [Network(), Staged(remat=True)])
def test_the_first_statistics_are_those_of_the_batches_and_not_of_the_guess(model):
    """Linen's batch norm and bcjax's, the latter in blocks that are computed again."""
    host = batches(3, BATCH)
    state = train(trainer(MESH, model, optimizer=STILL), host)
    each = each_batch(model, host)
    for path, array in flat(state.batch_stats).items():
        expected = averaged([one[path] for one in each])
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6, err_msg=path)
    assert any(np.abs(array).max() > 1e-2 for array in each[0].values())


def test_micro_batches_count_one_by_one():
    host = batches(2, BATCH)
    parts = {name: a.reshape(2, 4, 2, *a.shape[2:]).swapaxes(1, 2) for name, a in host.items()}
    parts = {name: a.reshape(4, 4, *a.shape[3:]) for name, a in parts.items()}  # rows i, i + 2, ...
    whole = train(trainer(MESH, Network(), optimizer=STILL, accumulate=2), host)
    each = each_batch(Network(), parts)
    for path, array in flat(whole.batch_stats).items():
        expected = averaged([one[path] for one in each])
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6, err_msg=path)


def test_the_average_of_the_weights_holds_nothing_of_the_first():
    one, seen = trainer(MESH, Network(), ema=0.9), []
    state = one.init()
    for i in range(4):
        state = train(one, batches(1, BATCH, seed=i), state)
        seen.append(flat(state.variables))
        if i == 0:
            assert same_bits(state.ema, state.variables)
    for path, array in flat(state.ema).items():
        expected = averaged([each[path] for each in seen])
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6, err_msg=path)


def test_long_runs_end_where_they_ended():
    """Of what differs at step n, where the share m is reached, m^k is left after k steps more."""
    host, share, steps = batches(3, BATCH), 0.8, 171
    now = trainer(MESH, Network(), ema=share)
    before = trainer(MESH, Network(), ema=share, correct_ema=False, correct_statistics=False)
    one, other = now.init(), before.init()
    for _ in range(steps // 3):
        one, other = train(now, host, one), train(before, host, other)
    assert same_bits(one.params, other.params)  # what trains does not read the averages
    assert same_bits(one.opt_state, other.opt_state)
    assert 0.9 ** (steps - 81) < 1e-4  # batch norm keeps 0.9 of its statistics
    for path, array in flat((one.batch_stats, one.ema)).items():
        theirs = flat((other.batch_stats, other.ema))[path]
        np.testing.assert_allclose(array, theirs, rtol=1e-3, atol=1e-3, err_msg=path)


def test_without_the_correction_an_average_keeps_its_share_from_the_first_step():
    """As in Keras and PyTorch."""
    host = batches(1, BATCH)
    plain = trainer(MESH, Network(), ema=0.75, correct_ema=False, correct_statistics=False)
    start, state = flat(plain.init().variables), train(plain, host)
    [batch] = each_batch(Network(), host)
    for path, array in flat(state.batch_stats).items():
        expected = 0.9 * start[f"batch_stats/{path}"] + 0.1 * batch[path]
        np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-7)
    for path, array in flat(state.ema).items():
        expected = 0.75 * start[path] + 0.25 * flat(state.variables)[path]
        np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-7)


def test_what_a_phase_lets_go_begins_its_averages_with_the_phase():
    """The other averages go on."""
    stage2 = frozen_but("^stage2|^head")
    first = trainer(MESH, Staged(), frozen=stage2, ema=0.9)
    state = train(first, batches(5, BATCH))
    then = trainer(MESH, Staged(), waited=stage2, ema=0.9)
    state = states.begin(state, 1, then.optimizer, "accuracy", NOTHING_FROZEN)
    state = jax.tree.map(jnp.copy, state)  # no array twice: the step uses them up
    old, guess = flat(state.ema), flat(state.batch_stats)
    begun = jax.tree.map(jnp.copy, state)
    state = train(then, batches(1, BATCH, seed=1), state)
    new, ema = flat(state.variables), flat(state.ema)
    for path, array in ema.items():
        age = 0 if "/stage1/" in path else 5
        expected = (age * old[path] + 9 * new[path]) / (age + 9)
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6, err_msg=path)
    alone = begun.replace(step=jnp.zeros_like(begun.step), began=jnp.zeros_like(begun.began))
    batch = flat(train(then, batches(1, BATCH, seed=1), alone).batch_stats)
    for path, array in flat(state.batch_stats).items():
        age = 0 if path.startswith("stage1/") else 5
        expected = (age * guess[path] + 9 * batch[path]) / (age + 9)
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("weights", ["", "somewhere"])
@pytest.mark.parametrize("correct", [None, True, False])
def test_statistics_that_came_with_weights_are_kept(weights, correct):
    config = configs.replaced(
        configs.default(),
        {"optim.correct_averages": correct, "model.weights": weights or None, "model.mean": (0,),
         "model.std": (1,)},
    )  # fmt: skip
    recipe = program.recipe(config, policy.build(()))
    assert recipe.correct_statistics == (correct is not False and not weights)
    assert recipe.correct_ema == (correct is not False)


# What the figures say after one epoch.

LAYOUT = MBConvLayout(
    (MBConvRow(1, 8, 1, 1), MBConvRow(2, 16, 2, 2)), nn.swish, squeeze=(1, 2), stem=8, top=32
)
FAMILIES = {
    "plain": PlainCNN(CLASSES, widths=(8, 16), flatten=False, norm="batch"),
    "resnet": ResNet(CLASSES, depths=(1,), block=Bottleneck, small_stem=True, convention="tf"),
    "efficientnet": MBConvNet(CLASSES, layout=LAYOUT, small_stem=True, dropout=0.0),
    "mobilenet": MobileNetV1(CLASSES, rows=((16, 1), (32, 1)), small_stem=True),
    "from outside": Network(),
}


def coloured(steps):
    """A pale colour of the class in noise; a fifth of the labels are drawn, so nobody gets all."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, (steps, EPOCH_BATCH))
    colour = 170 + 12 * np.eye(3)[label][..., None, None, :]
    image = rng.normal(colour, 20, (steps, EPOCH_BATCH, SIZE, SIZE, 3))
    drawn = rng.random(label.shape) < 0.2
    return {
        "index": np.arange(label.size, dtype=np.int32).reshape(label.shape),
        "image": np.clip(image, 0, 255).astype(np.uint8),
        "label": np.where(drawn, rng.integers(0, CLASSES, label.shape), label).astype(np.int32),
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_after_one_epoch_evaluation_says_what_the_training_steps_said(family):
    model, host = FAMILIES[family], coloured(70)
    one = trainer(MESH, model, optimizer=optax.adam(3e-3), ema=0.999)
    state, rows = one.call(one.init(), placed(MESH, host), {})
    trained = float(np.asarray(rows)[-20:, 1].sum()) / (20 * EPOCH_BATCH)
    predict = dispatch.compile_predict(predict_step(model, RECIPE.mean, RECIPE.std), MESH)
    whole = {name: array.reshape(1, -1, *array.shape[2:]) for name, array in host.items()}
    every = meshes.place(MESH, whole, np.arange(70 * EPOCH_BATCH), 70 * EPOCH_BATCH, leading=1)
    assert trained > 0.8
    for variables in (state.variables, state.ema):
        [logits], [labels] = jax.device_get(predict(variables, every, {}))
        assert (logits.argmax(-1) == labels).mean() == pytest.approx(trained, abs=0.04)
