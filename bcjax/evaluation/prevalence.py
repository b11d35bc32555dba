"""Answers under another prevalence of the classes than that at which the network was trained.

A network learns how often each class occurs, too. Where the classes have other shares, and each
class looks as it did (label shift), the posterior follows from the network's own: each probability
is multiplied by the stated share of its class, divided by the share that the network was trained
at, and the products are divided by their sum (Saerens, Latinne and Decaestecker, Neural
Computation 2002).

The share that is taken out is not always that of the training pictures: the loss is lowest for the
posterior under the shares of what it counted. So it is how often `train.sampling`, `epoch_size` and
`repeat` show each class, times its `train.class_weights`. Temperatures, label smoothing and the
focal loss are left as they are: they change how sure a network is, not which share it assumes.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from bcjax.config import nearest
from bcjax.data.order import shown_per_class
from bcjax.evaluation.calibration import temperature as temperatures
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result
from bcjax.runtime.run_dir import RunDir

Stated = str | Mapping[str, float]  # "a=0.7,b=0.3" or {"a": 0.7, "b": 0.3}

_ROUNDING = 2e-3  # by which shares that a person has rounded may miss a sum of 1


@dataclasses.dataclass(frozen=True)
class Prevalence(Result):
    """A stated prevalence of the classes, beside that at which the network was trained.

    Attributes:
      stated: The share of each class among the pictures that are answered, in 0..1; they sum to 1.
      trained: The share of each class in what the network was trained on, weighted as its loss was.
    """

    stated: Mapping[str, float]
    trained: Mapping[str, float]

    @classmethod
    def of_several(cls, each: "Sequence[Prevalence]") -> "Prevalence":
        """Returns that of networks that answer together: trained at the mean of their shares.

        It is exact where they were trained at the same shares, as runs are that differ in the seed.
        """
        first = each[0]
        trained = {
            name: float(np.mean([one.trained[name] for one in each])) for name in first.trained
        }
        return cls(first.stated, trained)

    def log_ratios(self, classes: Sequence[str]) -> Float[np.ndarray, "C"]:
        """Returns what is added to the logits of the classes; minus infinity for a share of 0."""
        with np.errstate(divide="ignore"):
            return np.log(
                [
                    self.stated[name] / self.trained[name] if self.stated[name] else 0.0
                    for name in classes
                ]
            )

    def probabilities(
        self, logits: Float[np.ndarray, "N C"], classes: Sequence[str], temperature: float = 1.0
    ) -> Float[np.ndarray, "N C"]:
        """Returns the posterior under the stated prevalence, float64.

        Args:
          logits: The network's own logits.
          classes: The class of each column.
          temperature: What the logits are divided by first.
        """
        scaled = logits.astype(np.float64) / temperature
        return temperatures.probabilities(scaled + self.log_ratios(classes), 1.0)

    def weights(
        self, labels: Int[np.ndarray, "N"], classes: Sequence[str]
    ) -> Float[np.ndarray, "C"]:
        """Returns how much more often each class occurs at this prevalence than among pictures.

        Args:
          labels: The true classes of the pictures.
          classes: The names of the classes.

        Returns:
          Stated share by share; infinity for a class that has a stated share, but no picture.
        """
        stated = np.array([self.stated[name] for name in classes])
        shares = np.bincount(labels, minlength=len(classes)) / len(labels)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(stated > 0, stated / shares, 0.0)

    def check_occurring(self, labels: Int[np.ndarray, "N"], classes: Sequence[str]) -> None:
        """Checks that no picture is of a class that is stated not to occur.

        Raises:
          UserError: If one is.
        """
        for label in np.unique(labels):
            if not self.stated[classes[label]]:
                raise UserError(
                    f"prevalence says that {classes[label]!r} does not occur, but "
                    f"{int((labels == label).sum()):,} of the evaluated pictures are of it: give "
                    "it a share above 0."
                )

    @property
    def sentence(self) -> str:
        """What a reader of answers under the prevalence must know."""
        return (
            f"The probabilities are those at a stated prevalence ({shares(self.stated)}), in the "
            "place of the one that the network was trained at."
        )


def shares(of: Mapping[str, float]) -> str:
    """Returns "neutrophil 60 %, lymphocyte 30 %, monocyte 10 %"."""
    return ", ".join(f"{name} {100 * share:.4g} %" for name, share in of.items())


def read_stated(given: Stated, classes: Sequence[str]) -> dict[str, float]:
    """Returns the stated share of each class, in the order of the classes.

    Args:
      given: A mapping, or text such as "neutrophil=0.6,lymphocyte=0.4". Every class is named.
      classes: The names of the network's classes.

    Raises:
      UserError: If a class is unknown, missing or named twice, a share is no number in 0..1, or
        their sum is not 1.
    """
    pairs = _pairs(given) if isinstance(given, str) else list(given.items())
    found: dict[str, float] = {}
    for name, share in pairs:
        if name not in classes:
            raise UserError(
                f"prevalence names {name!r}, which is no class of the network"
                f"{nearest(str(name), list(classes))}"
            )
        if name in found:
            raise UserError(f"prevalence names {name!r} twice: name each class once.")
        try:
            found[name] = float(share)
        except (TypeError, ValueError):
            found[name] = math.nan
        if not 0 <= found[name] <= 1:
            raise UserError(
                f"prevalence gives {name!r} the share {share!r}: write a number from 0 to 1."
            )
    if missing := [name for name in classes if name not in found]:
        raise UserError(
            f"prevalence says nothing of {missing[0]!r}: name every class, such as "
            f"{missing[0]}=0 for one that does not occur."
        )
    total = sum(found.values())
    if abs(total - 1) > _ROUNDING:
        raise UserError(f"The shares of prevalence add up to {total:.6g}: make them add up to 1.")
    return {name: found[name] / total for name in classes}


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = []
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, share = (part.strip() for part in pair.rpartition("="))
        if not (name and equals and share):
            raise UserError(f"prevalence has {pair!r}: write CLASS=SHARE, such as neutrophil=0.6.")
        pairs.append((name, share))
    return pairs


def trained_at(workdir: Path, config: ConfigDict, classes: Sequence[str]) -> dict[str, float]:
    """Returns the share of each class that the network of a run assumes; see the module.

    Args:
      workdir: The run's folder.
      config: The run's config.
      classes: The names of the network's classes.

    Raises:
      UserError: If the run does not say how many pictures of each class it was trained on.
    """
    trained_on = RunDir(workdir).trained_on()
    counts = trained_on.counts.get("train", []) if trained_on else []
    if len(counts) != len(classes):
        raise UserError(
            f"{workdir} does not say how many pictures of each class its network was trained on, "
            "which prevalence needs: leave prevalence out, or train a run here."
        )
    train = config.train
    shown = shown_per_class(train.sampling, train.epoch_size, train.repeat, counts, classes)
    mass = np.array(shown or counts, np.float64)
    if train.class_weights == "balanced":
        from bcjax.engine.losses import balanced_weights  # here, because it imports JAX

        mass *= balanced_weights(np.array(counts))
    return dict(zip(classes, (mass / mass.sum()).tolist(), strict=True))


def state(given: Stated, workdir: Path, config: ConfigDict, classes: Sequence[str]) -> Prevalence:
    """Returns a stated prevalence, beside that at which the network of a run was trained.

    Args:
      given: What a user states; see `read_stated`.
      workdir: The run's folder.
      config: The run's config.
      classes: The names of the network's classes.

    Raises:
      UserError: As `read_stated` and `trained_at`, and if a class is to occur of which the network
        has seen no picture.
    """
    stated, trained = read_stated(given, classes), trained_at(workdir, config, classes)
    for name in classes:
        if stated[name] and not trained[name]:
            raise UserError(
                f"prevalence gives {name!r} a share, but {workdir} was trained on no picture of "
                f"it: write {name}=0."
            )
    return Prevalence(stated, trained)
