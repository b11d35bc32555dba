"""What a run costs: its network's size and work, and the time and energy of its training."""

import dataclasses
import functools
from typing import Any

import numpy as np

from bcjax import models
from bcjax.engine import network
from bcjax.reports.comparison.runs import Run

_count = functools.cache(models.count)  # members, and runs of a sweep, are often one network


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of a run. What its artefacts do not tell is None.

    Attributes:
      parameters: Of the network.
      flops: For one picture of the run's own size, forward; a multiply-add counted as two.
      image_size: Side of the pictures in pixels.
      train_seconds: Wall time of all its sessions, compilation and evaluations included.
      images_per_s: The median over its log lines of training.
      seconds_per_picture: The inverse.
      joules: Of all its sessions, if each could read them.
      hardware: What it was trained on, such as "8 x TPU v5e"; "" if unknown.
    """

    parameters: int
    flops: int
    image_size: int
    train_seconds: float | None
    images_per_s: float | None
    seconds_per_picture: float | None
    joules: float | None
    hardware: str


def of(run: Run) -> Cost:
    """Counts a run's network by tracing it, and reads the rest off its artefacts."""
    config = run.config
    model = network.build(config, len(run.answers.classes))
    size = config.data.image_size
    counted = _count(model, size, config.model.channels)
    rates = [line["train/images_per_s"] for line in run.lines if "train/images_per_s" in line]
    rate = float(np.median(rates)) if rates else 0.0
    joules = [session["joules"] for session in run.sessions]
    return Cost(
        parameters=counted.parameters,
        flops=counted.flops,
        image_size=size,
        train_seconds=sum(each["seconds"] for each in run.sessions) if run.sessions else None,
        images_per_s=rate or None,
        seconds_per_picture=1 / rate if rate else None,
        joules=sum(joules) if joules and None not in joules else None,
        hardware=", then ".join(dict.fromkeys(map(_hardware, run.sessions))),
    )


def _hardware(session: dict[str, Any]) -> str:
    if session["device"] == "cpu":  # that says nothing of its speed
        return f"{session['host']['cores']} cores of {session['host']['cpu']}"
    return f"{session['devices']} x {session['device']}"
