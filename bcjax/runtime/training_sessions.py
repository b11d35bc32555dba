"""What `sessions.jsonl` holds: a line for each process that trained a run."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bcjax.runtime import files

Changes = dict[str, tuple[Any, Any]]  # by key of the config: the value before, the value since then


@dataclasses.dataclass(frozen=True)
class Host:
    """The machine of the process that writes the logs.

    Attributes:
      cpu: The name of its processor.
      cores: The cores that the process may use; None if the system does not say.
      platform: The operating system.
      features: The vector instructions of the processor; [] if they are not known.
    """

    cpu: str
    cores: int | None
    platform: str
    features: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Ending:
    """What ended the training of a run, or one session of it.

    Attributes:
      cause: "length": the run came to its end. "patience" and "callback" ended it before that. A
        "signal" stopped it, and the same command goes on; a "fault" is an error.
      step: Steps taken by then.
      why: What happened, as a clause.
      latest: Step of the latest checkpoint; None: there is none.
      best: Step of the best checkpoint that is kept; None: no evaluation has chosen one.
    """

    cause: Literal["length", "patience", "callback", "signal", "fault"]
    step: int
    why: str
    latest: int | None
    best: int | None

    @property
    def finished(self) -> bool:
        """Whether the run takes no more steps."""
        return self.cause in ("length", "patience", "callback")

    @property
    def kept(self) -> str:
        """The sentence that says which checkpoints there are."""
        if self.latest is None:
            return "No checkpoint was written."
        if self.best is None:
            return f"No checkpoint is known to be the best: the latest is {self.latest}."
        return f"The best checkpoint is {self.best}, the latest {self.latest}."

    def __str__(self) -> str:
        """Returns "Ended at step 120: ...", with the checkpoints that are kept."""
        return f"Ended at step {self.step:,}: {self.why.rstrip('.')}. {self.kept}"


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
      compiler: What a user has set that changes the compiled program: variables of the environment
        and precisions; {} in a line of an earlier version.
      changes: The settings that it changed, by key: the value before and the value since then.
      saved: The steps of the checkpoints that it wrote; None in a line of an earlier version.
      ending: What ended it; None: it is going on, was killed, or is of an earlier version.
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
    compiler: dict[str, Any] = dataclasses.field(default_factory=dict)
    changes: Changes = dataclasses.field(default_factory=dict)
    saved: tuple[int, ...] | None = None
    ending: Ending | None = None

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> "Session":
        """Rebuilds a session from its line; unknown keys, of a later version, are left out."""
        names = [field.name for field in dataclasses.fields(cls) if field.name in line]
        built: dict[str, Any] = {"host": Host(**line["host"])}
        if line.get("ending"):
            built["ending"] = Ending(**line["ending"])
        return cls(**{name: line[name] for name in names} | built)


# Variables that say where things are, not how they are computed.
_HARMLESS = re.compile(r"JAX_.*(CACHE|COORDINATOR|PROCESS|LOG|TRACEBACK|DUMP)")


def different_conditions(before: Session, now: Session) -> list[str]:
    """Returns 'cores (4 then, 2 now)' for all but config, pictures and seed that changes a result.

    With the same conditions a run is the same to the bit; with others, sums round differently.
    """
    then, here = map(_conditions, (before, now))
    if not before.compiler:  # a line of an earlier version: what it lacks is not compared
        here = {name: value for name, value in here.items() if name in then}
    return [
        f"{name} ({then.get(name)} then, {here.get(name)} now)"
        for name in sorted(then.keys() | here.keys())
        if then.get(name) != here.get(name)
    ]


def _conditions(session: Session) -> dict[str, Any]:
    host = session.host
    conditions: dict[str, Any] = session.versions | {
        "device": session.device,
        "devices": session.devices,
        "processes": session.processes,
    }
    conditions |= {k: v for k, v in session.compiler.items() if not _HARMLESS.match(k)}
    if session.device == "cpu" and host.features:  # else the host computes nothing of the result
        conditions |= {"cores": host.cores, "instructions": " ".join(host.features)}
    return conditions


def checkpoints_written(sessions: Sequence[Session]) -> list[int]:
    """Returns the steps of all checkpoints that a run has written, as far as is recorded."""
    return sorted({step for session in sessions for step in session.saved or ()})


def unfinished(sessions: Sequence[Session]) -> str:
    """Returns why a run that nothing trains any more is not finished, as a sentence.

    Returns:
      "" if it is finished, was not trained here at all, or is of a version that did not record it.
    """
    if not sessions or sessions[-1].saved is None:
        return ""
    last = sessions[-1]
    if last.ending is None:
        return f"The run is not finished: it was killed after step {last.last_step:,}."
    return "" if last.ending.finished else f"The run is not finished. {last.ending}"


def read_sessions(path: Path) -> list[Session]:
    """Returns the sessions of a run in turn; none if the file is missing."""
    return [Session.from_dict(line) for line in files.read_json_lines(path)]


def total_joules(sessions: Sequence[Session]) -> float | None:
    """Returns the energy of all sessions; None if there are none, or one could not read it."""
    joules = [session.joules for session in sessions if session.joules is not None]
    return sum(joules) if sessions and len(joules) == len(sessions) else None
