"""Where decoded pictures live between steps: on disk (decoded anew), in RAM, or on the device.

The three give the same pictures bit for bit: one function decodes, whoever calls it.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import psutil
from jaxtyping import Int32, UInt8

from bcjax.data import decode
from bcjax.data.prepared import Examples, Prepared

Batch = dict[str, np.ndarray]


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

    def __init__(self, examples: Examples, size: int):
        self._examples = examples
        self._size = size

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns `image` uint8 (N, size, size, 3) and `label` int32 (N,)."""
        examples = self._examples[index]
        return {
            "image": np.stack([decode.load(e.image, self._size) for e in examples]),
            "label": np.array([e.label for e in examples], np.int32),
        }


class HostStore:
    """Decodes each picture once, into one array in RAM."""

    kind = "host"

    def __init__(self, disk: DiskStore, threads: int = 0):
        chunks = np.array_split(np.arange(len(disk)), max(1, len(disk) // 64))
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            parts = list(pool.map(disk.read, chunks))
        self.image: UInt8[np.ndarray, "N H W 3"] = np.concatenate([p["image"] for p in parts])
        self.label: Int32[np.ndarray, "N"] = np.concatenate([p["label"] for p in parts])

    def __len__(self) -> int:
        return len(self.label)

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns `image` uint8 (N, H, W, 3) and `label` int32 (N,)."""
        return {"image": self.image[index], "label": self.label[index]}


class DeviceStore(HostStore):
    """A host store whose arrays the devices hold too: a step gathers there, given indices."""

    kind = "device"

    def read(self, index: Int32[np.ndarray, "N"]) -> Batch:
        """Returns nothing: the step finds image and label at `index` on the device."""
        del index
        return {}


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


def open_store(prepared: Prepared, split: str, kind: str, size: int, threads: int = 0) -> Store:
    """Opens a split as a store of the kind "disk", "host" or "device", pictures at `size` px."""
    disk = DiskStore(prepared.examples(split), size)
    if kind == "disk":
        return disk
    return HostStore(disk, threads) if kind == "host" else DeviceStore(disk, threads)
