"""How far a file's answers differ from the network's own, on held-out pictures."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Protocol, Self

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.data.prepared import PreparedSet
from bcjax.evaluation.answer_times import time_calls
from bcjax.evaluation.trained_ensemble import TrainedEnsemble
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports.exported import TOLERANCE, Certificate
from bcjax.exports.servable import DISTANCE, PROBABILITIES
from bcjax.metrics import resampling
from bcjax.metrics.intervals import proportion
from bcjax.metrics.predictions import checked
from bcjax.metrics.resampling import ResampledMetrics
from bcjax.runtime import environment
from bcjax.runtime.errors import UserError

PICTURES = 200
MANY = 1000  # where it is the accuracy that counts
_BATCH = 32
_RESAMPLES = 1000


class FailedCheckError(Exception):
    """A file answers otherwise than the network; the message says how far."""


class Runtime(Protocol):
    """What answers pictures with a file; `name` is its own, with its version."""

    name: str

    def __call__(self, images: UInt8[np.ndarray, "B H W 3"]) -> dict[str, np.ndarray]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Pictures that a network was not trained on, and its own answers.

    Attributes:
      split: Their split.
      images: As the network reads them, (N, height, width, 3).
      labels: Their classes.
      groups: Patient, slide or source picture of each; "" where the data names none.
      classes: The names of the classes.
      probabilities: The network's answers.
      distances: Their distances; None: outliers cannot be told.
    """

    split: str
    images: UInt8[np.ndarray, "N height width 3"]
    labels: Int[np.ndarray, "N"]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: Float[np.ndarray, "N C"]
    distances: Float[np.ndarray, "N"] | None

    def some(self, most: int) -> Self:
        """Returns that many of them, evenly."""
        rows = np.unique(np.linspace(0, len(self.images) - 1, most).round().astype(int))
        return dataclasses.replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            groups=tuple(self.groups[row] for row in rows),
            probabilities=self.probabilities[rows],
            distances=None if self.distances is None else self.distances[rows],
        )

    def measured(self, probabilities: Float[np.ndarray, "N C"]) -> ResampledMetrics:
        """Measures answers to these pictures."""
        predictions = checked(probabilities, self.labels, self.classes)
        return resampling.resample(predictions, self.groups, resamples=_RESAMPLES)


def held_out(net: TrainedNetwork | TrainedEnsemble, most: int = PICTURES) -> HeldOut:
    """Reads pictures of the run's test split, or of val if it has none, evenly over the split.

    Args:
      net: The network, in float32. Of several the first one's run is meant.
      most: How many pictures at most.

    Raises:
      UserError: If the pictures are gone, or none was held out.
    """
    first = _first(net)
    prepared, split = _prepared(first, ("test", "val"))
    rows = _rows(prepared, split, most)
    encoded = _encoded(prepared, split, rows)
    answered = net.predict(encoded)
    return HeldOut(
        split,
        _decoded(first, encoded),
        labels=np.array(prepared.labels(split))[rows],
        groups=tuple(np.array(prepared.groups(split))[rows]),
        classes=net.classes,
        probabilities=answered.probabilities,
        distances=answered.distance,
    )


def typical(net: TrainedNetwork | TrainedEnsemble) -> UInt8[np.ndarray, "N height width 3"]:
    """Reads up to 200 pictures of val, or of train if there is no val, evenly over the split.

    Raises:
      UserError: If the pictures are gone.
    """
    first = _first(net)
    prepared, split = _prepared(first, ("val", "train"))
    return _decoded(first, _encoded(prepared, split, _rows(prepared, split, PICTURES)))


def _first(net: TrainedNetwork | TrainedEnsemble) -> TrainedNetwork:
    return net.networks[0] if isinstance(net, TrainedEnsemble) else net


def _prepared(net: TrainedNetwork, splits: tuple[str, ...]) -> tuple[PreparedSet, str]:
    """Opens the run's pictures; returns them with the first of these splits that has any."""
    if not net.config.data.source:
        raise UserError(
            f"{net.workdir} was made from weights and has no pictures to check a file with: train "
            "it on yours first."
        )
    prepared = prepare(net.config.data)
    split = next((each for each in splits if prepared.size(each)), None)
    if split is None:
        raise UserError(
            f"{prepared.path} holds no pictures out to check a file with: set data.val_fraction."
        )
    return prepared, split


def _rows(prepared: PreparedSet, split: str, most: int) -> Int[np.ndarray, "n"]:
    """Returns positions of pictures, as many of each class as it has its share of the split."""
    order = np.argsort(prepared.labels(split), kind="stable")
    places = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return np.sort(order[places])


def _encoded(prepared: PreparedSet, split: str, rows: Int[np.ndarray, "n"]) -> list[bytes]:
    return [example.image for example in prepared.examples(split)[rows]]


def _decoded(net: TrainedNetwork, encoded: list[bytes]) -> UInt8[np.ndarray, "n height width 3"]:
    transform = InputTransform.from_config(net.config.data)
    return np.stack([transform(each) for each in encoded])


def check(
    file: str,
    path: Path,
    form: str,
    runtime: Runtime,
    held: HeldOut,
    *,
    exact: bool,
    max_loss: float,
) -> Certificate:
    """Compares the answers of a file with the network's own.

    Args:
      file: The file's name in the folder of the export.
      path: Where it is now.
      form: The name of its format.
      runtime: What answers with it.
      held: The pictures.
      exact: Whether it must give the same answers; else its accuracy counts.
      max_loss: The most that the accuracy may fall then.

    Raises:
      FailedCheckError: If its answers are no probabilities.
    """
    parts = [
        runtime(held.images[start : start + _BATCH]) for start in range(0, len(held.images), _BATCH)
    ]
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    probabilities = found[PROBABILITIES].astype(np.float64)
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise FailedCheckError(f"{file} gives numbers that are no probabilities.")
    labels, own = probabilities.argmax(axis=1), held.probabilities
    below = own.max(axis=1) - np.take_along_axis(own, labels[:, None], axis=1)[:, 0]
    distance = None
    if held.distances is not None and DISTANCE in found:
        distance = float((np.abs(found[DISTANCE] - held.distances) / held.distances).max())
    measured, reference = held.measured(probabilities), held.measured(held.probabilities)
    times = time_calls(lambda: runtime(held.images[:1]), least=10, most=200)
    return Certificate(
        file=file,
        format=form,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        bytes=path.stat().st_size,
        runtime=runtime.name,
        split=held.split,
        n=len(held.images),
        same_label=int((below <= (2 * TOLERANCE if exact else 0)).sum()),
        difference=float(np.abs(probabilities - own).max()),
        distance_difference=distance,
        tolerance=TOLERANCE if exact else None,
        max_loss=max_loss,
        accuracy=proportion(labels == held.labels),
        loss=resampling.difference(reference.metric("accuracy"), measured.metric("accuracy")),
        calibration_error=measured.metric("ece").value,
        own_calibration_error=reference.metric("ece").value,
        p50_ms=1e3 * float(np.median(times)),
        p99_ms=1e3 * float(np.percentile(times, 99)),
        hardware=environment.hardware(jax.local_devices()[0].device_kind),
    )
