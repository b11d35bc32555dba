"""The calibration of one checkpoint of a run: fitted, written to the run's folder, and read."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import abstention, conformal, temperature
from bcjax.evaluation.calibration.abstention import Abstention
from bcjax.evaluation.calibration.conformal import Conformal
from bcjax.evaluation.calibration.outliers import NotCells, Outliers
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result
from bcjax.runtime.run_dir import RunDir

_ARRAYS = ("means", "whitening", "energies", "distances")  # fields of `Outliers`


@dataclasses.dataclass(frozen=True)
class Calibration(Result):
    """What the answers of one checkpoint are worth.

    Attributes:
      step: Step of the checkpoint.
      split: The split it was fitted on.
      n: Number of pictures it was fitted on.
      classes: Names of the classes, in the order of the logits.
      temperature: What the logits are divided by.
      conformal: Sets of classes, from the probabilities at that temperature.
      abstention: When not to answer, from the same probabilities.
      outliers: What training pictures look like to the network; None: not fitted.
      not_cells: How well `outliers` tells pictures that are no cells; None: not measured.
    """

    step: int
    split: str
    n: int
    classes: tuple[str, ...]
    temperature: float
    conformal: Conformal
    abstention: Abstention
    outliers: Outliers | None
    not_cells: NotCells | None

    def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Returns the calibrated probabilities of raw logits, float64."""
        return temperature.probabilities(logits, self.temperature)


def fit(
    answers: Answers, *, step: int, split: str, coverage: float, error_rate: float
) -> Calibration:
    """Fits everything that needs only logits: temperature, conformal sets and abstention.

    The temperature, a single number, is fitted on the same pictures as the thresholds after it;
    what that costs their guarantees is too small to be measured.

    Args:
      answers: Answers to pictures that the network was not trained on.
      step: Step of the checkpoint that answered.
      split: The split of the pictures.
      coverage: Share of the conformal sets that shall hold the true class, in (0, 1).
      error_rate: The highest error rate allowed among answered pictures, in (0, 1).

    Raises:
      ValueError: If a logit is not finite.
    """
    if not np.isfinite(answers.logits).all():
        raise ValueError("Nothing can be fitted to logits that are not finite.")
    best = temperature.fit(answers.logits, answers.labels)
    probabilities = temperature.probabilities(answers.logits, best)
    return Calibration(
        step=step,
        split=split,
        n=answers.n,
        classes=answers.classes,
        temperature=best,
        conformal=conformal.fit(probabilities, answers.labels, coverage),
        abstention=abstention.fit(probabilities, answers.labels, error_rate),
        outliers=None,
        not_cells=None,
    )


def write(calibration: Calibration, workdir: Path) -> Path:
    """Writes `calibration/<step>.json`, and arrays to `.npz` beside it; returns the JSON's path."""
    path = RunDir(workdir).calibration(calibration.step)
    page = calibration.to_dict()
    if calibration.outliers:
        arrays = {name: page["outliers"].pop(name) for name in _ARRAYS}
        outliers = RunDir(workdir).outliers(calibration.step)
        with files.atomic(outliers) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    files.write_json(path, page)
    return path


def read(workdir: Path, step: int) -> Calibration | None:
    """Reads the calibration of a checkpoint; None if there is none.

    Raises:
      UserError: If it is damaged.
    """
    path = RunDir(workdir).calibration(step)
    if not path.exists():
        return None
    try:
        page = json.loads(path.read_text())
        if not np.isfinite(page["temperature"] or 1.0):
            raise ValueError(f"its temperature is {page['temperature']}")
        if page["outliers"]:
            with np.load(RunDir(workdir).outliers(step)) as arrays:
                page["outliers"] |= arrays
        return Calibration.from_dict(page)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is damaged ({error}): run bcjax calibrate --workdir={workdir} "
            f"--checkpoint={step} anew."
        ) from error
