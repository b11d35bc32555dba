"""Whether runs differ by more than chance on the same pictures, and which ones none dominates."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bcjax.evaluation.answers import Answers
from bcjax.metrics import intervals
from bcjax.metrics.calibration_error import NOISE
from bcjax.metrics.measures import every, plain
from bcjax.metrics.paired import mcnemar
from bcjax.metrics.predictions import checked
from bcjax.reports.pages import formatting
from bcjax.reports.pages.formatting import metric_name

ALPHA = 0.05

_LESS_IS_BETTER = {"log_loss", "brier", "ece", "ace", "mce", "aurc"}


def sign(metric: str) -> int:
    """Returns 1 if more of a metric is better, else -1."""
    return -1 if metric in _LESS_IS_BETTER else 1


@dataclasses.dataclass(frozen=True)
class ResampledMetrics:
    """The metrics of a run, with their values on resamples of the pictures; NaN is undefined.

    Attributes:
      values: Each metric; metrics of classes have a value for each class.
      draws: The same on each resample, along a last axis; {} if nothing was resampled.
      correct: Which pictures the run predicts correctly.
      grouped: Whether pictures were resampled by groups of several.
    """

    values: Mapping[str, Float[np.ndarray, "..."]]
    draws: Mapping[str, Float[np.ndarray, "... R"]]
    correct: Bool[np.ndarray, "N"]
    grouped: bool


def resample(answers: Answers, *, resamples: int, seed: int) -> ResampledMetrics:
    """Computes metrics on the pictures and on resamples of them.

    The resamples depend on the groups and on the seed alone, so they are the same for all runs.
    """
    predictions = checked(answers.probabilities(), answers.labels, answers.classes)
    units = intervals.units(answers.groups, answers.n)
    measure = every(predictions)
    return ResampledMetrics(
        values=plain(measure, answers.n),
        draws=intervals.bootstrap(measure, units, resamples, seed),
        correct=predictions.correct,
        grouped=int(units.max()) + 1 < answers.n,
    )


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more a metric is in one run than in another; None where undefined.

    Attributes:
      value: The difference.
      interval: Kind of the interval: "bootstrap" or "group bootstrap".
      p: Twice the smaller share of resamples, the sample itself among them, in which the
        difference is not above, or not below, zero (Davison and Hinkley 1997, section 4.4).
      low: Lower end of the 95 % interval of the paired difference.
      high: Its upper end.
    """

    value: float | None = None
    interval: str | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return formatting.difference(self.value, self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON, without the ends of an interval that there is not."""
        found: dict[str, Any] = {"value": self.value, "interval": self.interval, "p": self.p}
        return found if self.low is None else found | {"low": self.low, "high": self.high}


def difference(
    run: ResampledMetrics, reference: ResampledMetrics, metric: str, label: int | None = None
) -> Difference:
    """Returns how much more a metric is in a run than in the reference.

    Args:
      run: The run.
      reference: The other run, on the same resamples.
      metric: Name of the metric.
      label: The class, for a metric of classes.
    """
    at = () if label is None else (label,)
    value = float(run.values[metric][at] - reference.values[metric][at])
    if math.isnan(value):
        return Difference()
    if not run.draws:
        return Difference(value)
    kind = "group bootstrap" if run.grouped else "bootstrap"
    if metric in NOISE:  # whose resamples lie elsewhere than their values: see NOISE
        noise = run.draws[NOISE[metric]] + reference.draws[NOISE[metric]]
        p = (int((noise >= abs(value)).sum()) + 1) / (len(noise) + 1)
        return Difference(value, kind, p, *intervals.give_or_take(value, noise))
    draws = run.draws[metric][at] - reference.draws[metric][at]
    bounds = intervals.percentiles(draws)
    return Difference(value, kind, _p_value(draws), *bounds) if bounds else Difference(value)


def _p_value(draws: Float[np.ndarray, "R"]) -> float:
    fewer = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (int((~np.isnan(draws)).sum()) + 1))


@dataclasses.dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of which pictures one of two runs alone predicts correctly.

    Attributes:
      only_run: Pictures that the run alone predicts correctly.
      only_reference: Pictures that the reference alone predicts correctly.
      p: The p-value.
      p_holm: The p-value, corrected for the number of runs.
    """

    only_run: int
    only_reference: int
    p: float
    p_holm: float


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """A run tested against the first, the reference.

    Attributes:
      run: Name of the run.
      difference: How much more the metric is in the run than in the reference.
      p_holm: The difference's p-value, corrected for the number of runs (Holm 1979).
      mcnemar: McNemar's test; None if groups hold several pictures, because the test takes the
        pictures to be independent.
      significant: Whether `p_holm` is below 0.05.
      sentence: The verdict as a sentence.
    """

    run: str
    difference: Difference
    p_holm: float | None
    mcnemar: McNemar | None
    significant: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "run": self.run,
            "difference": self.difference.to_dict() | {"p_holm": self.p_holm},
            "mcnemar": self.mcnemar and dataclasses.asdict(self.mcnemar),
            "significant": self.significant,
            "sentence": self.sentence,
        }


