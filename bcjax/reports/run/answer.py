"""How good the network is: the headline, each metric, each class."""

from collections.abc import Mapping
from typing import Any

from bcjax.reports.pages.numbers import NONE, interval, listed, measured, number, percent, span
from bcjax.reports.pages.story import Block, Charts, Facts, Fold, Table, Text
from bcjax.reports.run import confusion
from bcjax.reports.run.artefacts import Artefacts

HEADLINE = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}
_NAMES = {
    "kappa": "Cohen's kappa",
    "mcc": "Matthews correlation",
    "log_loss": "log loss (nats)",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "ace": "adaptive calibration error",
    "mce": "maximum calibration error",
    "aurc": "area under risk-coverage",
    "selective_accuracy_80": "accuracy on the surest 80 %",
    "selective_accuracy_90": "accuracy on the surest 90 %",
    "selective_accuracy_95": "accuracy on the surest 95 %",
}
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
        [spelt(key), number(each["value"]), interval(each), each["interval"] or NONE, _n(each)]
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
    head = ["class", "n", *map(spelt, keys)]
    about = "Each class against the rest, with 95 % intervals; n: its pictures"
    table = Table(head, rows, about)
    blocks.append(table if len(rows) <= _MANY else Fold(f"All {len(rows):,} classes", [table]))
    blocks += [
        Text(
            f"Without a figure of {spelt(key)}, for it is undefined there: {listed(names)}.", "soft"
        )
        for key, names in result["undefined"].items()
        if names and len(names) <= _MANY
    ]
    return blocks


def spelt(key: str) -> str:
    """Returns "macro F1" for "macro_f1"."""
    if key in _NAMES:
        return _NAMES[key]
    words = key.replace("_", " ").split()
    return " ".join(word.upper() if word in ("auc", "f1") else word for word in words)


def _n(figure: Mapping[str, Any]) -> str:
    return f"{figure['n']:,}"
