"""From a store of pictures to batches on the devices: for training, and once over each split."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from bcjax.config import ImageSize
from bcjax.data.input_transform import InputTransform
from bcjax.data.order import ClassSampling, EvalBatch, Order, evaluation_batches, shown_per_class
from bcjax.data.prepared import PreparedSet
from bcjax.data.store import DeviceStore, HostStore, Store, choose_store, load_ahead, open_store
from bcjax.engine import dispatch
from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.plan import Call
from bcjax.engine.state import Variables
from bcjax.runtime import jax_settings
from bcjax.runtime import mesh as meshes

HostBatch = dict[str, np.ndarray]
Shapes = dict[str, jax.ShapeDtypeStruct]
# From a batch to one with another `image`, uint8 (B, H, W, 3): test-time augmentation, corruption.
View = Callable[[Batch, StoredArrays], Batch]

_AT_ONCE = 100_000  # calls whose loading is planned at a time
_IN_FLIGHT = 2  # calls that the host may run ahead of the devices


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
    """Reads the examples at an index of shape (calls, B)."""
    read = store.read(index.reshape(-1))
    return {name: array.reshape(*index.shape, *array.shape[1:]) for name, array in read.items()}


class Loader:
    """Serves a store as batches that are divided over the devices of a mesh.

    Attributes:
      stored: What each step takes beside its batch: the arrays of a device store, or {}.
      examples: Number of pictures in the store.
    """

    def __init__(self, store: Store, data: ConfigDict, mesh: Mesh):
        """Starts no thread and reads nothing yet.

        Args:
          store: The pictures, decoded or not.
          data: The config's `data` branch, which says with how many threads to load.
          mesh: The devices that the batches go to.
        """
        self.stored: StoredArrays = {}
        if isinstance(store, DeviceStore):
            self.stored = meshes.replicate(mesh, store.arrays)
            store = DeviceStore(self.stored)  # the host's own arrays can go
        self._store = store
        self._data = data
        self._mesh = mesh
        self.examples = len(store)

    def training(self, calls: Iterable[Call], order: Order) -> Generator[Batch, None, None]:
        """Yields for each call its batches, arrays of shape (steps, B, ...), in an order.

        A batch is sent to the devices while they compute with those before it: the one after the
        yielded one is under way, and has arrived even where the caller waited for everything that
        it dispatched, as for a log line. So the devices hold one call's batches more than they
        compute with.
        """
        rows, calls = meshes.host_rows(self._mesh, order.batch_size), iter(calls)
        load = _LoadCall(self._store, order, rows)
        workers = self._data.workers if self._store.kind == "disk" else 0
        ahead = {"prefetch": self._data.prefetch, "threads": self._data.threads}
        # In parts: a run that only patience ends may have a billion calls before it.
        parts = iter(lambda: list(itertools.islice(calls, _AT_ONCE)), [])
        loaded = itertools.chain.from_iterable(
            load_ahead(part, load, workers=workers, **ahead) for part in parts
        )
        sent = (meshes.place(self._mesh, b, rows, order.batch_size, leading=1) for b in loaded)
        yield from itertools.islice(sent, 1)  # the first step, and its compilation, wait for it
        waiting: collections.deque[Batch] = collections.deque()
        for batch in sent:
            waiting.append(batch)
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting

    def once(self, batch_size: int, per_call: int = 1) -> Iterator[tuple[Batch, np.ndarray]]:
        """Yields calls of batches (per_call, B, ...) that cover each picture exactly once.

        With each call comes the mask of the rows that count, (per_call, B), on the host.
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


class SplitLoaders:
    """The loaders of a prepared set, one for each split, opened when they are first needed."""

    def __init__(self, prepared: PreparedSet, kind: str, data: ConfigDict, mesh: Mesh):
        """Opens nothing yet.

        Args:
          prepared: The pictures and their splits.
          kind: Where decoded pictures live: "disk", "host" or "device".
          data: The config's `data` branch.
          mesh: The devices that the batches go to.
        """
        self._prepared = prepared
        self._kind = kind
        self._data = data
        self._transform = InputTransform.from_config(data)
        self._mesh = mesh
        self._pictures: dict[str, Loader] = {}

    def pictures(self, split: str) -> Loader:
        """Returns the loader of a split's pictures, which are decoded at the first call."""
        if split not in self._pictures:
            self._pictures[split] = self._loader(self._open(split, self._kind))
        return self._pictures[split]

    def features(
        self, split: str, backbone: Callable, variables: Variables, batch_size: int
    ) -> Loader:
        """Runs a backbone over a split; returns a loader of `features` instead of `image`.

        The features are on the devices where they fit there, else in RAM: the same bits on either.

        Args:
          split: The split, whose pictures are read once and not kept.
          backbone: A compiled `step.predict_step(..., "features")`.
          variables: Parameters and batch statistics of the network.
          batch_size: Pictures at a time.
        """
        pictures = self._loader(self._open(split, "disk"))
        features, labels = predict_split(backbone, variables, pictures, self._mesh, batch_size)
        kind, _ = choose_store("auto", features.nbytes, meshes.device_memory())
        arrays = {"features": features, "label": labels}
        return self._loader(DeviceStore(arrays) if kind == "device" else HostStore(arrays))

    def abstract(
        self, split: str, per_call: int, batch_size: int, *, masked: bool = False
    ) -> tuple[Shapes, Shapes]:
        """Returns the shapes of a call's batches and of the stored arrays; reads nothing.

        Args:
          split: The split of pictures.
          per_call: Batches in a call.
          batch_size: Pictures in a batch.
          masked: Whether the batches are those of an evaluation, which have a mask.
        """
        over, everywhere = (
            meshes.batch_sharding(self._mesh, leading=1),
            meshes.replicated_sharding(self._mesh),
        )
        picture = (*ImageSize.of(self._data.image_size), 3)

        def arrays(sharding: NamedSharding, *leading: int) -> Shapes:
            pixels = jax.ShapeDtypeStruct((*leading, *picture), np.uint8, sharding=sharding)
            labels = jax.ShapeDtypeStruct(leading, np.int32, sharding=sharding)
            return {"image": pixels, "label": labels}

        index = {"index": jax.ShapeDtypeStruct((per_call, batch_size), np.int32, sharding=over)}
        if masked:
            index |= {"mask": jax.ShapeDtypeStruct((per_call, batch_size), bool, sharding=over)}
        if self._kind == "device":
            return index, arrays(everywhere, self._prepared.size(split))
        return index | arrays(over, per_call, batch_size), {}

    def _open(self, split: str, kind: str) -> Store:
        return open_store(self._prepared, split, kind, self._transform, self._data.threads)

    def _loader(self, store: Store) -> Loader:
        return Loader(store, self._data, self._mesh)


