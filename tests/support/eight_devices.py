"""What must hold on several devices: run by test_mesh.py in a process that has eight of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P
from tiny import Network, batches, pictures, placed, same_bits, trainer

from bcjax.augment.policy import build
from bcjax.augment.table import OPS
from bcjax.engine.checkpoint import Checkpoints
from bcjax.engine.step import METRICS
from bcjax.evaluation import views
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

STEPS, BATCH = 20, 16
AUGMENT = ("turn", "rand_augment(1, 9, spread=3, ops=(rotate, equalise))", "one_of(mixup, cutmix)")
MESHES = ("8x1", "4x2", "1x1")


@pytest.fixture(scope="module")
def mesh_of():
    axes = {"axis_types": (jax.sharding.AxisType.Auto,) * 2}
    one = jax.make_mesh((1, 1), meshes.BATCH_AXES, **axes, devices=jax.devices()[:1])
    return {"8x1": meshes.create(), "4x2": meshes.create(2), "1x1": one}


@pytest.fixture(scope="module")
def trainer_of(mesh_of):
    """All that is random, or is over the whole batch; whatever `fsdp` can divide is divided."""
    model = Network(dropout=0.5)
    options = {"ops": AUGMENT, "ema": 0.9, "fsdp_min_size": 8}
    return {name: trainer(mesh, model, **options) for name, mesh in mesh_of.items()}


@pytest.fixture(scope="module")
def trained(mesh_of, trainer_of):
    """State and metrics after some steps on each mesh."""
    ends = {}
    for name, mesh in mesh_of.items():
        one = trainer_of[name]
        ends[name] = one.call(one.init(), placed(mesh, batches(STEPS, BATCH)), {})
    return ends


@pytest.mark.parametrize(("fsdp", "shape"), [(1, (8, 1)), (2, (4, 2)), (8, (1, 8))])
def test_a_mesh_holds_all_devices(fsdp, shape):
    mesh = meshes.create(fsdp)
    assert mesh.devices.shape == shape
    assert set(mesh.devices.flat) == set(jax.devices())


def test_fsdp_must_divide_the_devices():
    with pytest.raises(UserError, match="fsdp is 3: it must divide the 8 devices"):
        meshes.create(3)


def test_a_batch_must_be_divided_equally():
    meshes.check_batch(meshes.create(2), 16)
    with pytest.raises(UserError, match=r"A batch of 20 .* over 8 devices: use 16 or 24"):
        meshes.check_batch(meshes.create(), 20)
    with pytest.raises(UserError, match=r"use 8\."):
        meshes.check_batch(meshes.create(), 4)


@pytest.mark.parametrize("fsdp", [1, 2])
@pytest.mark.parametrize("leading", [0, 1])
def test_rows_are_placed_where_they_belong(fsdp, leading):
    mesh = meshes.create(fsdp)
    rows = meshes.host_rows(mesh, BATCH)
    assert rows.tolist() == list(range(BATCH))  # one process holds them all
    shape = (3,) * leading + (BATCH, 2)
    host = {"image": np.arange(np.prod(shape), dtype=np.int32).reshape(shape)}
    image = meshes.place(mesh, host, rows, BATCH, leading=leading)["image"]
    assert np.array_equal(image, host["image"])
    assert image.sharding.spec == P(*[None] * leading, ("data", "fsdp"))
    for shard in image.addressable_shards:
        assert shard.data.shape == (3,) * leading + (BATCH // 8, 2)
        assert np.array_equal(shard.data, host["image"][shard.index])


def test_large_leaves_are_divided_over_their_longest_axis():
    shapes = {
        "matrix": (64, 128), "odd longest": (64, 129), "odd": (63, 129), "small": (2, 4),
        "vector": (4096,), "kernel": (3, 3, 32, 64), "square": (64, 64), "scalar": (),
    }  # fmt: skip
    tree = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    specs = jax.tree.map(lambda s: s.spec, meshes.parameter_shardings(meshes.create(2), tree, 1024))
    assert specs == {
        "matrix": P(None, "fsdp"), "odd longest": P("fsdp"), "odd": P(), "small": P(),
        "vector": P("fsdp"), "kernel": P(None, None, None, "fsdp"), "square": P("fsdp"),
        "scalar": P(),
    }  # fmt: skip
    alone = meshes.parameter_shardings(meshes.create(), tree, 0)
    assert all(sharding.is_fully_replicated for sharding in jax.tree.leaves(alone))


def test_host_arrays_are_copied_to_every_device():
    tree = {"image": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    image = meshes.replicate(meshes.create(2), tree)["image"]
    assert image.sharding.is_fully_replicated
    assert all(np.array_equal(shard.data, tree["image"]) for shard in image.addressable_shards)


@pytest.mark.parametrize("name", MESHES)
def test_the_state_lives_where_it_was_told_from_the_first_step_to_the_last(
    trainer_of, trained, name
):
    told = jax.tree.map(lambda leaf: leaf.sharding, trainer_of[name].abstract)
    for state in (trainer_of[name].init(), trained[name][0]):
        lives = jax.tree.map(lambda leaf: leaf.sharding, state)
        assert jax.tree.all(
            jax.tree.map(lambda a, b, leaf: a.is_equivalent_to(b, leaf.ndim), lives, told, state)
        )
    divided = [not sharding.is_fully_replicated for sharding in jax.tree.leaves(told)]
    assert any(divided) == (name == "4x2")


def test_moments_and_averages_are_divided_as_their_parameters(trainer_of):
    state = trainer_of["4x2"].abstract
    for like in (state.opt_state[0].mu, state.opt_state[0].nu, state.ema["params"]):
        same = jax.tree.map(lambda a, b: a.sharding == b.sharding, like, state.params)
        assert jax.tree.all(same)


def test_every_mesh_begins_with_the_same_state(trainer_of):
    states = [trainer_of[name].init() for name in MESHES]
    assert same_bits(states[0], states[1])
    assert same_bits(states[0], states[2])


@pytest.mark.parametrize("name", ["8x1", "4x2"])
def test_losses_are_those_of_one_device(trained, name):
    """The same augmentation and dropout, and batch norm over the whole batch, or they differ."""
    alone, here = (np.asarray(trained[name][1]) for name in ("1x1", name))
    loss = METRICS.index("loss")
    np.testing.assert_allclose(here[:, loss], alone[:, loss], rtol=1e-5)
    assert np.ptp(alone[:, loss]) > 1  # each step has a loss of its own


@pytest.mark.parametrize("name", ["8x1", "4x2"])
def test_the_device_store_gives_the_batches_of_the_host(mesh_of, trainer_of, name):
    mesh, one, store = mesh_of[name], trainer_of[name], pictures(40)
    index = np.random.default_rng(0).permutation(40)[:BATCH].reshape(1, BATCH).astype(np.int32)
    host = {"index": index} | {key: array[index] for key, array in store.items()}
    ends = one.call(one.init(), placed(mesh, host), {})
    only = placed(mesh, {"index": index})
    assert same_bits(ends, one.call(one.init(), only, meshes.replicate(mesh, store)))


def test_micro_batches_are_divided_over_all_devices(mesh_of):
    mesh, options = mesh_of["8x1"], {"optimizer": optax.sgd(0.5)}
    whole = trainer(mesh, Network(norm=False), **options)
    parts = trainer(mesh, Network(norm=False), accumulate=2, **options)
    host = batches(1, BATCH)
    (one, rows), (other, more) = (t.call(t.init(), placed(mesh, host), {}) for t in (whole, parts))
    np.testing.assert_allclose(rows, more, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.params, other.params)


@pytest.mark.parametrize(
    ("written", "read"), [("8x1", "1x1"), ("4x2", "1x1"), ("1x1", "4x2"), ("8x1", "4x2")]
)
def test_a_checkpoint_is_read_onto_another_mesh(trainer_of, trained, tmp_path, written, read):
    state = trained[written][0]
    checkpoints = Checkpoints(tmp_path, keep=1, metric="accuracy")
    checkpoints.save(state, {"evaluation": None})
    checkpoints.wait()
    abstract = trainer_of[read].abstract
    restored = checkpoints.restore_latest([abstract])
    assert same_bits(restored, state)
    assert jax.tree.all(
        jax.tree.map(lambda leaf, told: leaf.sharding == told.sharding, restored, abstract)
    )
    averages = checkpoints.restore_variables(STEPS, {"ema": abstract.ema})["ema"]
    assert same_bits(averages, state.ema)
    checkpoints.close()


def test_every_augmentation_is_the_same_on_every_mesh(mesh_of):
    """All of them in one list, each at its own magnitude."""
    policy = build((*OPS, "one_of(mixup, cutmix)"))
    images = np.random.default_rng(0).random((BATCH, 16, 16, 3), np.float32)
    index = np.arange(BATCH, dtype=np.int32)

    def on(mesh):
        rows, everywhere = meshes.batch_sharding(mesh), meshes.replicated_sharding(mesh)
        program = jax.jit(policy, in_shardings=(everywhere, rows, rows, everywhere))
        shown, share = program(jax.random.key(0), images, index, policy.numbers)
        return np.asarray(shown), float(share)

    shown, share = on(mesh_of["1x1"])
    assert np.abs(shown - images).max() > 0.1
    others, other_share = on(mesh_of["8x1"])
    np.testing.assert_allclose(others, shown, atol=1e-5)
    assert other_share == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("name", MESHES)
def test_a_view_is_divided_as_its_batch_is(mesh_of, name):
    mesh, store = mesh_of[name], pictures(BATCH)
    rows = meshes.host_rows(mesh, BATCH)
    index = np.arange(BATCH, dtype=np.int32)
    batch = meshes.place(mesh, {"index": index}, rows, BATCH)
    shown = views.parse("turn")[1](batch, meshes.replicate(mesh, store))
    assert np.array_equal(shown["image"], np.rot90(store["image"], -1, axes=(1, 2)))
    for array in shown.values():
        assert array.sharding.is_equivalent_to(meshes.batch_sharding(mesh), array.ndim)
