"""Where decoded pictures live between steps: on disk (decoded anew), in RAM, or on the device.

The three give the same pictures bit for bit, since one `InputTransform` makes them all.
"""

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import numpy as np
import psutil
from jaxtyping import Int32

from bcjax.data.decode import BadImageError
from bcjax.data.input_transform import InputTransform
from bcjax.data.prepared import EncodedExamples, PreparedSet
from bcjax.runtime.errors import UserError

Batch = dict[str, np.ndarray]
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")

_PART = 8  # pictures that a thread decodes in one go
_CHUNK = 256  # pictures whose encoded bytes are held at a time
_ALIGNED = 64  # bytes


class DiskStore:
    """Reads and decodes pictures each time they are asked for."""

    kind = "disk"

    def __init__(
        self, examples: EncodedExamples, transform: InputTransform, threads: int | None = None
    ):
        """Makes the store.

        Args:
          examples: The encoded pictures of a split.
          transform: Decodes them.
          threads: Decoding threads; None: one for each core.
        """
        self._examples = examples
        self._transform = transform
        self._threads = threads or os.cpu_count() or 1

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns `image` uint8 (N, height, width, 3) and `label` int32 (N,).

        Raises:
          UserError: If a picture cannot be decoded, or is too large.
        """
        images = _empty((len(index), *self._transform.size, 3), np.uint8)
        labels = _empty((len(index),), np.int32)
        for start in range(0, len(index), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._decode(index[chunk], images[chunk], labels[chunk])
        return {"image": images, "label": labels}

    def _decode(self, index: np.ndarray, images: np.ndarray, labels: np.ndarray) -> None:
        # In one go: a record takes 28 us of a core if 8 are asked for, and 12 us if 256 are.
        examples = self._examples[index]
        labels[:] = [example.label for example in examples]
        parts = range(0, len(index), _PART)
        next_parts, bad = iter(parts), dict[int, BadImageError]()

        def decode() -> None:
            for start in next_parts:
                for i, example in enumerate(examples[start : start + _PART], start):
                    try:
                        images[i] = self._transform(example.image)
                    except BadImageError as error:
                        bad[i] = error

        # The threads share the pictures of a batch, not the batches: so the first batch is ready as
        # early as possible, and more threads than batches loaded ahead have work too.
        threads = _decoding_threads(self._threads)
        for done in [threads.submit(decode) for _ in range(min(self._threads, len(parts)))]:
            done.result()
        if bad:
            first = min(bad)
            raise UserError(
                f"Picture {index[first]} of a prepared split cannot be decoded: {bad[first]}."
            ) from bad[first]


def _empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Returns an array at such an address that JAX on a CPU takes it as it is, and copies nothing.

    numpy's own large arrays never lie there, so a device store would hold its pictures twice.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    space = np.empty(size + _ALIGNED, np.uint8)
    start = -space.ctypes.data % _ALIGNED
    return space[start : start + size].view(dtype).reshape(shape)


@functools.cache
def _decoding_threads(threads: int) -> ThreadPoolExecutor:
    """The threads that decode for all disk stores of this process."""
    return ThreadPoolExecutor(threads, "bcjax-decode")


class HostStore:
    """Arrays in RAM that hold what a step needs of each example; pictures are decoded once."""

    kind = "host"

    def __init__(self, arrays: Mapping[str, Any]):
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays["label"])

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns those rows of each array."""
        return {name: array[index] for name, array in self.arrays.items()}


class DeviceStore(HostStore):
    """A host store whose arrays the devices hold too: a step takes indices and gathers there."""

    kind = "device"

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns nothing: the step finds what it needs at `index` on the device."""
        del index
        return {}


Store: TypeAlias = DiskStore | HostStore  # the pictures of one split, by position


def choose_store(kind: str, needed: int, device_memory: int | None) -> tuple[str, str]:
    """Resolves the store "auto" to the fastest one that fits.

    Args:
      kind: The config's `data.store`.
      needed: Bytes of all decoded pictures.
      device_memory: Bytes of one device; None where the device shares the host's memory.

    Returns:
      The kind, and the reason in a few words.
    """
    size = f"{needed / 1e6:,.0f} MB decoded"
    if kind != "auto":
        return kind, f"asked for; {size}"
    host = psutil.virtual_memory().available
    # A quarter of either leaves room for the network, its activations and the system.
    if needed <= (host if device_memory is None else min(device_memory, host)) // 4:
        return "device", size
    if needed <= host // 2:
        return "host", f"{size}, too much for a quarter of the device's memory"
    return "disk", f"{size}, too much for half of the free memory"


def open_store(
    prepared: PreparedSet,
    split: str,
    kind: str,
    transform: InputTransform,
    threads: int | None = None,
) -> Store:
    """Opens a split as a store of the kind "disk", "host" or "device"."""
    disk = DiskStore(prepared.examples(split), transform, threads)
    if kind == "disk":
        return disk
    whole = disk.read(np.arange(len(disk), dtype=np.int32))
    return (HostStore if kind == "host" else DeviceStore)(whole)


def load_ahead(
    items: Sequence[Item],
    load: Callable[[Item], Loaded],
    *,
    prefetch: int,
    threads: int | None = None,
    workers: int = 0,
) -> Iterator[Loaded]:
    """Yields `load(item)` for each item, in order, while later items are loaded in the background.

    Args:
      items: What to load.
      load: Called in background threads, or in worker processes, for which it must be picklable.
      prefetch: Largest number of results that are held ready.
      threads: Loading threads; None: one for each core.
      workers: Worker processes; 0: none. Starting them takes seconds.
    """
    import grain  # takes a second

    dataset = grain.MapDataset.source(items).map(load)
    options = grain.ReadOptions(
        num_threads=min(threads or os.cpu_count() or 1, prefetch), prefetch_buffer_size=prefetch
    )
    stream = dataset.to_iter_dataset(options)
    if workers:
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    iterator = iter(stream)
    try:
        yield from iterator
    finally:
        iterator.close()
