"""`sessions.jsonl`: when, for how long, on what hardware and at what energy a run was trained."""

import contextlib
import dataclasses
import datetime
import functools
import importlib.util
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from bcjax.runtime import environment
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Changes, Ending, Host, Session, read_sessions
from bcjax.training.loggers.logger import Logger
from bcjax.training.loggers.metrics_file import read, rewrite

_POWERCAP = Path("/sys/class/powercap")


class SessionLog(Logger):
    """Writes the line of this session anew at each log line, so that a kill loses almost nothing.

    Log lines come at least as often as checkpoints, so every step that a resumed run goes on from
    is counted in some session.
    """

    def __init__(self, config: ConfigDict, step: int, changes: Changes | None = None):
        self._path = RunDir(config.workdir).sessions
        self._before = read(self._path)
        self._batch_size = config.train.batch_size
        self._energy = EnergyMeter()
        self._clock = time.monotonic()
        self._session = dataclasses.replace(
            session_now(step), joules_of=self._energy.of, changes=changes or {}, saved=()
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Counts the work up to `step`."""
        self._write(
            last_step=step,
            images=(step - self._session.first_step) * self._batch_size,
            seconds=round(time.monotonic() - self._clock, 3),
            joules=self._energy.joules(),
        )

    def saved(self, step: int) -> None:
        """Writes down which checkpoints there were, of which most are deleted again."""
        self._write(saved=(*(self._session.saved or ()), step))

    def ended(self, ending: Ending) -> None:
        """Writes down what ended the session."""
        self._write(ending=ending)

    def _write(self, **changes: Any) -> None:
        self._session = dataclasses.replace(self._session, **changes)
        rewrite(self._path, [*self._before, dataclasses.asdict(self._session)])


def finish_record(workdir: Path, ending: Ending) -> None:
    """Writes down how a run has ended that had no step left to take, if its sessions do not say.

    They do not where it was killed after its last step.
    """
    path = RunDir(workdir).sessions
    sessions = read_sessions(path)
    if sessions and not (sessions[-1].ending and sessions[-1].ending.finished):
        sessions[-1] = dataclasses.replace(sessions[-1], ending=ending)
        rewrite(path, [dataclasses.asdict(session) for session in sessions])


def session_now(step: int) -> Session:
    """Returns the session of this process as it begins at a step of a run."""
    return Session(
        began=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        first_step=step,
        last_step=step,
        images=0,
        device=jax.devices()[0].device_kind,
        devices=jax.device_count(),
        processes=jax.process_count(),
        host=Host(
            environment.processor(),
            environment.usable_cores(),
            platform.platform(),
            environment.processor_features(),
        ),
        joules=None,
        joules_of=[],
        versions=environment.versions(),
        compiler=environment.compiler_settings(),
    )


@dataclasses.dataclass(frozen=True)
class Counter:
    """A counter of energy.

    Attributes:
      of: "processors" or "GPUs".
      read: Returns joules since some moment.
      wraps: The number of joules at which it begins again at 0.
    """

    of: str
    read: Callable[[], float]
    wraps: float = math.inf


class EnergyMeter:
    """Adds up the energy that all counters report from now on."""

    def __init__(self, counters: list[Counter] | None = None):
        """Reads each counter once.

        Args:
          counters: The counters; None: those of this machine that can be read.
        """
        found = [*_rapl(_POWERCAP), *_nvml()] if counters is None else counters
        self._last = {counter: counter.read() for counter in found}
        self._joules = 0.0

    @property
    def of(self) -> list[str]:
        """Which parts of the machine are counted."""
        return sorted({counter.of for counter in self._last})

    def joules(self) -> float | None:
        """Returns the joules used so far; None if there is no counter.

        To be called more often than a counter wraps, which takes some hours.
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
