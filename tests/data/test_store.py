"""Wherever the decoded pictures live, they are the same pictures."""

import pickle
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from patience import PATIENCE

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.data import preparation
from bcjax.data.decode import BadImageError
from bcjax.data.input_transform import CellMask, InputTransform
from bcjax.data.sources import synthetic
from bcjax.data.stain import Macenko
from bcjax.data.store import DeviceStore, DiskStore, HostStore, choose_store, open_store
from bcjax.runtime.errors import UserError

SIZE = 20
# All that can be done to a picture on entry, for what is told apart less would hide more.
ENTRY = InputTransform(
    ImageSize.of(SIZE),
    resize="pad",
    pad_colour=(9, 90, 200),
    mask=CellMask((150, 36, 40), (244, 255, 255)),
    stain=Macenko(),
)
KINDS = ("disk", "host", "device")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    source = synthetic.source(80, size=48)
    return preparation.write_set(
        source, tmp_path_factory.mktemp("sets") / "cells", configs.default().data
    )


@pytest.fixture(scope="module")
def stores(prepared):
    return {kind: open_store(prepared, "train", kind, ENTRY, threads=2) for kind in KINDS}


def test_each_kind_is_what_was_asked_for(stores):
    assert [type(store) for store in stores.values()] == [DiskStore, HostStore, DeviceStore]
    assert [store.kind for store in stores.values()] == list(KINDS)
    assert {len(store) for store in stores.values()} == {56}


def test_the_three_stores_hold_the_same_bits(stores):
    index = np.random.default_rng(0).integers(0, 56, 100).astype(np.int32)
    disk, host = stores["disk"].read(index), stores["host"].read(index)
    assert disk["image"].shape == (100, SIZE, SIZE, 3)
    assert disk["image"].dtype == np.uint8
    assert disk["label"].dtype == np.int32
    for name in ("image", "label"):
        np.testing.assert_array_equal(host[name], disk[name])
        np.testing.assert_array_equal(stores["device"].arrays[name][index], disk[name])


def test_the_device_store_takes_nothing_from_the_host(stores):
    assert stores["device"].read(np.arange(4, dtype=np.int32)) == {}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_position_i_is_the_ith_picture_of_the_split(prepared, split):
    records = {record.id: record for record in synthetic.source(80, size=48).records}
    ids = prepared.ids(split)
    assert prepared.size(split) == len(ids)
    backwards = np.arange(len(ids))[::-1]
    read = open_store(prepared, split, "disk", ENTRY).read(backwards)
    for i, image, label in zip(backwards, read["image"], read["label"], strict=True):
        record = records[ids[i]]
        assert label == record.label
        np.testing.assert_array_equal(image, ENTRY(record.read()))


def test_the_number_of_threads_changes_nothing(prepared, stores):
    one = open_store(prepared, "train", "host", ENTRY, threads=1)
    np.testing.assert_array_equal(one.arrays["image"], stores["host"].arrays["image"])


class Together:
    """Stands for an entry that only decodes in two threads at once."""

    size = ImageSize.of(SIZE)

    def __init__(self):
        self._both = threading.Barrier(2)

    def __call__(self, encoded):
        self._both.wait(timeout=PATIENCE)
        return np.zeros((SIZE, SIZE, 3), np.uint8)


def test_the_threads_share_one_batch(prepared):
    read = DiskStore(prepared.examples("train"), Together(), threads=2).read(np.arange(16))
    assert read["image"].shape == (16, SIZE, SIZE, 3)


def test_a_picture_that_cannot_be_decoded_is_said_by_whoever_reads(prepared):
    class Broken:
        size = ImageSize.of(SIZE)

        def __call__(self, encoded):
            raise BadImageError("half a picture")

    with pytest.raises(UserError, match=r"Picture 0 .* cannot be decoded: half a picture"):
        DiskStore(prepared.examples("train"), Broken(), threads=2).read(np.arange(20))


def test_of_several_pictures_that_cannot_be_decoded_the_first_is_named(prepared):
    class Broken:
        """The first picture fails long after the last one has."""

        size = ImageSize.of(SIZE)

        def __init__(self):
            self._late = threading.Event()

        def __call__(self, encoded):
            if encoded == last:
                self._late.set()
            else:
                self._late.wait(timeout=PATIENCE)
            raise BadImageError("half a picture")

    examples = prepared.examples("train")
    last = examples[[9]][0].image
    with pytest.raises(UserError, match=r"Picture 3 of"):
        DiskStore(examples, Broken(), threads=2).read(np.array([3] * 8 + [9] * 8))


def test_nothing_more_is_decoded_after_a_picture_that_cannot_be(prepared):
    class Broken:
        size = ImageSize.of(SIZE)

        def __init__(self):
            self.first, self.decoded = threading.Event(), 0

        def __call__(self, encoded):
            if encoded == bad:
                self.first.set()
                raise BadImageError("half a picture")
            self.first.wait(timeout=PATIENCE)
            time.sleep(0.001)
            self.decoded += 1
            return np.zeros((SIZE, SIZE, 3), np.uint8)

    examples, broken = prepared.examples("train"), Broken()
    bad = examples[[0]][0].image
    with pytest.raises(UserError, match=r"Picture 0 of"):
        DiskStore(examples, broken, threads=2).read(np.array([0] + [1] * 3000))
    assert broken.decoded < 3000


def test_a_disk_store_that_has_read_can_be_sent_to_a_worker(prepared, stores):
    index = np.arange(9, dtype=np.int32)
    read = stores["disk"].read(index)
    sent = pickle.loads(pickle.dumps(stores["disk"]))
    np.testing.assert_array_equal(sent.read(index)["image"], read["image"])


@pytest.mark.parametrize(
    ("needed", "device_memory", "kind", "reason"),
    [
        (100, 400, "device", "0 MB decoded"),
        (101, 400, "host", "a quarter of the device's memory"),
        (250, 10_000, "device", "decoded"),  # what is put on the device is in RAM before
        (251, 10_000, "host", "a quarter"),
        (500, 400, "host", "a quarter"),
        (501, 400, "disk", "half of the free memory"),
        (250, None, "device", "decoded"),
        (251, None, "host", "a quarter"),
        (501, None, "disk", "half of the free memory"),
    ],
)
def test_auto_is_the_fastest_that_fits(monkeypatch, needed, device_memory, kind, reason):
    free = SimpleNamespace(available=1000 * 10**6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    memory = None if device_memory is None else device_memory * 10**6
    chosen, why = choose_store("auto", needed * 10**6, memory)
    assert chosen == kind
    assert reason in why
    assert f"{needed} MB decoded" in why


@pytest.mark.parametrize("asked", KINDS)
def test_what_is_asked_for_is_taken_whatever_it_needs(asked):
    chosen, why = choose_store(asked, 10**15, 1)
    assert chosen == asked
    assert why == "asked for; 1,000,000,000 MB decoded"
