"""The result of an evaluation on corrupted pictures."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from bcjax.evaluation.evaluation import Estimates
from bcjax.metrics.intervals import Estimate, from_dicts, to_dicts
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class CorruptionScores:
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

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "name": self.name,
            "severities": [to_dicts(each) for each in self.severities],
            "mean": to_dicts(self.mean),
            "error": self.error.to_dict(),
            "over_clean": self.over_clean.to_dict(),
        }

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the scores that `to_dict` turned into plain values."""
        return cls(
            page["name"],
            tuple(from_dicts(each) for each in page["severities"]),
            from_dicts(page["mean"]),
            Estimate.from_dict(page["error"]),
            Estimate.from_dict(page["over_clean"]),
        )


@dataclasses.dataclass(frozen=True)
class CorruptionEvaluation:
    """A network's metrics on clean and on corrupted pictures.

    All are of the same pictures and the same resamples. Errors are 1 - balanced accuracy, as in
    MedMNIST-C, but not divided by those of its AlexNet, which are known only for its own test set.

    Attributes:
      split: The split that was evaluated.
      checkpoint: Step of the checkpoint.
      source: Where the pictures are from.
      cautions: Sentences that a reader must know; see `Evaluation`.
      leaks: A sentence on pictures that the splits share; "" if there are none.
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
      path: The file it was written to or read from; None: it was not written.
    """

    split: str
    checkpoint: int
    source: str
    cautions: tuple[str, ...]
    leaks: str
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
    path: Path | None = dataclasses.field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON (never NaN)."""
        return {
            "split": self.split,
            "checkpoint": self.checkpoint,
            "source": self.source,
            **({"leaks": self.leaks} if self.leaks else {}),
            "cautions": list(self.cautions),
            "n": self.n,
            "classes": list(self.classes),
            "severities": list(self.severities),
            "resamples": self.resamples,
            "seed": self.seed,
            "augment": list(self.augment),
            "clean": to_dicts(self.clean),
            "corruptions": [each.to_dict() for each in self.corruptions],
            "mean": to_dicts(self.mean),
            "mean_corruption_error": self.mean_corruption_error.to_dict(),
            "over_clean": self.over_clean.to_dict(),
        }

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the evaluation that `to_dict` turned into plain values."""
        plain = ("split", "checkpoint", "source", "n", "resamples", "seed")
        lists = ("cautions", "classes", "severities", "augment")
        attributes = {name: page[name] for name in plain}
        attributes |= {name: tuple(page[name]) for name in lists}
        attributes |= {name: from_dicts(page[name]) for name in ("clean", "mean")}
        return cls(
            **attributes,
            leaks=page.get("leaks", ""),
            corruptions=tuple(CorruptionScores.from_dict(each) for each in page["corruptions"]),
            mean_corruption_error=Estimate.from_dict(page["mean_corruption_error"]),
            over_clean=Estimate.from_dict(page["over_clean"]),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the evaluation that was written to a JSON file.

        Raises:
          UserError: If the file is damaged.
        """
        try:
            return dataclasses.replace(cls.from_dict(json.loads(path.read_text())), path=path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({error}): evaluate the run anew.") from error
