"""What a trial is judged by: metrics on the watched split, seconds, bytes."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from ml_collections import ConfigDict

from bcjax.config import METRICS, nearest
from bcjax.engine import network
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.step import infer
from bcjax.evaluation.evaluation import Evaluation
from bcjax.metrics.names import sign
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

Direction = Literal["minimize", "maximize"]

COSTS = ("latency", "size")
UNITS = {"latency": "s", "size": "bytes"}

_REPEATS = 30


def parse(text: str, config: ConfigDict) -> tuple[str, ...]:
    """Returns the objectives in "accuracy,latency"; of "" that by which checkpoints are chosen.

    Raises:
      UserError: For one that is not known, or is there twice.
    """
    names = tuple(name.strip() for name in (text or config.checkpoint.best).split(","))
    known = [*METRICS, *COSTS]
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            hint = f": choose of {', '.join(known)}." if hint == "." else hint
            raise UserError(f"There is no objective {name!r}{hint}")
    if len(set(names)) < len(names):
        raise UserError(f"--objective={text} names one objective twice.")
    return names


def direction(name: str) -> Direction:
    """Returns which way is better."""
    return "minimize" if name in COSTS or sign(name) < 0 else "maximize"


def measure(names: Sequence[str], workdir: Path, result: Evaluation | None) -> list[float]:
    """Measures a finished run.

    Args:
      names: Of objectives.
      workdir: The run's folder.
      result: Of its best checkpoint on the split that was watched.

    Raises:
      UserError: If a metric is undefined on that split, or nothing was evaluated.
    """
    if result is None:
        raise UserError(f"{workdir} has no evaluation: give it a split to watch.")
    trained = None
    values = []
    for name in names:
        if name in COSTS:
            trained = trained or network.load(workdir, "best", meshes.create())
            values.append(latency(trained) if name == "latency" else float(size(trained)))
            continue
        value = result.metrics[name].value
        if value is None:
            raise UserError(f"{name} is undefined on the {result.split} split of this run.")
        values.append(value)
    return values


def latency(trained: RestoredNetwork) -> float:
    """Seconds in which the compiled network answers one picture: the median of some repeats.

    The picture is decoded already and comes from the host; so does its answer go back there.
    """
    config, model = trained.config, trained.model

    @jax.jit
    def answer(variables: Any, pixels: jax.Array) -> jax.Array:
        return infer(model, variables, pixels, config.model.mean, config.model.std)

    side = config.data.image_size
    picture = np.full((1, side, side, 3), 128, np.uint8)
    taken = []
    for _ in range(1 + _REPEATS):
        began = time.perf_counter()
        jax.device_get(answer(trained.variables, picture))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])  # the first one compiled


def size(trained: RestoredNetwork) -> int:
    """Bytes of the parameters, batch statistics apart."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(trained.variables["params"]))
