"""How far a file's answers differ from the network's own, on held-out pictures."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.evaluation.answer_times import time_calls
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports.servable import DISTANCE, PROBABILITIES
from bcjax.metrics.intervals import Estimate, proportion
from bcjax.runtime import environment
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result

TOLERANCE = 1e-4  # of a probability
_PICTURES = 200
_BATCH = 32

Runtime = Callable[[UInt8[np.ndarray, "B H W 3"]], dict[str, Float[np.ndarray, "..."]]]


@dataclasses.dataclass(frozen=True)
class Certificate(Result):
    """What was checked of an exported file.

    Attributes:
      file: The file's name.
      format: The format's name.
      sha256: The digest of the file.
      bytes: Its size.
      runtime: What answered, with its version.
      split: The split of the pictures, on which the network was not trained.
      n: The number of pictures.
      same_label: How many have the same most probable class as by the network itself.
      difference: The largest difference of a probability.
      distance_difference: The largest relative difference of a distance; None: the file has none.
      tolerance: The most that `difference` may be.
      accuracy: The accuracy of the file's answers on these pictures.
      p50_ms: Median of the time of one picture's answer, in milliseconds.
      p99_ms: Its 99th percentile.
      hardware: The machine that this was measured on.
    """

    file: str
    format: str
    sha256: str
    bytes: int
    runtime: str
    split: str
    n: int
    same_label: int
    difference: float
    distance_difference: float | None
    tolerance: float
    accuracy: Estimate
    p50_ms: float
    p99_ms: float
    hardware: str

    @property
    def fault(self) -> str:
        """What is wrong with the file, as a sentence; "" if nothing is."""
        if self.same_label == self.n and self.difference <= self.tolerance:
            return ""
        return (
            f"{self.file} answers otherwise than the network: {self.n - self.same_label} of "
            f"{self.n} pictures get another class, and probabilities differ by up to "
            f"{self.difference:.1e}, where {self.tolerance:.0e} is allowed."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Pictures that a network was not trained on, and its own answers.

    Attributes:
      split: Their split.
      images: As the network reads them, (N, height, width, 3).
      labels: Their classes.
      probabilities: The network's answers.
      distances: Their distances; None: outliers cannot be told.
    """

    split: str
    images: UInt8[np.ndarray, "N height width 3"]
    labels: Int[np.ndarray, "N"]
    probabilities: Float[np.ndarray, "N C"]
    distances: Float[np.ndarray, "N"] | None


def held_out(net: TrainedNetwork, most: int = _PICTURES) -> HeldOut:
    """Reads pictures of the run's test split, or of val if it has none, evenly over the split.

    Args:
      net: The network, in float32.
      most: How many pictures at most.

    Raises:
      UserError: If the pictures are gone, or none was held out.
    """
    data = net.config.data
    if not data.source:
        raise UserError(
            f"{net.workdir} was made from weights and has no pictures to check a file with: train "
            "it on yours first."
        )
    prepared = prepare(data, own_names=True)
    split = next((each for each in ("test", "val") if prepared.size(each)), None)
    if split is None:
        raise UserError(
            f"{prepared.path} holds no pictures out to check a file with: set data.val_fraction."
        )
    count = prepared.size(split)
    rows = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    transform = InputTransform.from_config(data)
    found = prepared.examples(split)[rows]
    images = np.stack([transform(example.image) for example in found])
    answered = net.predict(images)
    return HeldOut(
        split, images, np.array([example.label for example in found]), answered.probabilities,
        answered.distance,
    )  # fmt: skip


def check(
    file: Path, name: str, format_name: str, runtime: Runtime, held: HeldOut, runtime_name: str
) -> Certificate:
    """Compares the answers of a file with the network's own.

    Args:
      file: The file.
      name: The name that it will have.
      format_name: The name of its format.
      runtime: What answers with it.
      held: The pictures.
      runtime_name: Name and version of what answers.
    """
    parts = [
        runtime(held.images[start : start + _BATCH]) for start in range(0, len(held.images), _BATCH)
    ]
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    probabilities = found[PROBABILITIES].astype(np.float64)
    labels, own = probabilities.argmax(axis=1), held.probabilities.argmax(axis=1)
    distance = None
    if held.distances is not None and DISTANCE in found:
        distance = float((np.abs(found[DISTANCE] - held.distances) / held.distances).max())
    times = time_calls(lambda: runtime(held.images[:1]), least=10, most=200)
    return Certificate(
        file=name,
        format=format_name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        bytes=file.stat().st_size,
        runtime=runtime_name,
        split=held.split,
        n=len(held.images),
        same_label=int((labels == own).sum()),
        difference=float(np.abs(probabilities - held.probabilities).max()),
        distance_difference=distance,
        tolerance=TOLERANCE,
        accuracy=proportion(labels == held.labels),
        p50_ms=1e3 * float(np.median(times)),
        p99_ms=1e3 * float(np.percentile(times, 99)),
        hardware=environment.hardware(jax.local_devices()[0].device_kind),
    )
