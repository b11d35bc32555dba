"""`bcjax.calibrate`: fits temperature, conformal sets, abstention and outlier scores on val."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcjax import config as configs
from bcjax.evaluation import ensemble, trained_network
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration import outliers
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.calibration.measure import CalibrationMeasurements, measure
from bcjax.evaluation.calibration.outliers import NotCells
from bcjax.evaluation.evaluate import Checkpoint, listed
from bcjax.evaluation.evaluator import Evaluator
from bcjax.evaluation.images import find_pictures
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

_UNFIT = {
    "test": "its figures would no longer be of pictures unseen",
    "train": "a network is surer of pictures that it was trained on",
}


def calibrate(
    workdir: str | Path,
    checkpoint: Checkpoint | Sequence[Checkpoint] = "best",
    *,
    split: str = "val",
    coverage: float = 0.9,
    error_rate: float = 0.05,
    not_cells: str | Path | None = None,
    batch_size: int | None = None,
    runs: Sequence[str | Path] = (),
) -> tuple[Calibration, CalibrationMeasurements]:
    """Calibrates a network, or several that answer together, and writes it to the run's folder.

    `predict` and `evaluate` use it from then on. It holds the temperature, conformal sets, the
    confidence below which an answer is `uncertain`, and what outliers look like: the last of one
    network alone, for several have no common features. The members of a run are calibrated one by
    one and together. A soup that `evaluate` has written is a run like any other.

    Args:
      workdir: The run's folder.
      checkpoint: "best", "latest" or a step; of several (a sequence, or text with commas) the
        average is calibrated.
      split: The split it is fitted on. It must be one that the network was not trained on, and not
        the one of the final figures.
      coverage: Share of the conformal sets that shall hold the true class, in (0, 1).
      error_rate: The highest error rate allowed among answers that are not `uncertain`, in (0, 1).
      not_cells: A folder of pictures of other things, to measure how well outlier scores find
        them; None: this is not measured.
      batch_size: Pictures at a time; None: as the run did.
      runs: Folders of further runs, whose average with the first one is calibrated.

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
    checkpoints = listed(checkpoint)
    several = bool(runs or RunDir(workdir).members() or len(checkpoints) > 1)
    if several and not_cells:
        raise UserError(
            "not_cells is for one network, because several together have no features by which to "
            "know an outlier: leave it out, or calibrate one of the networks."
        )
    others = find_pictures([str(not_cells)]) if not_cells else []
    settings: dict[str, Any] = {"split": split, "coverage": coverage, "error_rate": error_rate}
    if not several:
        held, training = (
            Evaluator(workdir, split=each, batch_size=batch_size) for each in (split, "train")
        )
        calibration, answers = _calibrate_one(held, training, checkpoints[0], settings)
        if others:
            separation = _separate(workdir, calibration, others, batch_size or 64)
            calibration = dataclasses.replace(calibration, not_cells=separation)
        return _write(calibration, workdir), measure(calibration, answers)
    return _calibrate_together(workdir, runs, checkpoints, batch_size, settings)


def _calibrate_together(
    workdir: Path,
    runs: Sequence[str | Path],
    checkpoints: Sequence[str],
    batch_size: int | None,
    settings: Mapping[str, Any],
) -> tuple[Calibration, CalibrationMeasurements]:
    """Calibrates the average of networks; the members of one run alone as well."""
    for path in (workdir, *runs):
        _check_held_out(Path(path))
    members, split = RunDir(workdir).members(), settings["split"]
    alone = bool(members and not runs and len(checkpoints) == 1)  # as `evaluate` takes members
    if alone:
        # One may have diverged before its first checkpoint.
        folders = [member for member in members if RunDir(member).checkpoints.exists()] or members
        first, training = (
            Evaluator(folders[0], split=each, batch_size=batch_size) for each in (split, "train")
        )
        evaluators = [first, *map(first.for_member, folders[1:])]
    else:
        several = [RunDir(path).members() or [Path(path)] for path in (workdir, *runs)]
        folders = [run for each in several for run in each]
        evaluators = [Evaluator(path, split=split, batch_size=batch_size) for path in folders]
    networks = list(ensemble.load_networks(evaluators, checkpoints))
    parts = [network.evaluator.answers(network.trained) for network in networks]
    answers = ensemble.average(parts, [str(network) for network in networks])
    steps = [(network.workdir, network.trained.step) for network in networks]
    home = workdir if alone else folders[0]
    resamples = evaluators[0].config.eval.resamples
    calibration = calibrations.fit(answers, step=steps[0][1], resamples=resamples, **settings)
    said = (caution for each in evaluators for caution in each.pictures.cautions_of_ancestors)
    calibration = dataclasses.replace(
        calibration,
        networks=calibrations.name_networks(home, steps),
        cautions=tuple(dict.fromkeys(said)),
    )
    if alone:
        for held, (member, step) in zip(evaluators, steps, strict=True):
            own, _ = _calibrate_one(held, training.for_member(member), str(step), settings)
            _write(own, member)
    return _write(calibration, home), measure(calibration, answers)


def _write(calibration: Calibration, workdir: Path) -> Calibration:
    return dataclasses.replace(calibration, path=calibrations.write(calibration, workdir))


def _calibrate_one(
    held: Evaluator, training: Evaluator, which: str, settings: Mapping[str, Any]
) -> tuple[Calibration, Answers]:
    """Fits everything to one network; returns it with the answers that it was fitted to."""
    trained = held.load(which)
    answers = held.answers(trained)
    calibration = calibrations.fit(
        answers, step=trained.step, resamples=held.config.eval.resamples, **settings
    )
    features, labels = training.features(trained)
    strange = outliers.fit(features, labels, held.features(trained)[0], answers.logits)
    cautions = held.pictures.cautions_of_ancestors
    return dataclasses.replace(calibration, outliers=strange, cautions=cautions), answers


def _check_held_out(workdir: Path) -> None:
    """Refuses members of which each has trained on what another one holds out.

    Raises:
      UserError: It names the first of them.
    """
    members = RunDir(workdir).members()
    if members and configs.load(workdir).train.vary == "fold":
        raise UserError(
            f"The members in {workdir} hold out a fold each, so that there are no val pictures "
            f"that none was trained on: calibrate each of them, such as --workdir={members[0]}."
        )


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
