"""How a network bears corrupted pictures: the blood-cell suite after MedMNIST-C, all severities."""

import dataclasses
import functools
import logging

import jax
from jax.sharding import Sharding
from jaxtyping import Array, Int32

from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.step import gather
from bcjax.evaluation.corruptions.suite import CORRUPTIONS, SEVERITIES, corrupt
from bcjax.evaluation.evaluator import Evaluator, Result
from bcjax.metrics import scores
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.resampling import Resampled, combine, mean, resample

METRICS = ("accuracy", "balanced_accuracy")

log = logging.getLogger("bcjax")


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """A view of a split: each picture corrupted, in the same way in whatever batch.

    Attributes:
      name: Of the corruption.
      severity: 0 (as it is) to 5; all are one program.
    """

    name: str
    severity: int

    def __call__(self, batch: Batch, pictures: StoredArrays) -> Batch:
        """Returns the batch with the corrupted pictures, uint8, wherever they came from."""
        return _corrupted(batch, pictures, self.severity, self.name, batch["index"].sharding)


@functools.partial(jax.jit, static_argnames=("name", "sharding"))
def _corrupted(
    batch: Batch, pictures: StoredArrays, severity: Int32[Array, ""], name: str, sharding: Sharding
) -> Batch:
    shown = gather(batch, pictures)
    shown["image"] = corrupt(name, shown["image"], shown["index"], severity)
    # As the batch is divided over the devices, so that the network takes it as it takes a batch.
    return jax.lax.with_sharding_constraint(shown, sharding)


def evaluate(evaluator: Evaluator, which: str) -> Result:
    """Evaluates a checkpoint on a split, clean and under each corruption and severity.

    All figures are of the same pictures and the same resamples. Errors are 1 - balanced accuracy,
    as MedMNIST-C's, but not over those of an AlexNet, which it has of its own test pictures alone.

    Args:
      evaluator: Of the run and the split.
      which: "best", "latest" or a step.

    Returns:
      Plain Python values, ready for JSON, beside what every result says of its pictures:

      - `n`, `classes`, `severities`, `resamples`, `seed`; `augment`: what training showed
      - `clean`: figures accuracy and balanced_accuracy, of the pictures as they are
      - `corruptions`: for each its `name`; `severities`, the two figures at each; `mean`, the two
        over the severities; `error`, the mean error; `over_clean`, that less the clean error
      - `mean`, `mean_corruption_error` and `over_clean`: the means of those over the corruptions

    Raises:
      UserError: If there is no such checkpoint.
    """
    trained = evaluator.load(which)
    resamples = evaluator.config.eval.resamples

    def ask(name: str, severity: int) -> dict[str, Resampled]:
        answers = evaluator.answers(trained, Corrupted(name, severity))
        predictions = Predictions(answers.probabilities(), answers.labels)
        found = resample(predictions, answers.groups, resamples=resamples, kind=scores.counts)
        return {metric: found.metric(metric) for metric in METRICS}

    # Severity 0 is the picture as it is: so the network is compiled once.
    clean = ask(next(iter(CORRUPTIONS)), 0)
    rows, means = [], []
    for name in CORRUPTIONS:
        log.info("Corruption %s ...", name)
        each = [ask(name, severity) for severity in SEVERITIES]
        means.append({metric: mean(*(found[metric] for found in each)) for metric in METRICS})
        rows.append(
            {"name": name, "severities": [_figures(found) for found in each]}
            | _summary(means[-1], clean, "error")
        )
    overall = {metric: mean(*(found[metric] for found in means)) for metric in METRICS}
    return {
        "split": evaluator.split,
        "checkpoint": trained.step,
        "source": evaluator.config.data.source,
        **evaluator.about,
        "n": len(overall["accuracy"].units),
        "classes": list(trained.classes),
        "severities": list(SEVERITIES),
        "resamples": resamples,
        "seed": 0,
        "augment": list(evaluator.config.augment.ops),
        "clean": _figures(clean),
        "corruptions": rows,
        **_summary(overall, clean, "mean_corruption_error"),
    }


def _summary(means: dict[str, Resampled], clean: dict[str, Resampled], error: str) -> Result:
    balanced = means["balanced_accuracy"]
    return {
        "mean": {metric: found.estimate().to_dict() for metric, found in means.items()},
        error: combine(lambda value: 1 - value, balanced).estimate().to_dict(),
        "over_clean": combine(
            lambda before, after: before - after, clean["balanced_accuracy"], balanced
        )
        .estimate()
        .to_dict(),
    }


def _figures(found: dict[str, Resampled]) -> Result:
    return {metric: each.estimate(metric).to_dict() for metric, each in found.items()}
