"""The result of an evaluation on corrupted pictures."""

import dataclasses
from pathlib import Path

from bcjax.evaluation.evaluation import Estimates
from bcjax.metrics.intervals import Estimate
from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class CorruptionScores(Result):
    """The metrics under one corruption.

    Attributes:
      name: The corruption.
      severities: Accuracy and balanced accuracy at each severity.
      mean: Their means over the severities.
      error: Mean error, 1 - balanced accuracy, over the severities.
      over_clean: That minus the error on clean pictures.
    """

    name: str
    severities: tuple[Estimates, ...]
    mean: Estimates
    error: Estimate
    over_clean: Estimate


@dataclasses.dataclass(frozen=True)
class CorruptionEvaluation(Result):
    """A network's metrics on clean and on corrupted pictures.

    All are of the same pictures and the same resamples. Errors are 1 - balanced accuracy, as in
    MedMNIST-C, but not divided by those of its AlexNet, which are known only for its own test set.

    Attributes:
      split: The split that was evaluated.
      checkpoint: Step of the checkpoint.
      source: Where the pictures are from.
      cautions: Sentences that a reader must know; see `Evaluation`.
      n: Number of pictures.
      classes: Names of the classes.
      severities: The severities.
      resamples: Number of bootstrap resamples.
      seed: Seed of the bootstrap.
      augment: Augmentations that the network saw in training.
      clean: Accuracy and balanced accuracy on clean pictures.
      corruptions: The metrics under each corruption.
      mean: Means of accuracy and balanced accuracy over the corruptions.
      mean_corruption_error: Mean of the corruptions' errors.
      over_clean: That minus the error on clean pictures.
      leaks: A sentence on pictures that the splits share; "" if there are none.
      path: The file it was written to or read from; None: it was not written.
    """

    split: str
    checkpoint: int
    source: str
    cautions: tuple[str, ...]
    n: int
    classes: tuple[str, ...]
    severities: tuple[int, ...]
    resamples: int
    seed: int
    augment: tuple[str, ...]
    clean: Estimates
    corruptions: tuple[CorruptionScores, ...]
    mean: Estimates
    mean_corruption_error: Estimate
    over_clean: Estimate
    leaks: str = ""
    path: Path | None = dataclasses.field(default=None, compare=False)
