"""`bcjax train` in processes of its own, and what it leaves in its workdir."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from patience import PATIENCE
from places import ROOT

from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers


def start(workdir: Path, *flags: str, **environment: str) -> subprocess.Popen:
    """Starts the command line that trains in `workdir`."""
    return subprocess.Popen(
        [sys.executable, "-m", "bcjax.main", f"--workdir={workdir}", *flags],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen, status: int = 0) -> str:
    """Waits for the process, which must end with `status`; returns what it printed."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == status, out + err
    return out


def train(workdir: Path, *flags: str, **environment: str) -> str:
    return finish(start(workdir, *flags, **environment))


def wait_until(process: subprocess.Popen, condition: Callable[[], object]) -> None:
    """Returns as soon as `condition` holds; the process must still be running then."""
    for _ in itertools.takewhile(lambda _: not condition(), itertools.count()):
        assert process.poll() is None, "It ended too soon: " + "".join(process.communicate())
        time.sleep(0.001)
    assert process.poll() is None, "It ended too soon: " + "".join(process.communicate())


def devices(count: int) -> dict[str, str]:
    """The environment of a process that sees `count` devices."""
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}


def log(workdir: Path) -> list[dict[str, Any]]:
    """Returns the lines of metrics.jsonl but for the speed, which no two runs share."""
    lines = loggers.read(RunDir(workdir).metrics)
    return [{k: v for k, v in line.items() if not k.endswith("images_per_s")} for line in lines]


def logged_step(workdir: Path) -> int:
    return max((line["step"] for line in log(workdir)), default=0)


def losses(workdir: Path) -> np.ndarray:
    """Returns the training loss of each logged step; each must be there once, in order."""
    lines = [line for line in log(workdir) if "train/loss" in line]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return np.array([line["train/loss"] for line in lines])


def evaluation(workdir: Path) -> dict[str, Any]:
    return json.loads((workdir / "eval" / "test.json").read_text())


def steps(workdir: Path) -> list[int]:
    """Returns the steps of the finished checkpoints."""
    names = (path.name for path in (workdir / "checkpoints").glob("*"))
    return sorted(int(name) for name in names if name.isdigit())


def half_written(workdir: Path) -> list[Path]:
    """Returns what a save in progress, or one that was killed, has written so far."""
    return [p for p in (workdir / "checkpoints").glob("*") if not p.name.isdigit()]


def state(workdir: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of the newest checkpoint by name, whatever devices wrote it."""
    folder = workdir / "checkpoints" / str(steps(workdir)[-1]) / "state"
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(folder).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        leaves = jax.tree_util.tree_leaves_with_path(reader.restore(folder, restore_args=as_numpy))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in leaves
    }


def assert_same_state(one: Path, other: Path) -> None:
    """The newest checkpoints hold the same step, and the same bits in each array."""
    here, there = state(one), state(other)
    assert here.keys() == there.keys()
    different = [
        name
        for name, array in here.items()
        if array.dtype != there[name].dtype or array.tobytes() != there[name].tobytes()
    ]
    assert not different
