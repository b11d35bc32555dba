"""What is said of the input path: rates of what was fed, not of what lay ready."""

import contextlib
import itertools
import time

import numpy as np
import pytest
import quick_config

from bcjax import config as configs
from bcjax.benchmark import input as measuring
from bcjax.benchmark.training import TimedRun
from bcjax.data.order import Order
from bcjax.data.store import HostStore
from bcjax.engine.loader import Loader
from bcjax.runtime import mesh as meshes

BATCH = 8


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    config = quick_config.get_config()
    config.workdir = str(tmp_path_factory.mktemp("run"))
    with contextlib.closing(TimedRun(config)) as run:
        state = run.state
        found = measuring.measure_input(run, seconds=0.02)
        assert run.state is state
    return found


def test_each_store_has_its_rate_and_what_it_cannot_feed(measured):
    for kind in ("disk", "host", "device"):
        store = getattr(measured, kind)
        assert store.images_per_s < store.starves_from_images_per_s <= store.images_per_s + 1


def test_what_is_moved_is_told_in_bytes_too(measured):
    assert measured.decoded_kb == 16 * 16 * 3 / 1e3
    for part, each in (
        ("read", "encoded_kb"),
        ("gather", "decoded_kb"),
        ("transfer", "decoded_kb"),
    ):
        rate = getattr(measured, part)
        bytes_per_s = rate.images_per_s * getattr(measured, each) * 1e3
        assert rate.mb_per_s == pytest.approx(bytes_per_s / 1e6)
    assert measured.decode.images_per_s > 0


def test_what_the_figures_depend_on_stands_beside_them(measured):
    data = configs.default().data
    asked = (measured.threads, measured.workers, measured.prefetch)
    assert asked == (data.threads, data.workers, data.prefetch)
    assert measured.pictures == 56


class Slow(HostStore):
    """Takes its time for a batch."""

    seconds = 0.01

    def read(self, index):
        time.sleep(self.seconds)
        return super().read(index)


@pytest.mark.parametrize("prefetch", [1, 4])
def test_what_was_loaded_before_the_clock_ran_is_not_counted(prefetch):
    data = configs.default().data
    data.update({"prefetch": prefetch, "threads": 1})
    store = Slow({"label": np.zeros(24, np.int32)})
    feed = Loader(store, data, meshes.create())
    rate = measuring.fed(feed, Order(24, BATCH, 0), 1, prefetch, seconds=0.3)
    assert 0 < rate < 1.1 * BATCH / Slow.seconds


def test_a_rate_is_counted_on_the_clock_that_is_given():
    done = []
    ticks = itertools.count()
    rate = measuring.repeated(lambda: done.append(None), 10, lambda: next(ticks))
    assert rate == len(done) / 10