def paired_tests(
    names: Sequence[str], resampled: Sequence[ResampledMetrics], metric: str
) -> list[PairedTest]:
    """Tests each run after the first against the first.

    Args:
      names: Names of the runs.
      resampled: Metrics of each run, on the same pictures and resamples.
      metric: The metric that decides.
    """
    first, *others = resampled
    differences = [difference(each, first, metric) for each in others]
    corrected = holm([each.p for each in differences])
    mcnemars = _mcnemar_tests(others, first)
    value = float(first.values[metric])
    tests = []
    for name, each, p, paired in zip(names[1:], differences, corrected, mcnemars, strict=True):
        significant = p is not None and p < ALPHA
        sentence = _sentence(name, names[0], each, p, metric, value)
        tests.append(PairedTest(name, each, p, paired, significant, sentence))
    return tests


def _mcnemar_tests(
    runs: Sequence[ResampledMetrics], first: ResampledMetrics
) -> list[McNemar | None]:
    found = [None if run.grouped else mcnemar(run.correct, first.correct) for run in runs]
    corrected = holm([each and each["p_value"] for each in found])
    return [
        McNemar(each["only_first"], each["only_second"], each["p_value"], p)
        if each is not None and p is not None
        else None
        for each, p in zip(found, corrected, strict=True)
    ]


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Corrects p-values for their number, step down (Holm, Scand. J. Statist. 1979).

    What is None stays None and does not count.
    """
    known = [i for i, each in enumerate(p) if each is not None]
    values = np.array([p[i] for i in known], float)
    order = np.argsort(values)
    steps = np.arange(len(values), 0, -1) * values[order]
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    found: list[float | None] = [None] * len(p)
    for i, value in zip(known, corrected.tolist(), strict=True):
        found[i] = value
    return found


def _sentence(
    run: str, reference: str, found: Difference, p: float | None, metric: str, value: float
) -> str:
    if found.value is None:
        return f"{run} and {reference} have no {metric_name(metric)} on these pictures."
    figures = (
        f"{metric_name(metric)} {value + found.value:.4f} against {value:.4f}, difference {found}"
    )
    if found.interval:
        text = formatting.p_value(p)
        figures += f", p {text if text.startswith('<') else f'= {text}'}"
    if p is None or p >= ALPHA:
        return f"{run} and {reference} cannot be told apart by these pictures: {figures}."
    better = sign(metric) * found.value > 0
    return f"{run} is {'better' if better else 'worse'} than {reference}: {figures}."


def pareto_front(
    cost: Float[np.ndarray, "R"], value: Float[np.ndarray, "R"]
) -> Bool[np.ndarray, "R"]:
    """Marks the runs than which no other is both as cheap and as good, and better in one of these.

    Args:
      cost: Less is better.
      value: More is better.

    Returns:
      Runs that are equal in both are all marked.
    """
    cheaper, better = cost[:, None] <= cost, value[:, None] >= value
    other = (cost[:, None] != cost) | (value[:, None] != value)
    return ~(cheaper & better & other).any(axis=0)
