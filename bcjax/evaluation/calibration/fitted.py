"""What was fitted for one checkpoint of a run, and how it is written to the workdir and read."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import abstention, conformal, temperature
from bcjax.evaluation.calibration.abstention import Abstention
from bcjax.evaluation.calibration.conformal import Conformal
from bcjax.evaluation.calibration.outliers import Outliers
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

_ARRAYS = ("means", "whitening", "energies", "distances")  # of the outliers


@dataclasses.dataclass(frozen=True)
class Calibration:
    """All that is known of what a checkpoint's answers are worth.

    Attributes:
      step: Of the checkpoint.
      split: Whose pictures it was fitted on.
      n: How many these were.
      classes: Names, in the order of the logits.
      temperature: That logits are divided by.
      conformal: Sets of classes, of probabilities at that temperature.
      abstention: When not to answer, likewise.
      outliers: What training pictures look like to the network; None: nobody asked.
      not_cells: How well `outliers` tells pictures that are no cells, as `measure.strangers`
        returns it; None: nobody asked.
    """

    step: int
    split: str
    n: int
    classes: tuple[str, ...]
    temperature: float
    conformal: Conformal
    abstention: Abstention
    outliers: Outliers | None = None
    not_cells: dict[str, Any] | None = None

    def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Calibrated, float64."""
        return temperature.divide(logits, self.temperature)


def fit(
    answers: Answers, *, step: int, split: str, coverage: float, error_rate: float
) -> Calibration:
    """Fits all that logits are enough for.

    The temperature, one number, is fitted on the pictures that the thresholds are fitted on
    afterwards; what that costs their promises is below what can be measured.

    Args:
      answers: Of pictures that the network was not trained on.
      step: Of the checkpoint that answered.
      split: Where the pictures are from.
      coverage: Of conformal sets, in (0, 1).
      error_rate: Among pictures that are not `uncertain`, in (0, 1).

    Raises:
      ValueError: If a logit is not finite.
    """
    if not np.isfinite(answers.logits).all():
        raise ValueError("Nothing can be fitted to logits that are not finite.")
    best = temperature.fit(answers.logits, answers.labels)
    probabilities = temperature.divide(answers.logits, best)
    return Calibration(
        step=step,
        split=split,
        n=answers.n,
        classes=answers.classes,
        temperature=best,
        conformal=conformal.fit(probabilities, answers.labels, coverage),
        abstention=abstention.fit(probabilities, answers.labels, error_rate),
    )


def write(calibration: Calibration, workdir: Path) -> Path:
    """Writes `calibration/<step>.json`, and arrays to `.npz` beside it; returns the former."""
    run_dir = RunDir(workdir)
    path = run_dir.calibration(calibration.step)
    page = dataclasses.asdict(calibration)
    if calibration.outliers:
        arrays = {name: page["outliers"].pop(name) for name in _ARRAYS}
        # An open file, because numpy adds ".npz" to a path that lacks it.
        with (
            files.atomic(run_dir.outliers(calibration.step)) as partial,
            partial.open("wb") as file,
        ):
            np.savez(file, **arrays)
    files.write_json(path, page)
    return path


def read(workdir: Path, step: int) -> Calibration | None:
    """Reads what `write` wrote for a checkpoint, if it did.

    Raises:
      UserError: If it is damaged.
    """
    path = RunDir(workdir).calibration(step)
    if not path.exists():
        return None
    try:
        page = json.loads(path.read_text())
        page["classes"] = tuple(page["classes"])
        for name in ("least_by_class", "counts"):
            page["conformal"][name] = tuple(page["conformal"][name])
        page["conformal"] = Conformal(**page["conformal"])
        page["abstention"] = Abstention(**page["abstention"])
        if page["outliers"]:
            with np.load(RunDir(workdir).outliers(step)) as arrays:
                page["outliers"] = Outliers(**page["outliers"], **arrays)
        return Calibration(**page)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is damaged ({error}): run bcjax calibrate --workdir={workdir} "
            f"--checkpoint={step} anew."
        ) from error
