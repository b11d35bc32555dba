"""`bcjax.calibrate`: fits temperature, conformal sets, abstention and outlier scores on val."""

import dataclasses
from pathlib import Path

from bcjax import config as configs
from bcjax.evaluation import trained_network
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration import outliers
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.calibration.measure import CalibrationMeasurements, measure
from bcjax.evaluation.calibration.outliers import NotCells
from bcjax.evaluation.evaluator import Evaluator
from bcjax.evaluation.images import find_pictures
from bcjax.runtime.errors import UserError

_UNFIT = {
    "test": "its figures would no longer be of pictures unseen",
    "train": "a network is surer of pictures that it was trained on",
}


def calibrate(
    workdir: str | Path,
    checkpoint: str | int = "best",
    *,
    split: str = "val",
    coverage: float = 0.9,
    error_rate: float = 0.05,
    not_cells: str | Path | None = None,
    batch_size: int | None = None,
) -> tuple[Calibration, CalibrationMeasurements]:
    """Calibrates a checkpoint, and writes the calibration to the run's folder.

    `predict` and `evaluate` use it from then on. It holds the temperature, conformal sets, the
    confidence below which an answer is `uncertain`, and what outliers look like.

    Args:
      workdir: The run's folder.
      checkpoint: "best", "latest" or a step.
      split: The split it is fitted on. It must be one that the network was not trained on, and not
        the one of the final figures.
      coverage: Share of the conformal sets that shall hold the true class, in (0, 1).
      error_rate: The highest error rate allowed among answers that are not `uncertain`, in (0, 1).
      not_cells: A folder of pictures of other things, to measure how well outlier scores find
        them; None: this is not measured.
      batch_size: Pictures at a time; None: as the run did.

    Returns:
      The calibration, and what it does to the split that it was fitted on.

    Raises:
      UserError: If there is no such checkpoint or split, the split is of no use here, a number is
        out of range, an answer is not finite, or a picture in `not_cells` cannot be read.
    """
    workdir = Path(workdir)
    configs.check_argument("coverage", coverage, like="eval.coverage")
    configs.check_argument("error_rate", error_rate, like="eval.error_rate")
    if split in _UNFIT:
        raise UserError(f"Nothing is calibrated on {split}, for {_UNFIT[split]}: use split=val.")
    others = find_pictures([str(not_cells)]) if not_cells else []
    held = Evaluator(workdir, split=split, batch_size=batch_size)
    trained = held.load(str(checkpoint))
    answers = held.answers(trained)
    calibration = calibrations.fit(
        answers, step=trained.step, split=split, coverage=coverage, error_rate=error_rate
    )
    training = Evaluator(workdir, split="train", batch_size=batch_size)
    features, labels = training.features(trained)
    calibration = dataclasses.replace(
        calibration,
        outliers=outliers.fit(features, labels, held.features(trained)[0], answers.logits),
    )
    if others:
        separation = _separate(workdir, calibration, others, batch_size or 64)
        calibration = dataclasses.replace(calibration, not_cells=separation)
    calibrations.write(calibration, workdir)
    return calibration, measure(calibration, answers)


def _separate(
    workdir: Path, calibration: Calibration, paths: list[Path], batch_size: int
) -> NotCells:
    """Measures how well outlier scores separate pictures of other things from held-out cells."""
    network = trained_network.load(workdir, calibration.step, calibration=calibration)
    predictions = network.predict(paths, batch_size)
    if bad := predictions.unreadable:
        raise UserError(
            f"{len(bad)} of {len(paths)} pictures cannot be read ({bad[0].name}: {bad[0].reason})."
        )
    assert calibration.outliers
    assert predictions.energy is not None
    assert predictions.distance is not None
    return outliers.separate(calibration.outliers, predictions.energy, predictions.distance)
