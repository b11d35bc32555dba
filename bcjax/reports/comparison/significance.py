"""Whether runs differ by more than chance on the same pictures, and which ones none dominates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bcjax.metrics import resampling
from bcjax.metrics.names import metric_name, sign
from bcjax.metrics.resampling import Difference, McNemar, ResampledMetrics
from bcjax.reports.pages import formatting
from bcjax.runtime.result import Result

ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class PairedTest(Result):
    """A run tested against the first, the reference.

    Attributes:
      run: Name of the run.
      difference: How much more the metric is in the run than in the reference.
      p_holm: The difference's p-value, corrected for the number of runs (Holm 1979).
      mcnemar: McNemar's test: `only_first` counts the pictures that the run alone has right,
        `only_second` those that the reference alone has right. None if groups hold several
        pictures, because the test takes the pictures to be independent.
      mcnemar_p_holm: Its p-value, corrected for the number of runs.
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
    names: Sequence[str], resampled: Sequence[ResampledMetrics], metric: str
) -> tuple[PairedTest, ...]:
    """Tests each run after the first against the first.

    Args:
      names: Names of the runs.
      resampled: Metrics of each run, on the same pictures and resamples.
      metric: The metric that decides.
    """
    first, *others = resampled
    reference = first.metric(metric)
    differences = [resampling.difference(run.metric(metric), reference) for run in others]
    p_holm = holm([each.p for each in differences])
    mcnemars = [
        None if run.grouped else resampling.mcnemar(run.correct, first.correct) for run in others
    ]
    mcnemar_p_holm = holm([None if each is None else each.p for each in mcnemars])
    return tuple(
        PairedTest(
            run=name,
            difference=difference,
            p_holm=p,
            mcnemar=mcnemar,
            mcnemar_p_holm=mcnemar_p,
            significant=p is not None and p < ALPHA,
            sentence=_sentence(name, names[0], difference, p, metric, reference.value),
        )
        for name, difference, p, mcnemar, mcnemar_p in zip(
            names[1:], differences, p_holm, mcnemars, mcnemar_p_holm, strict=True
        )
    )


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
    run: str, reference: str, difference: Difference, p: float | None, metric: str, value: float
) -> str:
    if difference.value is None:
        return f"{run} and {reference} have no {metric_name(metric)} on these pictures."
    figures = (
        f"{metric_name(metric)} {value + difference.value:.4f} against {value:.4f}, difference "
        f"{formatting.difference(difference)}"
    )
    if difference.interval:
        text = formatting.p_value(p)
        figures += f", p {text if text.startswith('<') else f'= {text}'}"
    if p is None or p >= ALPHA:
        return f"{run} and {reference} cannot be told apart by these pictures: {figures}."
    better = sign(metric) * difference.value > 0
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
