"""Whether runs differ from the first by more than chance, on the same pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bcjax.metrics.resampling import ResampledMetrics, difference, mcnemar
from bcjax.metrics.scores import higher_is_better
from bcjax.reports.comparison import words

ALPHA = 0.05


def sign(metric: str) -> int:
    """1 where more of a metric is better, else -1."""
    return 1 if higher_is_better(metric) else -1


def tests(
    names: Sequence[str], resampled: Sequence[ResampledMetrics], metric: str
) -> list[dict[str, Any]]:
    """Tests each run against the first.

    Args:
      names: Of the runs.
      resampled: Of each, on the same pictures.
      metric: The one that decides.

    Returns:
      For each run after the first:

      - `run`, its name
      - `difference`: the fields of `resampling.Difference`, and `p_holm`, the p corrected for the
        number of runs (Holm 1979)
      - `mcnemar`: pictures that it alone had right, `only_run`, or the first alone,
        `only_reference`; `p` and `p_holm`. None where groups hold several pictures, for the test
        takes them to be independent
      - `significant`: whether `difference.p_holm` is below 0.05
      - `sentence`: the verdict in words
    """
    first, *others = resampled
    found: list[dict[str, Any]] = [
        {
            "run": name,
            "difference": difference(each.metric(metric), first.metric(metric)).to_dict(),
            "mcnemar": None if each.grouped else _mcnemar(each, first),
        }
        for name, each in zip(names[1:], others, strict=True)
    ]
    for kind in ("difference", "mcnemar"):
        tested = [row[kind] for row in found if row[kind] and row[kind]["p"] is not None]
        for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
            row["p_holm"] = p
    value = float(first.values[metric])
    for row in found:
        p = row["difference"].setdefault("p_holm", None)
        row["significant"] = p is not None and p < ALPHA
        row["sentence"] = _sentence(row, names[0], metric, value)
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, step down (Holm, Scand. J. Statist. 1979)."""
    order = np.argsort(p)
    steps = np.arange(len(p), 0, -1) * np.asarray(p)[order]
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected.tolist()


def _mcnemar(run: ResampledMetrics, first: ResampledMetrics) -> dict[str, Any]:
    found = mcnemar(run.correct, first.correct)
    return {
        "only_run": found.only_first,
        "only_reference": found.only_second,
        "p": found.p,
    }


def _sentence(row: dict[str, Any], reference: str, metric: str, value: float) -> str:
    run, found = row["run"], row["difference"]
    if found["value"] is None:
        return f"{run} and {reference} have no {words.metric(metric)} on these pictures."
    figures = (
        f"{words.metric(metric)} {value + found['value']:.4f} against {value:.4f}, difference "
        f"{words.difference(found)}"
    )
    if found["interval"]:
        p = words.probability(found["p_holm"])
        figures += f", p {p if p.startswith('<') else f'= {p}'}"
    if not row["significant"]:
        return f"{run} and {reference} cannot be told apart by these pictures: {figures}."
    better = sign(metric) * found["value"] > 0
    return f"{run} is {'better' if better else 'worse'} than {reference}: {figures}."
