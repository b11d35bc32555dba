"""What it costs to save a run and to take it up again."""

import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Any

import jax

from bcjax.benchmark import clock
from bcjax.benchmark.timed_run import TimedRun
from bcjax.engine import checkpoint
from bcjax.engine.checkpoint import Checkpoints


def measure(run: TimedRun, repeats: int) -> dict[str, Any]:
    """Saves the run's state into a folder within its workdir, and reads it back.

    Args:
      run: The run.
      repeats: Times that this is done, each in a new folder.

    Returns:
      Medians: "save_ms" until training may go on, "on_disk_ms" until it is written too,
      "restore_ms" (from the disk's cache, most likely), "save_mb_per_s" and "restore_mb_per_s" of
      the state's bytes; and "state_mb", "disk_mb".
    """
    found = [_once(run) for _ in range(repeats)]
    times = {name: statistics.median(each[name] for each in found) for name in found[0]}
    state_mb = sum(leaf.nbytes for leaf in jax.tree.leaves(run.state)) / 1e6
    return {
        **times,
        "save_mb_per_s": state_mb / (times["on_disk_ms"] / 1e3),
        "restore_mb_per_s": state_mb / (times["restore_ms"] / 1e3),
        "state_mb": state_mb,
    }


def _once(run: TimedRun) -> dict[str, float]:
    about = checkpoint.about_page(run.config, run.run.classes, None)
    abstracts = [phase.abstract for phase in run.run.phases]
    settings = {"keep": 1, "metric": run.config.checkpoint.best}
    step = run.step
    with tempfile.TemporaryDirectory(dir=run.run.workdir) as folder:
        with contextlib.closing(Checkpoints(Path(folder), **settings)) as checkpoints:
            save = clock.seconds(lambda: checkpoints.save(run.state, about))
            wait = clock.seconds(checkpoints.wait)
            restore = clock.seconds(
                lambda: jax.block_until_ready(checkpoints.restore(step, abstracts))
            )
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "save_ms": 1e3 * save,
        "on_disk_ms": 1e3 * (save + wait),
        "restore_ms": 1e3 * restore,
        "disk_mb": size / 1e6,
    }
