"""The waits around training: from the command to the first step, and for a checkpoint."""

import contextlib
import dataclasses
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from bcjax.benchmark import machine
from bcjax.benchmark.figures import Figures
from bcjax.benchmark.training import TimedRun
from bcjax.engine import checkpoint
from bcjax.engine.checkpoint import Checkpoints
from bcjax.runtime import scratch
from bcjax.runtime.errors import UserError

_FIRST_STEP = re.compile(r"First step after ([\d.]+) s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start(Figures):
    """From the start of a process to the end of its first step, in seconds.

    Attributes:
      seconds: The whole.
      import_s: Python and the libraries.
      build_s: The devices, the pictures' index, network and state, until the run is described on
        the terminal.
      first_step_s: Decoding, compiling, the step.
    """

    seconds: float
    import_s: float
    build_s: float
    first_step_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Starts(Figures):
    """A start with an empty cache of compiled programs, then one with a full one."""

    cold: Start
    warm: Start


def measure_start(arguments: Sequence[str]) -> Starts:
    """Starts `bcjax train` twice: with an empty cache of compiled programs, then with a full one.

    To be called before this process uses an accelerator, since it would leave too little memory to
    another process. The pictures must be prepared.

    Args:
      arguments: The `--config` flags of the command.

    Raises:
      UserError: If the command is refused.
    """
    with scratch.beside(Path(tempfile.gettempdir()) / "bcjax-start") as folder:
        folder.mkdir()
        cache = folder / "xla"
        cold, warm = (_run_once(arguments, cache, folder / name) for name in ("cold", "warm"))
    return Starts(cold=cold, warm=warm)


def _run_once(arguments: Sequence[str], cache: Path, workdir: Path) -> Start:
    command = [sys.executable, "-m", "bcjax.main", "train", *arguments, f"--workdir={workdir}"]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    # Into a file: a pipe that nobody reads would stop the command once it is full.
    with open(workdir.with_suffix(".err"), "w+") as errors:
        began = time.perf_counter()
        with subprocess.Popen(
            [*command, "--config.track.to=()"],
            env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process:  # fmt: skip
            moments = []
            try:
                for line in process.stdout or ():
                    moments.append(time.perf_counter() - began)
                    if found := _FIRST_STEP.search(line):
                        break
                else:
                    found = None
            finally:
                process.terminate()  # it saves and stops
                process.communicate()
        errors.seek(0)
        if found is None:
            message = (errors.read().strip().splitlines() or ["it printed nothing"])[-1]
            raise UserError(f"bcjax train did not come to its first step: {message}")
    import_s = moments[-1] - float(found[1])
    return Start(
        seconds=moments[-1],
        import_s=import_s,
        build_s=moments[0] - import_s,
        first_step_s=moments[-1] - moments[0],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointTimes(Figures):
    """How long a checkpoint takes; medians.

    Attributes:
      save_ms: Until training may go on.
      on_disk_ms: Until it is written, too.
      restore_ms: Until it is read again, most likely from the disk's cache.
      save_mb_per_s: The state's bytes over `on_disk_ms`.
      restore_mb_per_s: The state's bytes over `restore_ms`.
      state_mb: MB of the state.
      disk_mb: MB of its files.
    """

    save_ms: float
    on_disk_ms: float
    restore_ms: float
    save_mb_per_s: float
    restore_mb_per_s: float
    state_mb: float
    disk_mb: float


def measure_checkpoint(run: TimedRun, repeats: int) -> CheckpointTimes:
    """Saves the state of a run into a folder within its workdir and reads it back.

    Args:
      run: The run.
      repeats: How often the state is saved and read, each time in a new folder.
    """
    found = [_save_and_restore(run) for _ in range(repeats)]
    times = {name: statistics.median(each[name] for each in found) for name in found[0]}
    state_mb = sum(leaf.nbytes for leaf in jax.tree.leaves(run.state)) / 1e6
    return CheckpointTimes(
        **times,
        save_mb_per_s=state_mb / (times["on_disk_ms"] / 1e3),
        restore_mb_per_s=state_mb / (times["restore_ms"] / 1e3),
        state_mb=state_mb,
    )


def _save_and_restore(run: TimedRun) -> dict[str, float]:
    about = checkpoint.about_page(run.config, run.run.classes, None)
    abstracts = [phase.abstract for phase in run.run.phases]
    settings = {"keep": 1, "metric": run.config.checkpoint.best}
    step = run.step
    with tempfile.TemporaryDirectory(dir=run.run.workdir) as folder:
        with contextlib.closing(Checkpoints(Path(folder), **settings)) as checkpoints:
            save = machine.seconds(lambda: checkpoints.save(run.state, about))
            wait = machine.seconds(checkpoints.wait)
            restore = machine.seconds(
                lambda: jax.block_until_ready(checkpoints.restore(step, abstracts))
            )
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "save_ms": 1e3 * save,
        "on_disk_ms": 1e3 * (save + wait),
        "restore_ms": 1e3 * restore,
        "disk_mb": size / 1e6,
    }
