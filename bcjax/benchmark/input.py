"""The input path alone: what each store can feed a step, and what that is made of."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bcjax.benchmark.figures import Figures
from bcjax.benchmark.training import TimedRun
from bcjax.data.input_transform import InputTransform
from bcjax.data.order import Order
from bcjax.data.prepared import EncodedExamples
from bcjax.data.store import DeviceStore, DiskStore, HostStore, Store
from bcjax.engine.loader import Loader
from bcjax.engine.plan import Call
from bcjax.runtime import mesh as meshes

_HELD = 1 << 29  # bytes of decoded pictures: more than caches hold, and soon decoded
_SAMPLE = 256  # pictures that a core decodes, over and over


@dataclasses.dataclass(frozen=True)
class _Calls(Sequence):
    """Calls of so many steps, one after the other, more than are ever asked for."""

    steps: int

    def __len__(self) -> int:
        return 1 << 31

    def __getitem__(self, position: Any) -> Any:
        return Call(position * self.steps, self.steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreRate(Figures):
    """What a store can feed.

    Attributes:
      images_per_s: As `fed` says.
      starves_from_images_per_s: The least whole rate of training that it cannot feed.
    """

    images_per_s: float
    starves_from_images_per_s: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartRate(Figures):
    """What a part of the input path can do; in bytes too where it moves them."""

    images_per_s: float
    mb_per_s: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputRates(Figures):
    """The input path, and what its rates depend on.

    Attributes:
      disk: Pictures decoded from files.
      host: Decoded pictures in RAM.
      device: Decoded pictures on the devices.
      read: Encoded pictures, from the files.
      gather: Decoded ones, in RAM.
      transfer: To the devices.
      decode: By one core.
      threads: As configured; None: one for each core.
      workers: As configured.
      prefetch: As configured.
      pictures: Pictures that the stores in memory held.
      encoded_kb: Mean of an encoded picture.
      decoded_kb: Of a decoded one.
    """

    disk: StoreRate
    host: StoreRate
    device: StoreRate
    read: PartRate
    gather: PartRate
    transfer: PartRate
    decode: PartRate
    threads: int | None
    workers: int
    prefetch: int
    pictures: int
    encoded_kb: float
    decoded_kb: float


def measure_input(run: TimedRun, seconds: float = 2.0) -> InputRates:
    """Measures how fast each kind of store delivers training pictures, and the parts of that.

    Nothing else computes meanwhile: on a CPU a training loop shares the cores with its store. Files
    in the system's cache are read from there.

    Args:
      run: Its config says how pictures enter and how they are loaded ahead.
      seconds: The length of each measurement.
    """
    config = run.config
    examples, entry = run.run.prepared.examples("train"), InputTransform.from_config(config.data)
    disk = DiskStore(examples, entry, config.data.threads)
    batch_size, per_call = config.train.batch_size, run.plan.steps_per_call
    bytes_each = entry.size.pixels * 3
    held = min(len(disk), max(batch_size, _HELD // bytes_each))
    arrays = disk.read(np.arange(held, dtype=np.int32))
    order = Order(held, batch_size, config.seed)

    host = HostStore(arrays)
    stores: tuple[Store, ...] = (disk, host, DeviceStore(arrays))
    figures: dict[str, Any] = {}
    for store in stores:
        rate = fed(
            Loader(store, config.data, run.run.mesh), order, per_call, config.data.prefetch, seconds
        )
        figures[store.kind] = StoreRate(
            images_per_s=rate, starves_from_images_per_s=math.floor(rate) + 1
        )

    index = np.concatenate([order(step) for step in range(per_call)])
    encoded = sum(len(example.image) for example in examples[index]) / len(index)
    rows = meshes.host_rows(run.run.mesh, batch_size)
    shown = host.read(index)["image"].reshape(per_call, batch_size, *arrays["image"].shape[1:])
    local = {"image": shown[:, rows]}

    def send() -> None:
        jax.block_until_ready(meshes.place(run.run.mesh, local, rows, batch_size, leading=1))

    for name, work, each in (
        ("read", lambda: examples[index], encoded),
        ("gather", lambda: host.read(index), bytes_each),
        ("transfer", send, bytes_each),
    ):
        rate = len(index) * repeated(work, seconds)
        figures[name] = PartRate(images_per_s=rate, mb_per_s=rate * each / 1e6)
    return InputRates(
        **figures,
        decode=PartRate(images_per_s=decoded(examples, entry, seconds)),
        threads=config.data.threads,
        workers=config.data.workers,
        prefetch=config.data.prefetch,
        pictures=held,
        encoded_kb=encoded / 1e3,
        decoded_kb=bytes_each / 1e3,
    )


def fed(loader: Loader, order: Order, per_call: int, prefetch: int, seconds: float) -> float:
    """Returns images/s of a loader whose batches are waited for on the devices, and thrown away.

    Args:
      loader: The loader of the training pictures.
      order: Their order.
      per_call: The steps of a call.
      prefetch: Calls that it loads ahead. So many are left out, for the clock was not running yet
        when they were loaded; the start of worker processes goes with them.
      seconds: The time after which it ends.
    """
    with contextlib.closing(loader.training(_Calls(per_call), order)) as batches:
        for batch in itertools.islice(batches, prefetch + 1):
            jax.block_until_ready(batch)
        times = repeated(lambda: jax.block_until_ready(next(batches)), seconds)
    return times * per_call * order.batch_size


def decoded(examples: EncodedExamples, entry: InputTransform, seconds: float) -> float:
    """Returns images/s that one core makes of encoded pictures, to the square.

    Counted in the thread's own CPU time, so that whatever else the machine does is left out.

    Args:
      examples: The encoded pictures; some from all over the split are decoded.
      entry: That decodes.
      seconds: The time after which it ends.
    """
    positions = np.linspace(0, len(examples) - 1, min(_SAMPLE, len(examples))).astype(np.int32)
    encoded = [example.image for example in examples[positions]]
    return repeated(lambda: [entry(each) for each in encoded], seconds, time.thread_time) * len(
        encoded
    )


def repeated(
    work: Callable[[], Any], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Returns how often in a second `work` is done, over at least so many seconds of a clock."""
    began, count = clock(), 0
    while (took := clock() - began) < seconds:
        work()
        count += 1
    return count / took
