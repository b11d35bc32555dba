"""What a calibration does to answers, to those it was fitted on or to others."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import outliers, temperature
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.calibration.temperature import FittedTemperature
from bcjax.metrics import intervals
from bcjax.metrics.intervals import Estimate, proportion
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.scores import calibration_error, mean_scores, unweighted
from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class BeforeAndAfter(Result):
    """A metric before and after temperature scaling.

    Attributes:
      raw: Its value for the raw logits.
      scaled: Its value for the logits divided by the temperature.
    """

    raw: float
    scaled: float


@dataclasses.dataclass(frozen=True)
class ClassCoverage(Result):
    """How often conformal sets hold the true class, among the pictures of one class.

    Attributes:
      name: The class.
      measured: Share of its pictures whose set holds it; None without pictures.
    """

    name: str
    measured: Estimate | None


@dataclasses.dataclass(frozen=True)
class SetMeasurements(Result):
    """Conformal sets of answers.

    Attributes:
      measured: Share of the sets that hold the true class.
      mean_size: Mean number of classes in a set.
      empty: Share of the sets that are empty.
      per_class: `measured` among the pictures of each class.
    """

    measured: Estimate | None
    mean_size: float
    empty: Estimate | None
    per_class: tuple[ClassCoverage, ...]


@dataclasses.dataclass(frozen=True)
class SetsByClass(SetMeasurements):
    """Conformal sets with a threshold for each class; it has those attributes, too.

    Attributes:
      too_few: Classes that had too few pictures for a threshold of their own.
    """

    too_few: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ConformalMeasurements(SetMeasurements):
    """Conformal sets with one threshold for all classes; it has those attributes, too.

    Attributes:
      coverage: Share of the sets that should hold the true class.
      least: The lowest probability with which a class is in a set.
      by_class: The sets with a threshold for each class.
      needed: Number of pictures that the fit takes at least: with fewer, every class is in every
        set. None: not recorded.
    """

    coverage: float
    least: float
    by_class: SetsByClass
    needed: int | None = None


@dataclasses.dataclass(frozen=True)
class AbstentionMeasurements(Result):
    """Abstention on answers.

    Attributes:
      error_rate: The highest error rate allowed among answered pictures.
      confidence: Probability with which it is kept.
      threshold: Confidence above which a picture is answered; None: it could not be fitted.
      needed: Number of pictures that the fit takes at least.
      answered: Share of the pictures that is answered; None without a threshold.
      error: Error rate among these; None if there are none.
    """

    error_rate: float
    confidence: float
    threshold: float | None
    needed: int
    answered: Estimate | None
    error: Estimate | None


@dataclasses.dataclass(frozen=True)
class EnergyMeasurements(Result):
    """The energy score of answers.

    Attributes:
      threshold: Energy above which a picture is an outlier by energy.
      above: Share of the pictures above it.
    """

    threshold: float
    above: Estimate | None


@dataclasses.dataclass(frozen=True)
class CalibrationMeasurements(Result):
    """What a calibration does to answers.

    All intervals are Wilson's, 95 %. For pictures in groups they are as wide as if each group were
    one picture ("group wilson").

    Attributes:
      step: Step of the calibrated checkpoint.
      temperature: What the logits are divided by; 1 where none was fitted.
      fitted_on: The split the calibration was fitted on.
      fitted_n: Number of pictures it was fitted on.
      n: Number of pictures measured here.
      log_loss: Log loss in nats.
      ece: Expected calibration error, see `metrics.scores.calibration_error`.
      brier: Brier score, see `metrics.scores.mean_scores`.
      conformal: Conformal sets.
      abstention: Abstention.
      energy: The energy score; None: no outliers were fitted.
      fitted: The temperature with its interval, or why none was fitted; None: not recorded.
      networks: How many networks answered together.
    """

    step: int
    temperature: float
    fitted_on: str
    fitted_n: int
    n: int
    log_loss: BeforeAndAfter
    ece: BeforeAndAfter
    brier: BeforeAndAfter
    conformal: ConformalMeasurements
    abstention: AbstentionMeasurements
    energy: EnergyMeasurements | None = None
    fitted: FittedTemperature | None = None
    networks: int = 1

    @property
    def unfitted(self) -> list[str]:
        """Sentences about what too few pictures left unfitted, but for abstention."""
        sentences = [self.fitted.why_not] if self.fitted and self.fitted.why_not else []
        needed, too_few = self.conformal.needed, self.conformal.by_class.too_few
        if needed and self.fitted_n < needed:
            sentences.append(
                f"Every class is in every set: a coverage of {self.conformal.coverage:.0%} takes "
                f"{needed:,} pictures or more, and there are {self.fitted_n:,}."
            )
        elif too_few:
            sentences.append(
                f"Too few pictures for sets by class, so in each one: {', '.join(too_few)}."
            )
        return sentences


def measure(calibration: Calibration, answers: Answers) -> CalibrationMeasurements:
    """Measures calibrated probabilities, sets and abstention on answers.

    Args:
      calibration: The calibration of the checkpoint that answered.
      answers: Answers in its classes.

    Raises:
      ValueError: If the answers are in other classes.
    """
    if answers.classes != calibration.classes:
        raise ValueError(f"{calibration.classes} were calibrated, not {answers.classes}.")
    probabilities = calibration.probabilities(answers.logits)
    wrong = probabilities.argmax(axis=1) != answers.labels
    units = intervals.units(answers.groups, answers.n)
    conformal, abstention = calibration.conformal, calibration.abstention
    uncertain = abstention.uncertain(probabilities)
    log_loss, ece, brier = _scores(calibration, answers)
    energy = None
    if calibration.outliers:
        threshold = calibration.outliers.energy_threshold
        above = outliers.energy(answers.logits) > threshold
        energy = EnergyMeasurements(threshold, proportion(above, units))
    return CalibrationMeasurements(
        step=calibration.step,
        temperature=calibration.temperature,
        fitted_on=calibration.split,
        fitted_n=calibration.n,
        n=answers.n,
        log_loss=log_loss,
        ece=ece,
        brier=brier,
        conformal=ConformalMeasurements(
            coverage=conformal.coverage,
            least=conformal.least,
            needed=conformal.needed,
            by_class=SetsByClass(
                too_few=tuple(
                    name
                    for name, count in zip(answers.classes, conformal.counts, strict=True)
                    if count < conformal.needed
                ),
                **_measure_sets(conformal.sets(probabilities, by_class=True), answers, units),
            ),
            **_measure_sets(conformal.sets(probabilities), answers, units),
        ),
        abstention=AbstentionMeasurements(
            error_rate=abstention.error_rate,
            confidence=abstention.confidence,
            threshold=abstention.threshold,
            needed=abstention.needed,
            answered=None if uncertain is None else proportion(~uncertain, units),
            error=None if uncertain is None else proportion(wrong[~uncertain], units[~uncertain]),
        ),
        energy=energy,
        fitted=calibration.fitted,
        networks=max(1, len(calibration.networks)),
    )


def _measure_sets(
    sets: Bool[np.ndarray, "N C"], answers: Answers, units: Int[np.ndarray, "N"]
) -> dict[str, Any]:
    """Returns the attributes of `SetMeasurements`, as arguments for a subclass."""
    holds, sizes = sets[np.arange(answers.n), answers.labels], sets.sum(axis=1)
    of_class = {name: answers.labels == label for label, name in enumerate(answers.classes)}
    return {
        "measured": proportion(holds, units),
        "mean_size": float(sizes.mean()),
        "empty": proportion(sizes == 0, units),
        "per_class": tuple(
            ClassCoverage(name, proportion(holds[own], units[own]))
            for name, own in of_class.items()
        ),
    }


def _scores(
    calibration: Calibration, answers: Answers
) -> tuple[BeforeAndAfter, BeforeAndAfter, BeforeAndAfter]:
    """Returns log loss, calibration error and Brier score, before and after scaling."""
    values: dict[str, list[float]] = {"log_loss": [], "ece": [], "brier": []}
    for at in (1.0, calibration.temperature):
        # From the logits themselves, because a probability may be too small for a float.
        logits = answers.logits
        if answers.prevalence:
            logits = logits + at * answers.prevalence.log_ratios(answers.classes)
        values["log_loss"].append(temperature.log_loss(logits, answers.labels, at))
        predictions = Predictions(answers.probabilities(at), answers.labels)
        for name, score in (("ece", calibration_error), ("brier", mean_scores)):
            values[name].append(float(unweighted(score(predictions), answers.n)[name]))
    log_loss, ece, brier = (BeforeAndAfter(*both) for both in values.values())
    return log_loss, ece, brier
