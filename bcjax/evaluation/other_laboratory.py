"""A network on another laboratory's pictures, beside the same classes of its own test split."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.evaluation import (
    Evaluation,
    HomeFigures,
    LaboratoryComparison,
    OpenAndClosed,
    kept_answers,
)
from bcjax.evaluation.evaluator import Evaluator
from bcjax.evaluation.guards import cautions
from bcjax.metrics import resampling, scores
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.resampling import ResampledMetrics
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

METRICS = ("accuracy", "balanced_accuracy")
_HOME_SEED = 1  # not the seed of the other pictures, whose resamples are independent


def evaluate(evaluator: Evaluator, which: str) -> tuple[Evaluation, Answers]:
    """Evaluates a checkpoint on other data, and compares that with the home test split.

    Args:
      evaluator: The evaluator of the other data.
      which: "best", "latest" or a step.

    Raises:
      UserError: If there is no such checkpoint.
    """
    trained = evaluator.load(which)
    answers = evaluator.answers(trained)
    comparison = compare(evaluator, trained, answers)
    at_home = comparison.home.cautions if comparison.home else ()
    evaluation = evaluator.evaluate_answers(
        answers,
        trained.step,
        calibration=calibrations.read(evaluator.workdir, trained.step),
        extra_cautions=tuple(f"At home: {each}" for each in at_home),
        laboratory=comparison,
    )
    return evaluation, answers


def compare(
    evaluator: Evaluator, trained: RestoredNetwork, theirs: Answers
) -> LaboratoryComparison:
    """Measures answers to another laboratory's pictures beside those to the home test split.

    Args:
      evaluator: The evaluator of the other pictures.
      trained: The network that answered.
      theirs: Its answers to the pictures of mapped classes, as `evaluator.answers` gives them. Both
        sides are compared at the prevalence of the training, whatever else was stated.
    """
    mapping = evaluator.class_mapping
    assert mapping is not None, "only other data is compared"
    resamples = evaluator.config.eval.resamples
    theirs = dataclasses.replace(theirs, prevalence=None)  # as the home pictures are compared
    overlap = sorted({label for label in mapping.to_home if label >= 0})
    there = _resample(theirs, overlap, resamples, seed=0)
    split = trained.config.eval.final_split
    comparison = LaboratoryComparison(
        classes=mapping.mapped,
        left_out=mapping.left_out,
        stain=_describe_stain(evaluator.config.data),
        home_stain=_describe_stain(trained.config.data),
        n=theirs.n,
        home=None,
        drop=None,
        **_estimate(there),
    )
    try:
        answers, sentences = _answer_at_home(evaluator.workdir, trained, split)
    except UserError as error:
        return dataclasses.replace(comparison, why=str(error))
    answers = answers.take(np.flatnonzero(np.isin(answers.labels, overlap)))
    if not answers.n:
        why = f"The home {split} split has no picture of these classes."
        return dataclasses.replace(comparison, why=why)
    home = _resample(answers, overlap, resamples, seed=_HOME_SEED)
    drops = {
        way: {
            metric: resampling.combine(
                lambda a, b: a - b, home[way].metric(metric), there[way].metric(metric)
            ).estimate()
            for metric in METRICS
        }
        for way in there
    }
    return dataclasses.replace(
        comparison,
        home=HomeFigures(split=split, n=answers.n, cautions=sentences, **_estimate(home)),
        drop=OpenAndClosed(**drops),
    )


def _answer_at_home(
    workdir: Path, trained: RestoredNetwork, split: str
) -> tuple[Answers, tuple[str, ...]]:
    """Returns the network's answers to its own pictures, kept or new ones, and their cautions."""
    kept = kept_answers(workdir, split, trained.step)
    if kept is not None:
        evaluation = Evaluation.read(RunDir(workdir).evaluation(split))
        return kept, cautions.with_leaks(evaluation.cautions, evaluation.leaks)
    trained_on = RunDir(workdir).trained_on()
    if trained_on is None:
        raise UserError("The network was not trained here: there are no home pictures.")
    at_home = Evaluator(workdir, split=split)
    if not trained_on.same_pictures(at_home.prepared.as_trained_on()):
        raise UserError(
            "The home pictures, or their splits, are not those of the training any more: some may "
            "have been trained on."
        )
    pictures = at_home.pictures
    return at_home.answers(trained), cautions.with_leaks(pictures.cautions, pictures.leaks)


def _resample(
    answers: Answers, overlap: list[int], resamples: int, seed: int
) -> dict[str, ResampledMetrics]:
    """Measures answers whose labels lie in the overlap, open and closed; see `OpenAndClosed`."""
    closed = dataclasses.replace(answers, logits=answers.logits[:, overlap])
    predictions = {
        "open": Predictions(answers.probabilities(), answers.labels),
        "closed": Predictions(closed.probabilities(), np.searchsorted(overlap, answers.labels)),
    }
    return {
        way: resampling.resample(
            each, answers.groups, resamples=resamples, seed=seed, kind=scores.counts
        )
        for way, each in predictions.items()
    }


def _estimate(both: dict[str, ResampledMetrics]) -> dict[str, Any]:
    """Returns the attributes of `OpenAndClosed`, as arguments for a subclass."""
    return {way: each.estimates(METRICS) for way, each in both.items()}


def _describe_stain(data: ConfigDict) -> str:
    if not data.stain:
        return "none"
    return f"{data.stain} to {data.stain_reference or 'the reference of its paper'}"