def training_batches(config: ConfigDict, prepared: PreparedSet, steps: int) -> Iterator[Batch]:
    """Yields the batch of each training step, for a training loop of your own.

    Args:
      config: A resolved config; `seed`, `train.batch_size`, `train.sampling`,
        `train.epoch_size` and `train.repeat` decide the order.
      prepared: The pictures.
      steps: The number of steps.

    Yields:
      `image` uint8 (B, H, W, 3), `label` int32 (B,) and `index` int32 (B,), on all devices.
    """
    mesh = meshes.create(config.mesh.fsdp)
    loader = SplitLoaders(prepared, "host", config.data, mesh).pictures("train")
    calls = [Call(step, 1) for step in range(steps)]
    for batches in loader.training(calls, order_of(config, prepared)):
        yield {name: array[0] for name, array in batches.items()}


@jax_settings.fixed()
def predict_split(
    predict: Callable,
    variables: Variables,
    loader: Loader,
    mesh: Mesh,
    batch_size: int,
    view: View | None = None,
) -> tuple[Float[np.ndarray, "N C"], Int[np.ndarray, "N"]]:
    """Runs a network once over each picture of a split, in the split's order.

    Args:
      predict: A compiled step from `dispatch.compile_predict`.
      variables: Parameters and batch statistics of the network.
      loader: The loader of the split.
      mesh: The devices that share a batch.
      batch_size: Pictures at a time, rounded up to a multiple of the devices.
      view: Changes the pictures of each batch before the network sees them.

    Returns:
      Logits (or features, if `predict` returns those), float32, and labels.
    """
    batch_size = whole_batches(mesh, min(batch_size, loader.examples))
    fetched: list[tuple[np.ndarray, np.ndarray]] = []
    in_flight: collections.deque[tuple[Any, np.ndarray]] = collections.deque()

    def fetch() -> None:
        output, mask = in_flight.popleft()
        logits, labels = jax.device_get(output)
        fetched.append((logits[mask], labels[mask]))

    for batches, mask in loader.once(batch_size, 1 if view else dispatch.per_call()):
        stored = loader.stored
        if view:
            one = {name: array[0] for name, array in batches.items()}
            changed = view(jax.device_put(one, meshes.batch_sharding(mesh)), stored)
            call = {name: array[None] for name, array in changed.items()}
            batches, stored = jax.device_put(call, meshes.batch_sharding(mesh, leading=1)), {}
        in_flight.append((predict(variables, batches, stored), mask))
        if len(in_flight) > _IN_FLIGHT:  # so the devices compute while the host fetches
            fetch()
    while in_flight:
        fetch()
    logits, labels = zip(*fetched, strict=True)
    return np.concatenate(logits), np.concatenate(labels)


def order_of(config: ConfigDict, prepared: PreparedSet) -> Order:
    """Returns the order of the training pictures, each as often as the config says.

    Raises:
      UserError: If the sampling that the config describes is not possible.
    """
    shown = shown_per_class(
        config.train.sampling,
        config.train.epoch_size,
        config.train.repeat,
        prepared.counts["train"],
        prepared.classes,
    )
    return Order(
        prepared.size("train"),
        config.train.batch_size,
        config.seed,
        ClassSampling(prepared.labels("train"), shown) if shown else None,
        config.train.shown,
    )


def whole_batches(mesh: Mesh, batch_size: int) -> int:
    """Rounds an evaluation batch up to a multiple of the devices: the padding is masked."""
    return -(-batch_size // mesh.size) * mesh.size


def bytes_needed(prepared: PreparedSet, splits: Sequence[str], size: ImageSize) -> int:
    """Returns the bytes that the decoded pictures of these splits take."""
    return sum(prepared.size(split) for split in splits) * size.pixels * 3
