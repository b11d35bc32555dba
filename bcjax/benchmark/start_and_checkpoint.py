"""The waits around training: from the command to the first step, and for a checkpoint."""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from bcjax.benchmark import machine
from bcjax.benchmark.training import TimedRun
from bcjax.engine import checkpoint
from bcjax.engine.checkpoint import Checkpoints
from bcjax.runtime import scratch
from bcjax.runtime.errors import UserError

_FIRST_STEP = re.compile(r"First step after ([\d.]+) s")


def measure_start(arguments: Sequence[str]) -> dict[str, Any]:
    """Starts `bcjax train` twice: with an empty cache of compiled programs, then with a full one.

    To be called before this process uses an accelerator, since it would leave too little memory to
    another process. The pictures must be prepared.

    Args:
      arguments: The `--config` flags of the command.

    Returns:
      {"cold": ..., "warm": ...}, of each "seconds" from the start of the process to the end of its
      first step, and what they went into: "import_s" (Python and the libraries), "build_s" (the
      devices, the pictures' index, network and state, until the run is described on the terminal),
      "first_step_s" (decoding, compiling, the step).

    Raises:
      UserError: If the command is refused.
    """
    with scratch.beside(Path(tempfile.gettempdir()) / "bcjax-start") as folder:
        folder.mkdir()
        cache = folder / "xla"
        return {name: _run_once(arguments, cache, folder / name) for name in ("cold", "warm")}


def _run_once(arguments: Sequence[str], cache: Path, workdir: Path) -> dict[str, float]:
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
    return {
        "seconds": moments[-1],
        "import_s": import_s,
        "build_s": moments[0] - import_s,
        "first_step_s": moments[-1] - moments[0],
    }


def measure_checkpoint(run: TimedRun, repeats: int) -> dict[str, Any]:
    """Saves the state of a run into a folder within its workdir and reads it back.

    Args:
      run: The run.
      repeats: How often the state is saved and read, each time in a new folder.

    Returns:
      Medians: "save_ms" until training may go on, "on_disk_ms" until it is written too,
      "restore_ms" (from the disk's cache, most likely), "save_mb_per_s" and "restore_mb_per_s" of
      the state's bytes; and "state_mb", "disk_mb".
    """
    found = [_save_and_restore(run) for _ in range(repeats)]
    times = {name: statistics.median(each[name] for each in found) for name in found[0]}
    state_mb = sum(leaf.nbytes for leaf in jax.tree.leaves(run.state)) / 1e6
    return {
        **times,
        "save_mb_per_s": state_mb / (times["on_disk_ms"] / 1e3),
        "restore_mb_per_s": state_mb / (times["restore_ms"] / 1e3),
        "state_mb": state_mb,
    }


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
