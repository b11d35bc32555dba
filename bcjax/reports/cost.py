"""What a run costs: its network's size, its training, and its answers."""

import contextlib
import dataclasses
import functools
from typing import Any

import numpy as np

from bcjax.config import ImageSize
from bcjax.evaluation.inference_cost import InferenceCost
from bcjax.reports.pages.formatting import NONE, duration, energy, milliseconds, rate, size
from bcjax.reports.run_record import RunRecord
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Session, read_sessions, total_joules


@dataclasses.dataclass(frozen=True)
class Cost(Result):
    """What a run costs. What its folder does not tell is None.

    Attributes:
      parameters: Parameters of the network.
      flops: For the logits of one picture of the run's own size; a multiply-add counts as two.
      file_bytes: Bytes of the parameters and batch statistics of a checkpoint, uncompressed.
      image_size: Size of the pictures in pixels, as `data.image_size` states it.
      train_seconds: Wall time of all sessions, compilation and evaluations included.
      images_per_s: Median over the log lines of training.
      seconds_per_picture: The inverse of `images_per_s`.
      joules: Energy of all sessions, if all of them could read it.
      hardware: What the run, or its members, were trained on, such as "8 x TPU v5e"; "" if
        unknown.
      inference: What answers cost, as it was measured for the run's first report.
    """

    parameters: int
    flops: int
    file_bytes: int
    image_size: int | tuple[int, int]
    train_seconds: float | None
    images_per_s: float | None
    seconds_per_picture: float | None
    joules: float | None
    hardware: str
    inference: InferenceCost | None = None


def cost(run: RunRecord) -> Cost:
    """Counts the run's network by tracing it, and reads the rest from the folder.

    Raises:
      UserError: If the network cannot be built, because a module that registers it is missing.
    """
    counted = _counted(run)
    rates = [line["train/images_per_s"] for line in run.log if "train/images_per_s" in line]
    median = float(np.median(rates)) if rates else 0.0
    of_members = [
        session
        for folder in run.run_dir.members()
        for session in read_sessions(RunDir(folder).sessions)
    ]
    return Cost(
        **counted,
        image_size=run.config.data.image_size,
        train_seconds=sum(each.seconds for each in run.sessions) if run.sessions else None,
        images_per_s=median or None,
        seconds_per_picture=1 / median if median else None,
        joules=total_joules(run.sessions),
        hardware=", then ".join(dict.fromkeys(map(_hardware, run.sessions or of_members))),
        inference=run.inference_cost,
    )


def rows(spent: Cost) -> list[tuple[str, str, str]]:
    """Returns each cost as (name, value, how it was counted or measured), always in this order."""
    trained_on = f"on {spent.hardware}, " if spent.hardware else ""
    height, width = ImageSize.of(spent.image_size)
    return [
        ("parameters", f"{spent.parameters:,}", "all trainable numbers"),
        (
            "GFLOPs",
            f"{spent.flops / 1e9:.3g}",
            f"logits of one picture of {height} by {width} px; a multiply-add counts as two",
        ),
        ("file size", size(spent.file_bytes), "parameters and batch statistics, uncompressed"),
        (
            "training time",
            duration(spent.train_seconds),
            f"{trained_on}compilation and evaluations included",
        ),
        ("training images/s", rate(spent.images_per_s), "median of the log lines"),
        ("training energy", energy(spent.joules), "as far as the machine has counters"),
        *_of_answers(spent.inference),
    ]


def _of_answers(measured: InferenceCost | None) -> list[tuple[str, str, str]]:
    names = (
        "latency p50",
        "latency p99",
        "images/s",
        "peak memory",
        "memory, estimated",
        "process",
    )
    if measured is None:
        return [(name, NONE, "not measured") for name in names]
    where, batch = measured.hardware, f"calls with {measured.batch_size} pictures"
    held = "measured on the device"
    if measured.device_bytes is None:
        held = "the device measures none, or the process had held more before"
    values = (
        (
            milliseconds(measured.p50_ms),
            f"median of {measured.calls:,} calls with one picture on {where}",
        ),
        (milliseconds(measured.p99_ms), "99 % of these calls stay below"),
        (rate(measured.images_per_s), f"{batch} on {where}"),
        (size(measured.device_bytes), held),
        (size(measured.estimated_bytes), f"the compiler's estimate, {batch}"),
        (
            size(measured.process_bytes),
            "memory of the process that measured: Python, libraries, data",
        ),
    )
    return [(name, *each) for name, each in zip(names, values, strict=True)]


def measure(run: RunRecord) -> None:
    """Measures what the answers of a run's network cost, and keeps it in the folder of the run.

    It takes some seconds, and is done once: for a later report, the file is read. Nothing is
    measured where the network cannot be built.

    Raises:
      UserError: If the file is damaged.
    """
    if run.inference_cost:
        return
    # Here, because they import JAX, and the rest of a report does without it.
    from bcjax.engine import network
    from bcjax.evaluation import answer_times

    try:
        model = network.build(run.config, len(run.evaluation.classes))
    except UserError:
        return
    variables = answer_times.without_values(model, run.config)
    measured = answer_times.measure(model, variables, run.config)
    # A run in a folder that cannot be written to is reported all the same; the next report measures
    # again.
    with contextlib.suppress(OSError):
        files.write_json(run.run_dir.inference_cost, measured.to_dict())


def _counted(run: RunRecord) -> dict[str, int]:
    """Returns the parameters, FLOPs and bytes of a run's network."""
    from bcjax.engine import network  # here, because it imports JAX

    config = run.config
    model = network.build(config, len(run.evaluation.classes))
    return _counter()(model, ImageSize.of(config.data.image_size), config.model.channels)


@functools.cache
def _counter() -> Any:
    """Returns a function that counts a network once: members and sweeps often share one."""
    import jax

    from bcjax import models
    from bcjax.engine import network

    @functools.cache
    def counted(model: Any, pictures: ImageSize, channels: int) -> dict[str, int]:
        found = models.count(model, pictures, channels)
        shapes = jax.tree.leaves(network.variable_shapes(model, pictures, channels))
        return {
            "parameters": found.parameters,
            "flops": found.flops,
            "file_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in shapes),
        }

    return counted


def _hardware(session: Session) -> str:
    if session.device == "cpu":  # which says nothing of its speed
        return f"{session.host.cores} cores of {session.host.cpu}"
    return f"{session.devices} x {session.device}"
