"""From stores on the host to batches on the devices."""

import collections
import dataclasses
import itertools
from collections.abc import Generator, Iterator, Sequence

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from bcjax.data.order import ClassSampling, EvalBatch, Order, evaluation_batches, shown_per_class
from bcjax.data.prepared import PreparedSet
from bcjax.data.store import DeviceStore, Store, load_ahead
from bcjax.engine.dispatch import Batch, Pictures
from bcjax.engine.plan import Call
from bcjax.runtime import mesh as meshes

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
        return {"index": index} | _read(self.store, index)


@dataclasses.dataclass(frozen=True)
class _LoadOnce:
    """Loads this host's rows of all evaluation batches of a call."""

    store: Store
    rows: np.ndarray

    def __call__(self, batches: Sequence[EvalBatch]) -> HostBatch:
        index = np.stack([batch.positions[self.rows] for batch in batches])
        mask = np.stack([batch.mask[self.rows] for batch in batches])
        return {"index": index, "mask": mask} | _read(self.store, index)


def _read(store: Store, index: np.ndarray) -> HostBatch:
    """Reads what lies at an index (calls, B)."""
    read = store.read(index.reshape(-1))
    return {name: array.reshape(*index.shape, *array.shape[1:]) for name, array in read.items()}


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
        """Yields, for each call, batches (steps, B, ...) in an order.

        A batch is sent to the devices while those before it are computed with: what follows the
        yielded one is on its way, and there even where the caller has waited for all that it
        dispatched, as for a log line. So the devices hold one call's batches more than they compute
        with.
        """
        rows = meshes.host_rows(self._mesh, order.batch_size)
        load = _LoadCall(self._store, order, rows)
        workers = self._data.workers if self._store.kind == "disk" else 0
        loaded = load_ahead(
            calls, load, prefetch=self._data.prefetch, threads=self._data.threads, workers=workers
        )
        sent = (meshes.place(self._mesh, b, rows, order.batch_size, leading=1) for b in loaded)
        yield from itertools.islice(sent, 1)  # which the first step, and its compilation, wait for
        waiting: collections.deque[Batch] = collections.deque()
        for batch in sent:
            waiting.append(batch)
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting

    def once(self, batch_size: int, per_call: int = 1) -> Iterator[tuple[Batch, np.ndarray]]:
        """Yields calls of batches (per_call, B, ...) that cover each picture once.

        With each comes the mask of those that count, (per_call, B), on the host.
        """
        rows = meshes.host_rows(self._mesh, batch_size)
        batches = evaluation_batches(self.examples, batch_size)
        padding = EvalBatch(np.zeros(batch_size, np.int32), np.zeros(batch_size, bool))
        batches += [padding] * (-len(batches) % per_call)
        calls = [batches[i : i + per_call] for i in range(0, len(batches), per_call)]
        load = _LoadOnce(self._store, rows)
        loaded = load_ahead(calls, load, prefetch=self._data.prefetch, threads=self._data.threads)
        for call, local in zip(calls, loaded, strict=True):
            mask = np.stack([batch.mask for batch in call])
            yield meshes.place(self._mesh, local, rows, batch_size, leading=1), mask


def order_of(config: ConfigDict, prepared: PreparedSet) -> Order:
    """Returns the order of the training pictures, each as often as the config says.

    Raises:
      UserError: If that cannot be.
    """
    shown = shown_per_class(
        config.train.sampling, config.train.repeat, prepared.counts["train"], prepared.classes
    )
    return Order(
        prepared.size("train"),
        config.train.batch_size,
        config.seed,
        ClassSampling(prepared.labels("train"), shown) if shown else None,
    )


def whole_batches(mesh: Mesh, batch_size: int) -> int:
    """Rounds an evaluation batch up to what the devices divide: the padding is masked."""
    return -(-batch_size // mesh.size) * mesh.size


def bytes_needed(prepared: PreparedSet, splits: Sequence[str], image_size: int) -> int:
    """Bytes of the decoded pictures of these splits."""
    return sum(prepared.size(split) for split in splits) * image_size**2 * 3
