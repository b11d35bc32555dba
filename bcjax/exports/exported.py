"""What an export wrote, and what was checked of it: as it is kept, and as reports read it."""

import dataclasses
from pathlib import Path
from typing import Self

from bcjax.metrics.intervals import Estimate
from bcjax.metrics.resampling import Difference
from bcjax.runtime.result import Result

PAGE, CERTIFICATE = "model.json", "certificate.json"
TOLERANCE = 1e-4  # of a probability
DISTANCE_TOLERANCE = 1e-2  # of a distance, relative: a float32 sum of many squares


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
      same_label: How many have the same most probable class as by the network itself, or one that
        the network finds as probable up to twice the tolerance.
      difference: The largest difference of a probability.
      distance_difference: The largest relative difference of a distance; None: the file has none.
      tolerance: The most that `difference` may be; None: the file has other numbers than the
        network, and it is the accuracy that counts.
      max_loss: The most that the accuracy may fall.
      accuracy: The accuracy of the file's answers on these pictures.
      loss: How much higher the network's own accuracy is, with an interval over pictures.
      calibration_error: The expected calibration error of the file's answers.
      own_calibration_error: The same of the network's own.
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
    tolerance: float | None
    max_loss: float
    accuracy: Estimate | None
    loss: Difference
    calibration_error: float
    own_calibration_error: float
    p50_ms: float
    p99_ms: float
    hardware: str

    @property
    def fault(self) -> str:
        """What is wrong with the file, as a sentence; "" if nothing is."""
        if self.tolerance is not None:
            if (self.distance_difference or 0) > DISTANCE_TOLERANCE:
                return (
                    f"{self.file} judges otherwise how strange a picture is: distances differ by "
                    f"up to {self.distance_difference:.1%}, where {DISTANCE_TOLERANCE:.0%} is "
                    "allowed."
                )
            if self.same_label == self.n and self.difference <= self.tolerance:
                return ""
            return (
                f"{self.file} answers otherwise than the network: {self.n - self.same_label} of "
                f"{self.n} pictures get another class, and probabilities differ by up to "
                f"{self.difference:.1e}, where {self.tolerance:.0e} is allowed."
            )
        lost, low, high = self.loss.value, self.loss.low, self.loss.high
        if lost is None or lost <= self.max_loss:
            return ""
        interval = "" if low is None or high is None else f" ({low:.1%} to {high:.1%})"
        return (
            f"{self.file} loses {lost:.1%} of the accuracy{interval}, where {self.max_loss:.1%} is "
            "allowed: export it in another format, or allow more."
        )


@dataclasses.dataclass(frozen=True)
class Exported(Result):
    """The files that an export wrote.

    Attributes:
      checkpoint: The step of the network's checkpoint; of several the first one's.
      certificates: What was checked of each file.
      cautions: Sentences that whoever uses the files must know.
      folder: Their folder.
    """

    checkpoint: int
    certificates: tuple[Certificate, ...]
    cautions: tuple[str, ...]
    folder: Path = dataclasses.field(default=Path(), compare=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that answer, in the order of `certificates`."""
        return tuple(self.folder / each.file for each in self.certificates)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what an earlier export wrote to a folder.

        Raises:
          UserError: If its certificates are missing or damaged.
        """
        found = cls.read_file(folder / CERTIFICATE, "export the run anew")
        return dataclasses.replace(found, folder=folder)
