"""The calibration of one checkpoint of a run: fitted, written to the run's folder, and read."""

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import numpy as np
from jaxtyping import Float

from bcjax.evaluation import answers as answer_files
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import abstention, conformal, temperature
from bcjax.evaluation.calibration.abstention import Abstention
from bcjax.evaluation.calibration.conformal import Conformal
from bcjax.evaluation.calibration.outliers import NotCells, Outliers
from bcjax.evaluation.calibration.temperature import FittedTemperature
from bcjax.evaluation.prevalence import Prevalence
from bcjax.metrics import intervals
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
      temperature: What the logits are divided by; 1 where none was fitted.
      conformal: Sets of classes, from the probabilities at that temperature.
      abstention: When not to answer, from the same probabilities.
      outliers: What training pictures look like to the network; None: not fitted.
      not_cells: How well `outliers` tells pictures that are no cells; None: not measured.
      fitted: The temperature with its interval, or why none was fitted; None: an earlier version
        fitted it, which did neither.
      networks: The networks that answered together, as `name_networks` names them; (): one alone.
      cautions: Sentences about the pictures it was fitted on, where these had a part in something
        that the network came from; see `guards`.
      path: The file that it was written to or read from.
      answers: The answers that it was fitted to, where it was fitted just now; see `at`.
      prevalence: The prevalence at which its probabilities are; None: that of the training.
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
    fitted: FittedTemperature | None = None
    networks: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    path: Path | None = dataclasses.field(default=None, compare=False)
    answers: Answers | None = dataclasses.field(default=None, compare=False, repr=False)
    prevalence: Prevalence | None = dataclasses.field(default=None, compare=False)

    def at(self, prevalence: Prevalence | None) -> Self:
        """Returns it for another prevalence; the sets are weighted, see `conformal.fit`.

        The threshold of `abstention` stays: at another prevalence its error rate is not promised.

        Args:
          prevalence: The prevalence; None: it stays as it is.

        Raises:
          UserError: If the answers that it was fitted to were not kept, by a version before.
        """
        if prevalence is None:
            return self
        kept = self.answers
        if kept is None and self.path and self.path.with_suffix(".parquet").exists():
            kept = answer_files.read(self.path.with_suffix(".parquet"))
        if kept is None:
            raise UserError(
                f"The answers that {self.path} was fitted to were not kept, which prevalence needs "
                "for its conformal sets: run bcjax calibrate anew."
            )
        probabilities = prevalence.probabilities(kept.logits, kept.classes, self.temperature)
        sets = conformal.fit(
            probabilities,
            kept.labels,
            self.conformal.coverage,
            prevalence.weights(kept.labels, kept.classes),
        )
        return dataclasses.replace(self, conformal=sets, prevalence=prevalence)

    def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Returns the calibrated probabilities of raw logits, float64."""
        if self.prevalence:
            return self.prevalence.probabilities(logits, self.classes, self.temperature)
        return temperature.probabilities(logits, self.temperature)


def fit(
    answers: Answers,
    *,
    step: int,
    split: str,
    coverage: float,
    error_rate: float,
    resamples: int = 1000,
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
      resamples: Resamples of the bootstrap behind the temperature's interval; 0: it has none.

    Raises:
      ValueError: If a logit is not finite.
    """
    if not np.isfinite(answers.logits).all():
        raise ValueError("Nothing can be fitted to logits that are not finite.")
    units = intervals.units(answers.groups, answers.n)
    fitted = temperature.fit_if_determined(answers.logits, answers.labels, units, resamples)
    probabilities = temperature.probabilities(answers.logits, fitted.value)
    return Calibration(
        step=step,
        split=split,
        n=answers.n,
        classes=answers.classes,
        temperature=fitted.value,
        conformal=conformal.fit(probabilities, answers.labels, coverage),
        abstention=abstention.fit(probabilities, answers.labels, error_rate),
        outliers=None,
        not_cells=None,
        fitted=fitted,
        answers=answers,
    )


def name_networks(folder: Path, networks: Iterable[tuple[Path, int]]) -> tuple[str, ...]:
    """Returns the names by which the calibration of an ensemble knows its networks.

    Args:
      folder: The run's folder that the calibration is written to.
      networks: The folder of each network's run, and the step of its checkpoint.
    """
    return tuple(sorted(f"{os.path.relpath(run, folder)}@{step}" for run, step in networks))


def write(calibration: Calibration, workdir: Path) -> Path:
    """Writes `calibration/<step>.json`, and arrays to `.npz` beside it; returns the JSON's path.

    The answers that it was fitted to are written to `.parquet` beside it.
    The calibration of an ensemble is `calibration/ensemble.json`.
    """
    name = "ensemble" if calibration.networks else calibration.step
    path = RunDir(workdir).calibration(name)
    page = calibration.to_dict()
    if calibration.outliers:
        arrays = {name: page["outliers"].pop(name) for name in _ARRAYS}
        outliers = RunDir(workdir).outliers(calibration.step)
        with files.atomic(outliers) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    if calibration.answers:
        answer_files.write(calibration.answers, RunDir(workdir).calibration_answers(name))
    files.write_json(path, page)
    return path


def read_ensemble(workdir: Path, networks: Iterable[tuple[Path, int]]) -> Calibration | None:
    """Reads the calibration of an ensemble; None if there is none, or it is one of other networks.

    Args:
      workdir: The folder of the first network's run, or of the members' run.
      networks: The folder of each network's run, and the step of its checkpoint.

    Raises:
      UserError: If it is damaged.
    """
    found = read(workdir, "ensemble")
    return found if found and found.networks == name_networks(workdir, networks) else None


def read(workdir: Path, step: int | Literal["ensemble"]) -> Calibration | None:
    """Reads the calibration of a checkpoint, or of an ensemble; None if there is none.

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
            with np.load(path.with_suffix(".npz")) as arrays:
                page["outliers"] |= arrays
        return dataclasses.replace(Calibration.from_dict(page), path=path)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        of = "" if step == "ensemble" else f" --checkpoint={step}"
        raise UserError(
            f"{path} is damaged ({error}): run bcjax calibrate --workdir={workdir}{of} anew."
        ) from error
