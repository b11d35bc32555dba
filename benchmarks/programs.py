"""Other programs, each a process of its own: how they are run, cut off, and answer in JSON."""

import dataclasses
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcjax.benchmark import machine

Answer = dict[str, Any]

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@dataclasses.dataclass(frozen=True)
class Deadline:
    """How long programs may take, on the clock of `time.monotonic`.

    Attributes:
      begin: What could be left out is not begun if it would go on after this.
      end: When whatever runs is cut off.
    """

    begin: float = math.inf
    end: float = math.inf

    def allows(self, seconds: float) -> bool:
        """Whether there is time for something that takes this long and could be left out."""
        return time.monotonic() + seconds < self.begin


NEVER = Deadline()


class FailedError(Exception):
    """A program ended with an error; the message is the end of what it said."""


class CutOffError(FailedError):
    """A program was not done in time."""


def bcjax(command: str, config: str, settings: Mapping[str, Any], *flags: str) -> list[str]:
    """The command line of a `bcjax COMMAND`, with a file of configs/ and what differs from it."""
    changes = [f"--config.{key}={value}" for key, value in settings.items()]
    words = [sys.executable, "-m", "bcjax.main", command, f"--config={CONFIGS / config}"]
    return [*words, *changes, *flags]


def answer(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    deadline: Deadline = NEVER,
) -> Answer:
    """Runs a program to its end.

    Args:
      command: The program and its arguments.
      environment: Variables beside this process's own.
      deadline: When it is cut off.

    Returns:
      The JSON object that it prints.

    Raises:
      FailedError: If it ends with an error.
      CutOffError: If it is cut off.
    """
    said, _ = run(command, environment, deadline)
    return json.loads(said[said.index("{") :])


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    deadline: Deadline = NEVER,
) -> tuple[str, float]:
    """Runs a program to its end; arguments and errors are those of `answer`.

    Returns:
      What it prints, and its seconds.
    """
    began = time.monotonic()
    if began > deadline.end:
        raise CutOffError("the time was up")
    process: subprocess.Popen[str] | None = None
    told: list[int] = []  # signals that came

    def end(number: int, _: object) -> None:
        told.append(number)
        if process is not None:  # else the program is just being started, and could not be ended
            sys.exit(128 + number)

    handler = signal.signal(signal.SIGTERM, end)
    try:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # So that what it starts ends with it, and all with this process.
            start_new_session=True,
        )
        if told:
            sys.exit(128 + told[0])
        left = None if math.isinf(deadline.end) else deadline.end - began
        out, err = process.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        raise CutOffError("the time was up") from None
    finally:
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        signal.signal(signal.SIGTERM, handler)
    if process.returncode:
        raise FailedError(f"{shlex.join(command)}\n{err[-2000:]}")
    return out, time.monotonic() - began


def versions(python: str, libraries: Sequence[str]) -> dict[str, str]:
    """Versions of what is installed beside a Python; what is not is left out."""
    ask = (
        "import importlib.metadata as m, importlib.util as u, json; "
        f"print(json.dumps({{n: m.version(n) for n in {tuple(libraries)} if u.find_spec(n)}}))"
    )
    return json.loads(run([python, "-c", ask])[0])


def timed(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    deadline: Deadline = NEVER,
    part: str = "",
) -> Answer:
    """As `answer`, or a part of it, with what is known of the process.

    `process_s` is from its start to its end, `stolen_share` how much of the processors' time the
    host gave to others meanwhile.
    """
    began, before = time.monotonic(), machine.processors()
    page = answer(command, environment, deadline)
    return (page[part] if part else page) | {
        "process_s": round(time.monotonic() - began, 1),
        "stolen_share": round(machine.stolen_share(before), 3),
    }
