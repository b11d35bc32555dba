"""Where decoded pictures live between steps: on disk (decoded anew), in RAM, or on the device.

The three give the same pictures bit for bit: one `Entry` makes them, whoever calls it.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import psutil
from jaxtyping import Int32

from bcjax.data.entry import Entry
from bcjax.data.prepared import Examples, Prepared

Batch = dict[str, np.ndarray]

_PART = 8  # pictures that a thread decodes in one go
_CHUNK = 256  # pictures whose encoded bytes are held while a whole split is decoded


class Store(Protocol):
    """The pictures of one split, by position."""

    kind: str

    def __len__(self) -> int: ...

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns what a step needs of these pictures from the host."""
        ...


class DiskStore:
    """Reads and decodes pictures each time they are asked for."""

    kind = "disk"

    def __init__(self, examples: Examples, entry: Entry, threads: int | None = None):
        """Reads `examples`, and decodes them in so many threads; 0: one per core."""
        self._examples = examples
        self._entry = entry
        self._threads = threads or os.cpu_count() or 1

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns `image` uint8 (N, size, size, 3) and `label` int32 (N,)."""
        examples = self._examples[index]
        images = np.empty((len(examples), self._entry.size, self._entry.size, 3), np.uint8)

        def decode(start: int) -> None:
            for i, example in enumerate(examples[start : start + _PART], start):
                images[i] = self._entry(example.image)

        # The threads share the pictures of a batch, not the batches: so the first batch is there as
        # early as can be, and more threads than batches loaded ahead have work too.
        list(_decoders(self._threads).map(decode, range(0, len(examples), _PART)))
        return {"image": images, "label": np.array([e.label for e in examples], np.int32)}


@functools.cache
def _decoders(threads: int) -> ThreadPoolExecutor:
    """The threads that decode, for all disk stores of this process."""
    return ThreadPoolExecutor(threads, "bcjax-decode")


class HostStore:
    """What a step needs of each example, in arrays in RAM: of pictures, decoded once."""

    kind = "host"

    def __init__(self, arrays: Batch):
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays["label"])

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns those rows of each array."""
        return {name: array[index] for name, array in self.arrays.items()}


class DeviceStore(HostStore):
    """A host store whose arrays the devices hold too: a step gathers there, given indices."""

    kind = "device"

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns nothing: the step finds what it needs at `index` on the device."""
        del index
        return {}


def decoded(disk: DiskStore) -> Batch:
    """Returns `image` uint8 (N, size, size, 3) and `label` int32 (N,) of all pictures."""
    whole: Batch = {}
    for start in range(0, len(disk), _CHUNK):
        part = disk.read(np.arange(start, min(start + _CHUNK, len(disk)), dtype=np.int32))
        for name, rows in part.items():
            array = whole.setdefault(name, np.empty((len(disk), *rows.shape[1:]), rows.dtype))
            array[start : start + len(rows)] = rows
    return whole


def choose(asked: str, needed: int, device_memory: int | None) -> tuple[str, str]:
    """Resolves store "auto" to the fastest one that fits.

    Args:
      asked: The config's `data.store`.
      needed: Bytes of all decoded pictures.
      device_memory: Bytes of one device; None where the device's memory is the host's.

    Returns:
      The kind and, in a few words, why.
    """
    size = f"{needed / 1e6:,.0f} MB decoded"
    if asked != "auto":
        return asked, f"asked for; {size}"
    host = psutil.virtual_memory().available
    # A quarter of either leaves room for the network, its activations and the system.
    if needed <= (host if device_memory is None else min(device_memory, host)) // 4:
        return "device", size
    if needed <= host // 2:
        return "host", f"{size}, too much for a quarter of the device's memory"
    return "disk", f"{size}, too much for half of the free memory"


def open_store(
    prepared: Prepared, split: str, kind: str, entry: Entry, threads: int | None = None
) -> Store:
    """Opens a split as a store of the kind "disk", "host" or "device"."""
    disk = DiskStore(prepared.examples(split), entry, threads)
    if kind == "disk":
        return disk
    return (HostStore if kind == "host" else DeviceStore)(decoded(disk))
