"""What `sessions.jsonl` holds: a line for each process that trained a run."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcjax.runtime import files

Changes = dict[str, tuple[Any, Any]]  # by key of the config: the value before, the value since then


@dataclasses.dataclass(frozen=True)
class Host:
    """The machine of the process that writes the logs.

    Attributes:
      cpu: The name of its processor.
      cores: The cores that the process may use; None if the system does not say.
      platform: The operating system.
    """

    cpu: str
    cores: int | None
    platform: str


@dataclasses.dataclass(frozen=True)
class Session:
    """When, for how long, on what hardware and at what energy a process trained a run.

    Attributes:
      began: The time at which it began, ISO 8601, UTC.
      seconds: Wall time from then to `last_step`, compilation included.
      first_step: The step of the run at the beginning.
      last_step: The step of the run at the last log line.
      images: Pictures that the network saw between the two.
      device: The kind of the devices.
      devices: The number of devices of all processes.
      processes: The number of processes.
      host: The machine of the process that writes the logs.
      joules: The energy that `joules_of` of this host used, whatever ran on them; None where no
        counter can be read. Memory, discs, fans and other hosts are left out.
      joules_of: The parts of the host whose energy is counted: "processors", "GPUs".
      versions: The versions of the packages that the numbers depend on.
      changes: The settings that it changed, by key: the value before and the value since then.
    """

    began: str
    seconds: float
    first_step: int
    last_step: int
    images: int
    device: str
    devices: int
    processes: int
    host: Host
    joules: float | None
    joules_of: list[str]
    versions: dict[str, str]
    changes: Changes = dataclasses.field(default_factory=dict)

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> "Session":
        """Rebuilds a session from its line; unknown keys, of a later version, are left out."""
        names = [field.name for field in dataclasses.fields(cls) if field.name in line]
        return cls(**{name: line[name] for name in names} | {"host": Host(**line["host"])})


def read_sessions(path: Path) -> list[Session]:
    """Returns the sessions of a run in turn; none if the file is missing."""
    return [Session.from_dict(line) for line in files.read_json_lines(path)]


def total_joules(sessions: Sequence[Session]) -> float | None:
    """Returns the energy of all sessions; None if there are none, or one could not read it."""
    joules = [session.joules for session in sessions if session.joules is not None]
    return sum(joules) if sessions and len(joules) == len(sessions) else None
