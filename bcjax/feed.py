"""From stores on the host to batches on the devices."""

import dataclasses
from collections.abc import Generator, Iterator, Sequence

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax import mesh as meshes
from bcjax.data import pipeline, sampling
from bcjax.data.order import EvalBatch, Order, once
from bcjax.data.prepared import Prepared
from bcjax.data.store import DeviceStore, Store
from bcjax.dispatch import Batch, Pictures
from bcjax.plan import Call

HostBatch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _LoadCall:
    """Loads this host's rows of all batches of a call; picklable, for worker processes."""

    store: Store
    order: Order
    rows: np.ndarray

    def __call__(self, call: Call) -> HostBatch:
        steps = range(call.first, call.first + call.steps)
        index = np.stack([self.order(step)[self.rows] for step in steps])
        read = self.store.read(index.reshape(-1))
        return {"index": index} | {
            name: array.reshape(*index.shape, *array.shape[1:]) for name, array in read.items()
        }


@dataclasses.dataclass(frozen=True)
class _LoadOnce:
    """Loads this host's rows of an evaluation batch."""

    store: Store
    rows: np.ndarray

    def __call__(self, batch: EvalBatch) -> HostBatch:
        index = batch.positions[self.rows]
        return {"index": index} | self.store.read(index)


class Feed:
    """A store, as batches on the devices of a mesh.

    Attributes:
      pictures: What every step takes beside its batch: the device store, or {}.
      examples: Pictures in the store.
    """

    def __init__(self, store: Store, data: ConfigDict, mesh: Mesh):
        """Takes how to load from the config's `data` branch."""
        self._store = store
        self._data = data
        self._mesh = mesh
        self.examples = len(store)
        self.pictures: Pictures = {}
        if isinstance(store, DeviceStore):
            self.pictures = meshes.everywhere(mesh, store.arrays)

    def training(self, calls: Sequence[Call], order: Order) -> Generator[Batch, None, None]:
        """Yields, for each call, batches (steps, B, ...) in an order."""
        rows = meshes.host_rows(self._mesh, order.batch_size)
        load = _LoadCall(self._store, order, rows)
        workers = self._data.workers if self._store.kind == "disk" else 0
        loaded = pipeline.ahead(
            calls, load, prefetch=self._data.prefetch, threads=self._data.threads, workers=workers
        )
        for batch in loaded:
            yield meshes.place(self._mesh, batch, rows, order.batch_size, leading=1)

    def once(self, batch_size: int) -> Iterator[tuple[Batch, np.ndarray]]:
        """Yields batches that cover each picture once, with the mask of those that count."""
        rows = meshes.host_rows(self._mesh, batch_size)
        batches = once(self.examples, batch_size)
        load = _LoadOnce(self._store, rows)
        loaded = pipeline.ahead(
            batches, load, prefetch=self._data.prefetch, threads=self._data.threads
        )
        for batch, local in zip(batches, loaded, strict=True):
            yield meshes.place(self._mesh, local, rows, batch_size), batch.mask


def order_of(config: ConfigDict, prepared: Prepared) -> Order:
    """Returns the order of the training pictures, each as often as the config says.

    Raises:
      UserError: If that cannot be.
    """
    shown = sampling.plan(
        config.train.sampling, config.train.repeat, prepared.counts["train"], prepared.classes
    )
    return Order(
        prepared.size("train"),
        config.train.batch_size,
        config.seed,
        sampling.Sampling(prepared.labels("train"), shown) if shown else None,
    )


def whole_batches(mesh: Mesh, batch_size: int) -> int:
    """Rounds an evaluation batch up to what the devices divide: the padding is masked."""
    return -(-batch_size // mesh.size) * mesh.size


def bytes_needed(prepared: Prepared, splits: Sequence[str], image_size: int) -> int:
    """Bytes of the decoded pictures of these splits."""
    return sum(prepared.size(split) for split in splits) * image_size**2 * 3
