"""The comparison of runs as plain values: all that the page, the charts and the tables say."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcjax import metrics
from bcjax.evaluation.answers import Answers
from bcjax.metrics import resampling
from bcjax.metrics.resampling import ResampledMetrics
from bcjax.reports.comparison import (
    cost,
    curves,
    pareto,
    runs,
    settings,
    shared,
    significance,
)
from bcjax.reports.comparison.cost import Cost
from bcjax.reports.comparison.runs import Run
from bcjax.reports.comparison.shared import Shared
from bcjax.reports.pages.numbers import listed
from bcjax.runtime.errors import UserError

_COSTS = ("flops", "parameters", "seconds_per_picture")
_EACH = 200  # resamples for each test, at least


def compare(paths: Sequence[Path], *, evaluation: str, metric: str) -> dict[str, Any]:
    """Compares runs, each with the first, from what is in their folders.

    Args:
      paths: Of the runs, or one of a folder of members.
      evaluation: Its name: a split, or another that `bcjax evaluate` wrote.
      metric: The one that decides.

    Returns:
      Plain Python values, ready for JSON:

      - `evaluation`, `metric`, `reference` (the first run's name), `n` (pictures that all runs
        answered), `classes`, `notes` (sentences that a reader must know)
      - `runs`: for each its `name`, `workdir`, `network`, `checkpoint`, the fields of `cost.Cost`,
        `metrics` (figures on these pictures), `curves` (see `curves.of`) and `left_out`
      - `tests`: for each run after the first, see `significance.tests`
      - `per_class`: for each class its `name`, `n`, `recall` of each run and `difference` from the
        first of each other one
      - `pareto`: for each cost that differs, the names of the runs that no other beats
      - `settings`: see `settings.differing`

    Raises:
      UserError: If the runs cannot be compared; see `runs` and `shared`.
    """
    compared = runs.read(runs.find(paths), evaluation)
    common = shared.of(compared)
    figures = [
        _figures(*each) for each in zip(compared, common.answers, common.left_out, strict=True)
    ]
    for run, found in zip(compared, figures, strict=True):
        if metric not in found["metrics"]:
            raise UserError(
                f"The evaluation of {run.workdir} has no metric {metric!r}: choose among "
                f"{', '.join(found['metrics'])}."
            )
    asked = figures[0]["resamples"]
    # Of R resamples no p is below 2 / (R + 1), and Holm multiplies it by the number of tests.
    enough = asked and max(asked, _EACH * (len(compared) - 1))
    how = {"resamples": enough, "seed": figures[0]["seed"]}
    drawn = [
        resampling.resample(answers.predictions(), answers.groups, **how)
        for answers in common.answers
    ]
    costs = [cost.of(run) for run in compared]
    rows = [
        {
            "name": run.name,
            "workdir": str(run.workdir),
            "network": run.config.model.name,
            "checkpoint": run.result["checkpoint"],
            **dataclasses.asdict(spent),
            "metrics": found["metrics"],
            "curves": curves.of(run, metric),
            "left_out": left_out,
        }
        for run, spent, found, left_out in zip(
            compared, costs, figures, common.left_out, strict=True
        )
    ]
    names = [run.name for run in compared]
    return {
        "evaluation": evaluation,
        "metric": metric,
        "reference": names[0],
        "n": common.n,
        "classes": list(common.answers[0].classes),
        "notes": _notes(compared, costs, common),
        "runs": rows,
        "tests": significance.tests(names, drawn, metric),
        "per_class": _per_class(names, figures, drawn, common.answers[0].classes),
        "pareto": _pareto(rows, metric),
        "settings": settings.differing(compared),
    }


def _figures(run: Run, answers: Answers, left_out: int) -> dict[str, Any]:
    """The evaluation as it was written, or of the pictures in common alone."""
    if not left_out:
        return run.result
    return metrics.measure(
        answers.probabilities(),
        answers.labels,
        answers.classes,
        groups=answers.groups,
        resamples=run.result["resamples"],
        seed=run.result["seed"],
    ).to_dict()


def _notes(compared: Sequence[Run], costs: Sequence[Cost], common: Shared) -> list[str]:
    """What a reader must know before the figures."""
    notes = []
    left_out = zip(compared, common.left_out, strict=True)
    if parts := [f"{count:,} of {run.name}" for run, count in left_out if count]:
        notes.append(
            "The runs were not evaluated on the same pictures: all figures are of the "
            f"{common.n:,} that all of them answered; left out are {listed(parts)}."
        )
    if len({run.pictures for run in compared}) > 1:
        notes.append("The runs were not trained on the same pictures, or not on the same splits.")
    if len({spent.hardware for spent in costs}) > 1:
        notes.append("The runs were trained on different hardware: their times do not compare.")
    for run in compared:
        said = [*run.result.get("cautions", ()), *filter(None, [run.result.get("leaks")])]
        notes += [f"{run.name}: {sentence}" for sentence in said]
    return notes


def _per_class(
    names: Sequence[str],
    figures: Sequence[dict[str, Any]],
    drawn: Sequence[ResampledMetrics],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    by_name = [{row["name"]: row for row in found["per_class"]} for found in figures]
    return [
        {
            "name": class_,
            "n": by_name[0][class_]["n"],
            "recall": {
                name: rows[class_]["recall"] for name, rows in zip(names, by_name, strict=True)
            },
            "difference": {
                name: resampling.difference(
                    each.metric("recall", label), drawn[0].metric("recall", label)
                ).to_dict()
                for name, each in zip(names[1:], drawn[1:], strict=True)
            },
        }
        for label, class_ in enumerate(classes)
    ]


def _pareto(rows: Sequence[dict[str, Any]], metric: str) -> dict[str, list[str]]:
    """The undominated runs for each cost that is known, and not the same, for two or more."""
    sign = significance.sign(metric)
    fronts = {}
    for kind in _COSTS:
        known = [
            (row["name"], row[kind], sign * row["metrics"][metric]["value"])
            for row in rows
            if row[kind] is not None and row["metrics"][metric]["value"] is not None
        ]
        if len({spent for _, spent, _ in known}) > 1:
            names, spent, values = zip(*known, strict=True)
            best = pareto.front(np.array(spent), np.array(values))
            fronts[kind] = [name for name, is_best in zip(names, best, strict=True) if is_best]
    return fronts
