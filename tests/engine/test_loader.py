"""From stores to batches on the devices: shapes, order, masks, and each host its own rows."""

import dataclasses
import gc
import time
import weakref

import jax
import numpy as np
import pytest
from absl import flags

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.data import preparation
from bcjax.data.input_transform import InputTransform
from bcjax.data.order import Order
from bcjax.data.sources import synthetic
from bcjax.data.store import DeviceStore, load_ahead, open_store
from bcjax.engine.loader import Loader, bytes_needed, whole_batches
from bcjax.engine.plan import Call
from bcjax.engine.step import gather
from bcjax.runtime import mesh as meshes

SIZE = 16
ENTRY = InputTransform(ImageSize.of(SIZE))
BATCH = 8
SEED = 3
ORDER = Order(24, BATCH, SEED)
# Of 24 pictures in batches of 8 an epoch ends within the second call.
CALLS = [Call(0, 2), Call(2, 2), Call(4, 1), Call(5, 1)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    source = synthetic.source(40, size=32)
    return preparation.write_set(
        source, tmp_path_factory.mktemp("sets") / "cells", configs.default().data
    )


@pytest.fixture(scope="module")
def mesh():
    return meshes.create()


def loader(prepared, mesh, kind, split="train", **changes):
    data = configs.default().data
    data.update({"image_size": SIZE, "threads": 2, **changes})
    store = open_store(prepared, split, kind, ENTRY, data.threads)
    return Loader(store, data, mesh)


def on_host(batches):
    return [{name: np.asarray(array) for name, array in batch.items()} for batch in batches]


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


@pytest.mark.parametrize("kind", ["disk", "host", "device"])
def test_training_batches_follow_the_order(prepared, mesh, kind):
    training = loader(prepared, mesh, kind)
    assert training.examples == 24
    batches = list(training.training(CALLS, ORDER))
    whole = open_store(prepared, "train", "host", ENTRY)
    for call, batch in zip(CALLS, batches, strict=True):
        expected = np.stack([ORDER(call.first + i) for i in range(call.steps)])
        np.testing.assert_array_equal(batch["index"], expected)
        assert batch["index"].dtype == np.int32
        assert all(isinstance(array, jax.Array) for array in batch.values())
        for i in range(call.steps):
            one = {name: array[i] for name, array in batch.items()}
            shown = gather(one, training.stored)
            for name, array in whole.arrays.items():
                np.testing.assert_array_equal(shown[name], array[expected[i]])


def test_only_the_device_store_keeps_pictures_on_the_devices(prepared, mesh):
    device = loader(prepared, mesh, "device")
    whole = open_store(prepared, "train", "disk", ENTRY).read(np.arange(24))
    assert {name: array.dtype for name, array in device.stored.items()} == {
        "image": np.uint8,
        "label": np.int32,
    }
    assert_same(on_host([device.stored]), [whole])
    (batch,) = device.training([Call(0, 1)], ORDER)
    assert batch.keys() == {"index"}
    assert loader(prepared, mesh, "host").stored == {}
    assert loader(prepared, mesh, "disk").stored == {}


def test_a_device_that_shares_the_hosts_memory_holds_the_pictures_once(prepared):
    data = configs.default().data
    store = open_store(prepared, "train", "device", ENTRY)
    stored = Loader(store, data, jax.make_mesh((1, 1), ("data", "fsdp"))).stored
    for name, array in store.arrays.items():
        assert np.shares_memory(np.asarray(stored[name]), array)


def test_a_device_store_leaves_no_pictures_on_the_host(prepared, mesh):
    store = DeviceStore({"label": np.zeros(100, np.int32)[1:]})  # which no device takes as it is
    left = weakref.ref(store.arrays["label"])
    kept = Loader(store, configs.default().data, mesh)
    del store
    gc.collect()
    assert left() is None
    assert kept.examples == 99


def test_a_later_start_gives_what_an_unbroken_run_would_get(prepared, mesh):
    training = loader(prepared, mesh, "host")
    unbroken = on_host(training.training(CALLS, ORDER))
    assert_same(on_host(training.training(CALLS[2:], ORDER)), unbroken[2:])


def test_the_batch_after_the_yielded_one_is_on_its_way(prepared, mesh, monkeypatch):
    place, sent = meshes.place, []

    def recorded(*arguments, **options):
        sent.append(place(*arguments, **options))
        return sent[-1]

    monkeypatch.setattr(meshes, "place", recorded)
    sent_by_then = [len(sent) for _ in loader(prepared, mesh, "host").training(CALLS, ORDER)]
    # The first step waits for its own batch alone.
    assert sent_by_then == [1, 3, 4, 4]


@pytest.mark.parametrize(("batch_size", "per_call"), [(3, 1), (3, 2), (8, 4), (20, 1)])
@pytest.mark.parametrize("kind", ["disk", "device"])
def test_once_gives_each_picture_once_and_masks_the_padding(
    prepared, mesh, kind, batch_size, per_call
):
    val = loader(prepared, mesh, kind, split="val")
    whole = open_store(prepared, "val", "host", ENTRY)
    seen = []
    for batch, mask in val.once(batch_size, per_call):
        shown = gather(batch, val.stored)
        assert shown["image"].shape == (per_call, batch_size, SIZE, SIZE, 3)
        index = np.asarray(batch["index"])
        for name, array in whole.arrays.items():
            np.testing.assert_array_equal(shown[name], array[index])
        assert np.array_equal(batch["mask"], mask)
        seen += index[mask].tolist()
    assert seen == list(range(8))


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_the_hosts_rows_are_together_the_same_batches(prepared, mesh, monkeypatch, hosts):
    everything = loader(prepared, mesh, "disk")
    training = on_host(everything.training(CALLS, ORDER))
    evaluation = on_host(batch for batch, _ in everything.once(BATCH))

    # A host's rows, and what it would hand to its devices. The true two processes are tested with
    # the topologies.
    monkeypatch.setattr(meshes, "place", lambda mesh, local, rows, batch_size, leading=0: local)
    rows = np.arange(BATCH).reshape(hosts, -1)
    parts = []
    for own in rows:
        monkeypatch.setattr(meshes, "host_rows", lambda mesh, batch_size, own=own: own)
        host = loader(prepared, mesh, "disk")
        once = [batch for batch, _ in host.once(BATCH)]
        parts.append((list(host.training(CALLS, ORDER)), once))

    for which, calls in enumerate((training, evaluation)):
        for i, whole in enumerate(calls):
            for name, array in whole.items():
                together = np.concatenate([part[which][i][name] for part in parts], axis=1)
                np.testing.assert_array_equal(together, array)


def test_worker_processes_give_what_threads_give(prepared, mesh):
    flags.FLAGS.mark_as_parsed()  # as `main` does: grain's workers read absl's flags
    threads = loader(prepared, mesh, "disk").training(CALLS, ORDER)
    workers = loader(prepared, mesh, "disk", workers=1).training(CALLS, ORDER)
    assert_same(on_host(threads), on_host(workers))


def test_evaluation_batches_are_rounded_up_to_what_the_devices_divide(mesh):
    @dataclasses.dataclass
    class Devices:
        size: int

    assert whole_batches(mesh, 7) == -(-7 // mesh.size) * mesh.size
    assert [whole_batches(Devices(8), size) for size in (1, 8, 9, 64)] == [8, 8, 16, 64]


def test_bytes_needed_are_those_of_the_decoded_arrays(prepared):
    splits = ("train", "val")
    stores = [open_store(prepared, split, "host", ENTRY) for split in splits]
    held = sum(store.arrays["image"].nbytes for store in stores)
    assert bytes_needed(prepared, splits, ImageSize.of(SIZE)) == held


# Loading ahead


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_what_is_loaded_ahead_comes_in_order(threads):
    def slow_at_first(i):
        time.sleep(0.02 if i < 3 else 0)
        return i * 10

    ahead = load_ahead(range(20), slow_at_first, prefetch=4, threads=threads)
    assert list(ahead) == list(range(0, 200, 10))


def test_loading_stays_within_the_prefetch():
    loaded = []

    def load(i):
        loaded.append(i)
        return i

    ahead = load_ahead(range(1000), load, prefetch=3, threads=2)
    assert next(ahead) == 0
    time.sleep(0.1)
    ahead.close()
    # What was taken, what waits, and what the threads were at.
    assert len(loaded) <= 1 + 3 + 2


def test_a_failure_to_load_reaches_the_loop():
    def load(i):
        if i == 5:
            raise OSError("the disk went away")
        return i

    ahead = load_ahead(range(20), load, prefetch=2)
    with pytest.raises(OSError, match="the disk went away"):
        list(ahead)
