"""How good the network is: the headline, each metric, each class."""

from collections.abc import Mapping
from typing import Any

from bcjax.metrics.names import describe
from bcjax.reports.pages.numbers import NONE, interval, listed, measured, number, percent, span
from bcjax.reports.pages.story import Block, Charts, Facts, Fold, Table, Text
from bcjax.reports.run import confusion
from bcjax.reports.run.artefacts import Artefacts

HEADLINE = {name: describe(name).title for name in ("accuracy", "balanced_accuracy", "macro_f1")}
_MANY = 40  # classes whose table is folded away


def cautions(run: Artefacts) -> list[str]:
    """Sentences without which the figures must not be read."""
    leaks = run.result.get("leaks")
    return [*run.result.get("cautions", ()), *([f"{leaks}."] if leaks else [])]


def answer(run: Artefacts) -> list[Block]:
    """The headline, what it must be read with, and every metric."""
    result = run.result
    metrics = result["metrics"]
    headline = [
        (
            name,
            percent(metrics[key]["value"]),
            f"{span(metrics[key])} (95 %), n = {_n(metrics[key])}",
        )
        for key, name in HEADLINE.items()
        if key in metrics
    ]
    rows = [
        [
            describe(key).label,
            number(each["value"]),
            interval(each),
            each["interval"] or NONE,
            _n(each),
        ]
        for key, each in metrics.items()
    ]
    head = ["metric", "value", "95 % interval", "how", "n"]
    about = f"Every metric; a bootstrap is of {result['resamples']:,} resamples"
    return [
        Facts(headline),
        *(Text(sentence, "bad") for sentence in cautions(run)),
        Table(head, rows, about),
    ]


def by_class(run: Artefacts) -> list[Block]:
    """The confusion matrix, and each class's figures."""
    result = run.result
    blocks: list[Block] = []
    if drawn := confusion.charts(result["confusion_matrix"], result["classes"]):
        blocks.append(Charts(drawn))
    keys = [key for key in result["per_class"][0] if key not in ("name", "n")]
    rows = [
        [each["name"], f"{each['n']:,}", *(measured(each[key]) for key in keys)]
        for each in result["per_class"]
    ]
    head = ["class", "n", *(describe(key).label for key in keys)]
    about = "Each class against the rest, with 95 % intervals; n: its pictures"
    table = Table(head, rows, about)
    blocks.append(table if len(rows) <= _MANY else Fold(f"All {len(rows):,} classes", [table]))
    blocks += [
        Text(
            f"Without a figure of {describe(key).label}, for it is undefined there: "
            f"{listed(names)}.",
            "soft",
        )
        for key, names in result["undefined"].items()
        if names and len(names) <= _MANY
    ]
    return blocks


def _n(figure: Mapping[str, Any]) -> str:
    return f"{figure['n']:,}"
