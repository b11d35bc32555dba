"""Calibrates a checkpoint of a run on pictures that were held out of its training."""

import dataclasses
from pathlib import Path

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import fitted, outliers
from bcjax.evaluation.calibration.fitted import Calibration
from bcjax.evaluation.evaluator import Evaluator
from bcjax.runtime.errors import UserError

_UNFIT = {
    "test": "its figures would no longer be of pictures unseen",
    "train": "a network is surer of pictures that it was trained on",
}


def fit(
    workdir: Path,
    which: str = "best",
    *,
    split: str = "val",
    coverage: float = 0.9,
    error_rate: float = 0.05,
    batch_size: int = 0,
) -> tuple[Calibration, Answers]:
    """Fits a calibration, outliers too; `fitted.write` writes it.

    Args:
      workdir: The run's folder.
      which: "best", "latest" or a step.
      split: That it is fitted on: neither trained on, nor what the final figures are of.
      coverage: Of conformal sets, in (0, 1).
      error_rate: Among pictures that are not `uncertain`, in (0, 1).
      batch_size: Pictures at a time; 0: as the run did.

    Returns:
      The calibration, and the split's answers.

    Raises:
      UserError: If there is no such checkpoint or split, it is of no use here, a number is out of
        range, or an answer is not finite.
    """
    check(coverage=coverage, error_rate=error_rate)
    if split in _UNFIT:
        raise UserError(f"Nothing is calibrated on {split}, for {_UNFIT[split]}: use --split=val.")
    held = Evaluator(workdir, split=split, batch_size=batch_size)
    trained = held.load(which)
    answers = held.answers(trained)
    calibration = fitted.fit(
        answers, step=trained.step, split=split, coverage=coverage, error_rate=error_rate
    )
    features, labels = Evaluator(workdir, split="train", batch_size=batch_size).features(trained)
    strange = outliers.fit(features, labels, held.features(trained)[0], answers.logits)
    return dataclasses.replace(calibration, outliers=strange), answers


def check(**shares: float) -> None:
    """Checks that each is in (0, 1).

    Raises:
      UserError: Naming the first that is not.
    """
    for name, value in shares.items():
        if not 0 < value < 1:
            raise UserError(
                f"--{name.replace('_', '-')} is {value:g}: it must lie between 0 and 1."
            )
