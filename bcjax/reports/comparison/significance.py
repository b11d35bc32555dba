"""Whether runs differ by more than chance on the same pictures, and which ones none dominates."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.guards import comparisons
from bcjax.metrics import resampling
from bcjax.metrics import runs as several_runs
from bcjax.metrics.names import metric_name, sign
from bcjax.metrics.resampling import Difference, McNemar, ResampledMetrics
from bcjax.reports.pages import formatting
from bcjax.runtime.result import Result

ALPHA = 0.05


class MeasuredRun(NamedTuple):
    """A run of a comparison: its answers, and its metrics on the same resamples as all others."""

    answers: Answers
    metrics: ResampledMetrics


@dataclasses.dataclass(frozen=True)
class PairedTest(Result):
    """The runs of a config tested against those of the first, the reference.

    Attributes:
      run: Name of the run; of several runs, which differ in their seed, that of the group.
      difference: How much more the metric is than in the reference. It has a p-value where each of
        the two has several seeds, see `metrics.runs`.
      p_holm: The difference's p-value, corrected for the number of tests (Holm 1979).
      mcnemar: McNemar's test of two single networks: `only_first` counts the pictures that this
        one alone has right, `only_second` those that the reference alone has right. None for
        several runs, and if groups hold several pictures, because the test takes the pictures to
        be independent.
      mcnemar_p_holm: Its p-value, corrected for the number of tests.
      significant: Whether `p_holm` is below 0.05.
      sentence: The verdict as a sentence.
    """

    run: str
    difference: Difference
    p_holm: float | None
    mcnemar: McNemar | None
    mcnemar_p_holm: float | None
    significant: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON, each corrected p-value beside the one it corrects."""
        page = super().to_dict()
        page["difference"]["p_holm"] = page.pop("p_holm")
        corrected = page.pop("mcnemar_p_holm")
        if found := self.mcnemar:
            page["mcnemar"] = {
                "only_run": found.only_first,
                "only_reference": found.only_second,
                "p": found.p,
                "p_holm": corrected,
            }
        return page


def paired_tests(
    groups: Mapping[str, Sequence[MeasuredRun]], metric: str
) -> tuple[PairedTest, ...]:
    """Tests each group of runs after the first against the first.

    Args:
      groups: The runs of each config by its name, on the same pictures and resamples.
      metric: The metric that decides.
    """
    (reference, first), *others = groups.items()
    identical = [
        comparisons.about_identical(
            name, reference, *([run.answers for run in each] for each in (runs, first))
        )
        for name, runs in others
    ]
    differences = [
        Difference(0.0, None, None) if same else difference(runs, first, metric)
        for (_, runs), same in zip(others, identical, strict=True)
    ]
    p_holm = holm([each.p for each in differences])
    mcnemars = [_mcnemar(runs, first) for _, runs in others]
    mcnemar_p_holm = holm([None if each is None else each.p for each in mcnemars])
    value = float(np.mean([run.metrics.metric(metric).value for run in first]))
    return tuple(
        PairedTest(
            run=name,
            difference=found,
            p_holm=p,
            mcnemar=mcnemar,
            mcnemar_p_holm=mcnemar_p,
            significant=p is not None and p < ALPHA,
            sentence=same[0] if same else _sentence(name, reference, found, p, metric, value),
        )
        for (name, _), same, found, p, mcnemar, mcnemar_p in zip(
            others, identical, differences, p_holm, mcnemars, mcnemar_p_holm, strict=True
        )
    )


def difference(
    runs: Sequence[MeasuredRun],
    reference: Sequence[MeasuredRun],
    metric: str,
    label: int | None = None,
) -> Difference:
    """Returns how much more a metric, of a class if a label is given, is than in other runs."""
    one, other = ([run.metrics.metric(metric, label) for run in each] for each in (runs, reference))
    return several_runs.difference(one, other)


def _mcnemar(runs: Sequence[MeasuredRun], reference: Sequence[MeasuredRun]) -> McNemar | None:
    if len(runs) > 1 or len(reference) > 1 or runs[0].metrics.grouped:
        return None
    return resampling.mcnemar(runs[0].metrics.correct, reference[0].metrics.correct)


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
    result: list[float | None] = [None] * len(p)
    for i, value in zip(known, corrected.tolist(), strict=True):
        result[i] = value
    return result


def _sentence(
    run: str, reference: str, found: Difference, p: float | None, metric: str, value: float
) -> str:
    if found.value is None:
        return f"{run} and {reference} have no {metric_name(metric)} on these pictures."
    figures = (
        f"{metric_name(metric)} {value + found.value:.4f} against {value:.4f}, difference "
        f"{formatting.difference(found)}"
    )
    better = "better" if sign(metric) * found.value > 0 else "worse"
    if p is not None:
        text = formatting.p_value(p)
        figures += f", p {text if text.startswith('<') else f'= {text}'}"
        if p < ALPHA:
            return f"{run} is {better} than {reference}: {figures}."
        return f"{run} and {reference} cannot be told apart by these seeds and pictures: {figures}."
    if found.low is not None and found.high is not None and not found.low <= 0 <= found.high:
        return f"{run} answers such pictures {better} than {reference}: {figures}."
    return f"{run} and {reference} cannot be told apart by these pictures: {figures}."


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
