"""Robustness: how a network answers corrupted pictures, for every corruption and severity."""

import dataclasses
import functools
import logging

import jax
from jax.sharding import Sharding
from jaxtyping import Array, Int32

from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.step import gather
from bcjax.evaluation.corruptions.corruption_evaluation import (
    CorruptionEvaluation,
    CorruptionScores,
)
from bcjax.evaluation.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bcjax.evaluation.evaluation import Estimates
from bcjax.evaluation.evaluator import Evaluator
from bcjax.evaluation.guards import cautions
from bcjax.metrics import scores
from bcjax.metrics.intervals import Estimate
from bcjax.metrics.resampling import Resampled, combine, mean, resample
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir

METRICS = ("accuracy", "balanced_accuracy")

log = logging.getLogger("bcjax")


@dataclasses.dataclass(frozen=True)
class CorruptedView:
    """A view of a split: each picture corrupted, in the same way whatever batch it is in.

    Attributes:
      name: The corruption.
      severity: 0 (the picture as it is) to 5; all are one compiled program.
    """

    name: str
    severity: int

    def __call__(self, batch: Batch, pictures: StoredArrays) -> Batch:
        """Returns the batch with the corrupted pictures, uint8, from whatever store they came."""
        return _corrupted(batch, pictures, self.severity, self.name, batch["index"].sharding)


@functools.partial(jax.jit, static_argnames=("name", "sharding"))
def _corrupted(
    batch: Batch, pictures: StoredArrays, severity: Int32[Array, ""], name: str, sharding: Sharding
) -> Batch:
    gathered = gather(batch, pictures)
    gathered["image"] = corrupt(name, gathered["image"], gathered["index"], severity)
    # Divided over the devices as the batch is, so that the network takes it like any batch.
    return jax.lax.with_sharding_constraint(gathered, sharding)


def evaluate(evaluator: Evaluator, which: str, *, strict: bool = False) -> CorruptionEvaluation:
    """Evaluates a checkpoint on clean pictures and under each corruption and severity.

    The corruptions are MedMNIST-C's for blood cells, in five severities. The result is written to
    `eval/<name>-corruptions.json`.

    Args:
      evaluator: The evaluator of the run and the split.
      which: "best", "latest" or a step.
      strict: Whether figures with cautions are refused.

    Raises:
      UserError: If there is no such checkpoint; with `strict` also if there is any caution.
    """
    pictures = evaluator.pictures
    sentences = cautions.with_leaks(pictures.cautions, pictures.leaks)
    if strict:
        cautions.refuse(sentences)
    trained = evaluator.load(which)
    resamples = evaluator.config.eval.resamples

    def measure(name: str, severity: int) -> dict[str, Resampled]:
        answers = evaluator.answers(trained, CorruptedView(name, severity))
        metrics = resample(
            answers.predictions(), answers.groups, resamples=resamples, kind=scores.counts
        )
        return {metric: metrics.metric(metric) for metric in METRICS}

    # Severity 0 is the picture as it is, asked for as a view so that the network is compiled once.
    clean = measure(next(iter(CORRUPTIONS)), 0)
    rows, means = [], []
    for name in CORRUPTIONS:
        log.info("Corruption %s ...", name)
        each = [measure(name, severity) for severity in SEVERITIES]
        means.append({metric: mean(*(one[metric] for one in each)) for metric in METRICS})
        rows.append(
            CorruptionScores(
                name,
                tuple(_named_estimates(one) for one in each),
                _mean_estimates(means[-1]),
                *_errors(means[-1], clean),
            )
        )
    overall = {metric: mean(*(one[metric] for one in means)) for metric in METRICS}
    error, over_clean = _errors(overall, clean)
    path = RunDir(evaluator.workdir).corruptions(evaluator.name)
    evaluation = CorruptionEvaluation(
        split=pictures.split,
        checkpoint=trained.step,
        source=pictures.source,
        cautions=sentences,
        leaks=pictures.leaks,
        n=len(overall["accuracy"].units),
        classes=trained.classes,
        severities=SEVERITIES,
        resamples=resamples,
        seed=0,
        augment=tuple(evaluator.config.augment.ops),
        clean=_named_estimates(clean),
        corruptions=tuple(rows),
        mean=_mean_estimates(overall),
        mean_corruption_error=error,
        over_clean=over_clean,
        path=path,
    )
    files.write_json(path, evaluation.to_dict())
    return evaluation


def _errors(means: dict[str, Resampled], clean: dict[str, Resampled]) -> tuple[Estimate, Estimate]:
    """Returns the mean error, and that minus the error on clean pictures."""
    balanced = means["balanced_accuracy"]
    error = combine(lambda value: 1 - value, balanced)
    over_clean = combine(lambda before, after: before - after, clean["balanced_accuracy"], balanced)
    return error.estimate(), over_clean.estimate()


def _named_estimates(metrics: dict[str, Resampled]) -> Estimates:
    return {name: each.estimate(name) for name, each in metrics.items()}


def _mean_estimates(metrics: dict[str, Resampled]) -> Estimates:
    # Without its name, since a mean of proportions is none: its interval is from the resamples.
    return {name: each.estimate() for name, each in metrics.items()}
