"""What the devices do during a few steps: for Perfetto or XProf, and what their time goes into."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData

from bcjax.benchmark import training
from bcjax.benchmark.figures import Figures
from bcjax.benchmark.operations import KINDS, Program
from bcjax.benchmark.training import TimedRun

_CALLS = 3
_LONGEST = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongOperation(Figures):
    """An operation that takes much of a step's time.

    Attributes:
      name: Its name in the compiled program.
      kind: What it is for, see `operations.KINDS`.
      share: Of the operations' summed time.
      path: The layer that it comes from.
    """

    name: str
    kind: str
    share: float
    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile(Figures):
    """Where a profile is, and what the time of the step goes into.

    Attributes:
      perfetto: The file that https://ui.perfetto.dev opens.
      xprof: The folder that `xprof --logdir=` or TensorBoard's profiler opens.
      shares: By kind, of the operations' summed time (several cores work on several at once); None
        where the profile names no operation. On a CPU XLA records only the start of products that
        Eigen computes, which are those with a transposed left side, as in gradients of 1x1 kernels.
      longest: The operations that take most of it.
    """

    perfetto: str
    xprof: str
    shares: dict[str, float] | None = None
    longest: list[LongOperation] | None = None


def write(run: TimedRun, folder: Path) -> Profile:
    """Profiles a few calls of the compiled step.

    Args:
      run: The run, whose state is used up.
      folder: The folder for `plugins/profile/<time>/`.
    """
    dispatch = training.repeated(run)
    dispatch(2)  # compiles, and settles
    with jax.profiler.trace(folder, create_perfetto_trace=True):
        dispatch(_CALLS)
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    (perfetto,) = newest.parent.glob("perfetto_trace.json.gz")
    compiled = training.lowered(run, run.plan.steps_per_call).compile()
    parts = shares(Program(compiled.as_text() or ""), operation_seconds(newest))
    return Profile(perfetto=str(perfetto), xprof=str(folder), **parts)


def operation_seconds(profile: Path) -> dict[str, float]:
    """Returns how long each operation of the compiled programs took in a profile, summed.

    Args:
      profile: An `.xplane.pb`.
    """
    seconds: dict[str, float] = collections.defaultdict(float)
    for plane in ProfileData.from_file(str(profile)).planes:
        for line in plane.lines:
            for event in line.events:
                if name := dict(event.stats).get("hlo_op"):
                    seconds[str(name)] += event.duration_ns / 1e9
    return dict(seconds)


def shares(program: Program, seconds: dict[str, float]) -> dict[str, Any]:
    """Returns what the time of a program's operations goes into, as fields of `Profile`.

    Args:
      program: The compiled program.
      seconds: Seconds by name of the operation; those of other programs are left out.
    """
    operations = {each.name: each for each, _ in program.dispatched() if each.name in seconds}
    whole = sum(seconds[name] for name in operations)
    if not whole:
        return {}
    by_kind: dict[str, float] = collections.defaultdict(float)
    for name, each in operations.items():
        by_kind[program.kind(each)] += seconds[name] / whole
    return {
        "shares": {kind: by_kind[kind] for kind in KINDS},
        "longest": [
            LongOperation(
                name=name,
                kind=program.kind(operations[name]),
                share=seconds[name] / whole,
                path=program.path(operations[name]),
            )
            for name in sorted(operations, key=lambda name: -seconds[name])[:_LONGEST]
        ],
    }
