"""The objectives of a sweep: metrics on the watched split, latency, size and RAM."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from ml_collections import ConfigDict

from bcjax import metrics
from bcjax.config import KEYS, ImageSize, nearest
from bcjax.config.table import METRICS
from bcjax.data.prepared import PreparedSet
from bcjax.engine import network
from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation import answer_times
from bcjax.evaluation.evaluation import Evaluation
from bcjax.metrics.names import sign
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.tune import targets
from bcjax.tune.targets import Target

Direction = Literal["minimize", "maximize"]

COSTS = ("latency", "size", "ram")
UNITS = {"latency": "s", "size": "bytes", "ram": "bytes"}

_REPEATS = 30


def parse(text: str, config: ConfigDict) -> tuple[str, ...]:
    """Returns the objectives in a text such as "accuracy,latency"; for "" `checkpoint.best`.

    A metric that was registered from outside is one of them, too.

    Raises:
      UserError: If one is unknown or named twice.
    """
    names = tuple(name.strip() for name in (text or config.checkpoint.best).split(","))
    known = [*KEYS["checkpoint.best"].choices, *COSTS]
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            hint = f": choose of {', '.join(known)}." if hint == "." else hint
            raise UserError(f"There is no objective {name!r}{hint}")
    if len(set(names)) < len(names):
        raise UserError(f"The objective {text!r} names one thing twice.")
    return names


def direction(name: str) -> Direction:
    """Returns whether less or more of an objective is better."""
    return "minimize" if name in COSTS or sign(name) < 0 else "maximize"


def check_defined(names: Sequence[str], prepared: PreparedSet, split: str) -> None:
    """Checks that the metrics among some objectives are defined on a split, whatever is answered.

    Raises:
      UserError: If one is not, such as macro AUC where all pictures are of one class.
    """
    counts = prepared.counts[split]
    labels = np.repeat(np.arange(len(counts)), counts)
    guesses = np.random.default_rng(0).dirichlet(np.ones(len(counts)), len(labels))
    defined = metrics.measure(guesses, labels, prepared.classes, resamples=0).values
    for name in names:
        if name in METRICS and name not in defined:  # one of the user's may depend on the answers
            classes = sum(count > 0 for count in counts)
            raise UserError(
                f"The objective {name} is undefined on the {split} split, which has pictures of "
                f"{classes} of {len(counts)} classes: give another --objective, or another split."
            )


def measure(
    names: Sequence[str],
    workdir: Path,
    result: Evaluation | None,
    target: Target | None = None,
) -> list[float]:
    """Measures a finished run.

    Args:
      names: The objectives.
      workdir: The folder of the run.
      result: The evaluation of its best checkpoint on the watched split.
      target: The device that costs are estimated for; None: latency and size are those here.

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
            values.append(_cost(name, trained, target))
            continue
        value = result.metrics[name].value
        if value is None:
            raise UserError(f"{name} is undefined on the {result.split} split of this run.")
        values.append(value)
    return values


def _cost(name: str, trained: RestoredNetwork, target: Target | None) -> float:
    estimate = targets.cost(trained.config, len(trained.classes), target)
    match name:
        case "latency":
            return latency(trained) if estimate.latency is None else estimate.latency
        case "size":
            return size(trained) if target is None else estimate.size
        case _:
            return estimate.ram


def latency(trained: RestoredNetwork) -> float:
    """Returns the seconds that the compiled network takes for one picture: a median of repeats.

    A decoded picture is sent from the host, and the probabilities come back to it.
    """
    config = trained.config
    answer = answer_times.answering(trained.model, config)
    picture = np.full((1, *ImageSize.of(config.data.image_size), 3), 128, np.uint8)
    compiled = answer.compile(trained.variables, picture)
    seconds = answer_times.time_calls(
        lambda: jax.device_get(compiled(trained.variables, picture)), least=_REPEATS, most=_REPEATS
    )
    return statistics.median(seconds)


def size(trained: RestoredNetwork) -> int:
    """Returns the bytes of the parameters, without batch statistics."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(trained.variables["params"]))
