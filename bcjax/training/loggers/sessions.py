"""`sessions.jsonl`: for each process that trained a run, when, how long, on what, at what cost."""

import datetime
import platform
import time

import jax
from ml_collections import ConfigDict

from bcjax.runtime import environment
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loggers.energy import Meter
from bcjax.training.loggers.jsonl import read, rewrite
from bcjax.training.loggers.writer import Writer


class Session(Writer):
    """The line of this session, written anew at each log line: a kill loses nothing that counted.

    Log lines come at least as often as checkpoints, so what a resumed run goes on from is in some
    session. The keys of a line:

    - `began`: ISO 8601, UTC; `seconds` from then to `last_step`, compilation included
    - `first_step`, `last_step`: of the run, when it began and at the last log line
    - `images`: shown to the network between them
    - `device` (kind), `devices` (of all processes), `processes`
    - `host`: `cpu`, `cores` (that this process may use), `platform` of the lead process's host
    - `joules`: that this host's `joules_of` (processors, GPUs) took, whatever else they did; None
      where nothing can be read. Memory, discs, fans and other hosts are not in it.
    - `versions`: of the packages
    """

    def __init__(self, config: ConfigDict, step: int):
        self._path = RunDir(config.workdir).sessions
        self._before = read(self._path)
        self._batch_size = config.train.batch_size
        self._energy = Meter()
        self._clock = time.monotonic()
        self._line = {
            "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "first_step": step,
            "device": jax.devices()[0].device_kind,
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "host": {
                "cpu": environment.processor(),
                "cores": environment.usable_cores(),
                "platform": platform.platform(),
            },
            "joules_of": self._energy.of,
            "versions": environment.versions(),
        }

    def write(self, step: int, values: dict[str, float]) -> None:
        """Counts what was done up to `step`."""
        done = {
            "last_step": step,
            "images": (step - self._line["first_step"]) * self._batch_size,
            "seconds": round(time.monotonic() - self._clock, 3),
            "joules": self._energy.joules(),
        }
        rewrite(self._path, [*self._before, self._line | done])
