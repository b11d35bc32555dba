"""The tables of a comparison."""

from typing import Any

from bcjax.metrics.names import describe
from bcjax.reports.comparison import words
from bcjax.reports.pages.numbers import NONE, duration, measured
from bcjax.reports.pages.story import Table

Comparison = dict[str, Any]


def runs(comparison: Comparison) -> Table:
    """What each run is, costs and scores."""
    metric = comparison["metric"]
    head = ["run", "network", "trained on", "px", "parameters", "GFLOPs", "training", "images/s"]
    return Table(
        [*head, "energy", describe(metric).title],
        [
            [
                run["name"],
                run["network"],
                run["hardware"] or NONE,
                str(run["image_size"]),
                f"{run['parameters']:,}",
                f"{run['flops'] / 1e9:.3g}",
                NONE if run["train_seconds"] is None else duration(run["train_seconds"]),
                words.rate(run["images_per_s"]),
                words.energy(run["joules"]),
                measured(run["metrics"][metric]),
            ]
            for run in comparison["runs"]
        ],
        words=3,
    )


def metrics(comparison: Comparison) -> Table:
    """Each metric of each run."""
    found = [run["metrics"] for run in comparison["runs"]]
    return Table(
        ["metric", *_names(comparison)],
        [[describe(m).title, *(measured(each.get(m)) for each in found)] for m in found[0]],
    )


def tests(comparison: Comparison) -> Table:
    """Each run against the first."""
    reference, metric = comparison["reference"], describe(comparison["metric"]).title
    alone = ["right here alone", f"right in {reference} alone", "McNemar p", "Holm"]
    return Table(
        ["run", f"{metric}, less that of {reference}", "p", "Holm", *alone],
        [
            [
                test["run"],
                words.difference(test["difference"]),
                words.probability(test["difference"]["p"]),
                words.probability(test["difference"]["p_holm"]),
                *_mcnemar(test["mcnemar"]),
            ]
            for test in comparison["tests"]
        ],
    )


def _mcnemar(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return [NONE] * 4
    counts = [f"{found[key]:,}" for key in ("only_run", "only_reference")]
    return counts + [words.probability(found[key]) for key in ("p", "p_holm")]


def recalls(comparison: Comparison) -> Table:
    """The recall of each class in each run."""
    names = _names(comparison)
    return Table(
        ["class", "n", *names],
        [
            [row["name"], f"{row['n']:,}", *(measured(row["recall"][name]) for name in names)]
            for row in comparison["per_class"]
        ],
    )


def differences(comparison: Comparison) -> Table:
    """How each run's recall of each class differs from the first's."""
    others = _names(comparison)[1:]
    return Table(
        ["class", *others],
        [
            [row["name"], *(words.difference(row["difference"][name]) for name in others)]
            for row in comparison["per_class"]
        ],
    )


def settings(comparison: Comparison) -> Table:
    """What the configs do not have in common."""
    names = _names(comparison)
    return Table(
        ["setting", *names],
        [
            [row["key"], *(words.setting(value) for value in row["values"])]
            for row in comparison["settings"]
        ],
        words=1 + len(names),
    )


def _names(comparison: Comparison) -> list[str]:
    return [run["name"] for run in comparison["runs"]]
