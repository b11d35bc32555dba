"""What this machine's counters say of the energy that is taken."""

import contextlib
import dataclasses
import functools
import importlib.util
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

_POWERCAP = Path("/sys/class/powercap")


@dataclasses.dataclass(frozen=True)
class Counter:
    """Counts up.

    Attributes:
      of: "processors" or "GPUs".
      read: Returns joules since some moment.
      wraps: Where it begins at 0 again, in joules.
    """

    of: str
    read: Callable[[], float]
    wraps: float = math.inf


class Meter:
    """Adds up all counters, from now on."""

    def __init__(self, counters: list[Counter] | None = None):
        """Begins to count.

        Args:
          counters: None: those of this machine that can be read.
        """
        found = [*_rapl(_POWERCAP), *_nvml()] if counters is None else counters
        self._last = {counter: counter.read() for counter in found}
        self._joules = 0.0

    @property
    def of(self) -> list[str]:
        """What is counted."""
        return sorted({counter.of for counter in self._last})

    def joules(self) -> float | None:
        """Returns what was taken so far; None where nothing counts.

        To be asked more often than a counter wraps, some hours.
        """
        for counter, last in self._last.items():
            now = counter.read()
            self._joules += now - last if now >= last else now + counter.wraps - last
            self._last[counter] = now
        return round(self._joules, 3) if self._last else None


def _rapl(powercap: Path) -> Iterator[Counter]:
    """Yields a counter for each processor package (Linux; AMD's are called intel-rapl, too)."""
    for zone in sorted(powercap.glob("intel-rapl:*")):
        path = zone / "energy_uj"
        # One colon: zones with two are parts of a package. Often root alone may read them.
        if zone.name.count(":") == 1 and os.access(path, os.R_OK):
            wraps = _joules(zone / "max_energy_range_uj")
            yield Counter("processors", functools.partial(_joules, path), wraps)


def _joules(path: Path) -> float:
    return int(path.read_text()) / 1e6


def _nvml() -> Iterator[Counter]:
    """Yields a counter for each NVIDIA GPU of this process, if nvidia-ml-py is installed."""
    if jax.default_backend() != "gpu" or importlib.util.find_spec("pynvml") is None:
        return
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        for device in jax.local_devices():
            number = device.local_hardware_id
            name = visible[number].strip() if visible != [""] else str(number)
            by_uuid = name.startswith("GPU-")
            find = (
                pynvml.nvmlDeviceGetHandleByUUID if by_uuid else pynvml.nvmlDeviceGetHandleByIndex
            )
            handle = find(name if by_uuid else int(name))

            def read(handle=handle) -> float:
                return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3

            read()  # raises on what is too old to count
            yield Counter("GPUs", read)
