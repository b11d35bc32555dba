"""How much the members of a run differ, and what they answer together."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.evaluation import ensemble
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.evaluation import Evaluation, MemberSummary, NetworkScores
from bcjax.evaluation.evaluator import Evaluator, OtherData, evaluate_answers
from bcjax.evaluation.guards import cautions
from bcjax.evaluation.guards.pictures import EvaluatedSplit
from bcjax.evaluation.prevalence import Stated
from bcjax.metrics import resampling
from bcjax.metrics import runs as several_runs
from bcjax.metrics.resampling import Resampled
from bcjax.metrics.scores import overall
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

Evaluated = tuple[Evaluation, Answers]

_RESAMPLES = 200  # a variance takes fewer than percentiles do


def evaluate_members(
    workdir: Path,
    which: str,
    *,
    split: str,
    other: OtherData | None = None,
    batch_size: int | None = None,
    prevalence: Stated | None = None,
) -> dict[Path, Evaluated]:
    """Evaluates each member of a run, and all of them together.

    Together they answer with the mean of their probabilities. Where each holds out another fold,
    they answer together with the answers that each gave to its own fold.

    Args:
      workdir: The folder of the run.
      which: "best", "latest" or a step.
      split: The split to evaluate.
      other: Other data than the run's own; None: the run's own.
      batch_size: Pictures at a time; None: as the run did.
      prevalence: The share of each class at which they answer; None: that of the training.

    Returns:
      Evaluation and answers by folder: those of the members, and last that of the run.

    Raises:
      UserError: If no member has a checkpoint, or an answer is not finite.
    """
    config = configs.load(workdir)
    own_folds = config.train.vary == "fold" and not other
    evaluated: dict[Path, Evaluated] = {}
    evaluator: Evaluator | None = None
    for folder in RunDir(workdir).members():
        if not RunDir(folder).checkpoints.exists():
            continue  # it diverged before the first checkpoint, or has not begun
        if evaluator is None or own_folds:
            evaluator = Evaluator(
                folder, split=split, other=other, batch_size=batch_size, prevalence=prevalence
            )
        else:
            evaluator = evaluator.for_member(folder)
        if evaluator.steps():
            evaluated[folder] = evaluator.evaluate(which)
    if not evaluated:
        raise UserError(f"{workdir} holds no member with a checkpoint yet: train first, or wait.")
    return evaluated | {workdir: evaluate_together(config, evaluated)}


def evaluate_together(config: ConfigDict, evaluated: Mapping[Path, Evaluated]) -> Evaluated:
    """Measures what members answer together.

    Args:
      config: The config of the run.
      evaluated: Evaluation and answers of each member on one split, by its folder.

    Returns:
      The evaluation, with the first member's checkpoint and the cautions of all, and the joint
      answers.
    """
    first = next(iter(evaluated.values()))[0]
    answers = [answers for _, answers in evaluated.values()]
    own = first.source == config.data.source
    held_out = own and config.train.vary == "fold" and first.split == config.eval.split
    whole = _concatenate(answers) if held_out else ensemble.together(answers)
    summary = summarise_members(
        [
            NetworkScores(str(folder), evaluation.checkpoint, evaluation.values)
            for folder, (evaluation, _) in evaluated.items()
        ],
        # The members that answer a fold each have no picture in common.
        _measure(answers, resamples=0 if held_out else min(config.eval.resamples, _RESAMPLES)),
    )
    known = cautions.of_several(
        {folder.name: evaluation.cautions for folder, (evaluation, _) in evaluated.items()}
    )
    calibration = None
    if not held_out:
        steps = [(folder, evaluation.checkpoint) for folder, (evaluation, _) in evaluated.items()]
        calibration = calibrations.read_ensemble(steps[0][0].parent, steps)
    evaluation = evaluate_answers(
        whole,
        EvaluatedSplit(first.split, first.source, own, known, first.leaks),
        first.checkpoint,
        resamples=config.eval.resamples,
        calibration=calibration,
        members=summary,
        held_out=held_out,
    )
    return evaluation, whole


def summarise_members(
    members: Sequence[NetworkScores], measured: Sequence[Mapping[str, Resampled]]
) -> MemberSummary:
    """Returns mean, deviation and interval over members of each metric that all of them have.

    Args:
      members: The members, and the values of their metrics.
      measured: The metrics of each member, on the same resamples; without draws where the members
        answered different pictures.
    """
    common = set.intersection(*(set(each.metrics) for each in members))
    statistics = {
        name: several_runs.mean([each[name] for each in measured])
        for name in members[0].metrics
        if name in common
    }
    return MemberSummary(statistics, tuple(members))


def _measure(answers: Sequence[Answers], resamples: int) -> list[dict[str, Resampled]]:
    """Returns the metrics of each member's answers, on the same resamples."""
    if len(answers) < 2:
        resamples = 0
    measured = [
        resampling.resample(each.predictions(), each.groups, resamples=resamples)
        for each in answers
    ]
    return [{name: each.metric(name) for name in overall(each.values)} for each in measured]


def _concatenate(answers: Sequence[Answers]) -> Answers:
    """Returns the answers one after another; each picture is in one of them."""
    return dataclasses.replace(
        answers[0],
        ids=tuple(id_ for each in answers for id_ in each.ids),
        groups=tuple(group for each in answers for group in each.groups),
        labels=np.concatenate([each.labels for each in answers]),
        logits=np.concatenate([each.logits for each in answers]),
        prevalence=ensemble.prevalence_of(answers),
    )
