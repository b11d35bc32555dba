"""What the network's probabilities are worth, drawn from its answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from bcjax.evaluation.answers import Answers
from bcjax.metrics import curves
from bcjax.reports.pages import palette
from bcjax.reports.pages.charts import ACCENT, INK, grid, style
from bcjax.reports.pages.numbers import percent
from bcjax.reports.pages.story import Chart

_MOST = 10  # classes that have a curve of their own


def charts(answers: Answers, per_class: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Draws ROC and precision-recall curves per class, reliability and risk over coverage.

    Args:
      answers: Of the network.
      per_class: The figures of each class, as the evaluation wrote them.
    """
    return [
        *_per_class(answers, per_class),
        _reliability(answers),
        _risk_coverage(answers),
    ]


def _per_class(answers: Answers, per_class: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Of the classes that have an AUC; of many, those told apart worst."""
    auc = {c: row["auc"]["value"] for c, row in enumerate(per_class) if row["auc"]}
    shown = sorted(sorted(auc, key=lambda c: auc[c])[:_MOST])
    if not shown:
        return []
    which = f" The {len(shown)} classes that are told apart worst." * (len(shown) < len(auc))
    roc = _curves(answers, per_class, shown, curves.roc, "auc", "default")
    axis = roc.axes[0]
    axis.plot((0, 1), (0, 1), color=INK, lw=0.8, ls=":")
    _unit(axis, "false positive rate", "true positive rate (recall)")
    pr = _curves(
        answers, per_class, shown, curves.precision_recall, "average_precision", "steps-pre"
    )
    _unit(pr.axes[0], "recall", "precision")
    return [
        Chart(
            "roc", "ROC curves", roc,
            "Each class against the rest, with the area under its curve; dotted: chance." + which,
        ),
        Chart(
            "precision_recall", "Precision and recall", pr,
            "Each class against the rest, with its average precision." + which,
        ),
    ]  # fmt: skip


def _curves(
    answers: Answers,
    per_class: Sequence[Mapping[str, Any]],
    shown: Sequence[int],
    curve: Callable,
    area: str,
    steps: Literal["default", "steps-pre"],
) -> Figure:
    probabilities = answers.probabilities()
    with style():
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axis = figure.add_subplot()
        for c, colour in zip(shown, palette.of_classes(len(shown)), strict=True):
            label = f"{answers.classes[c]} {per_class[c][area]['value']:.3f}"
            axis.plot(
                *curve(probabilities, answers.labels, c),
                color=colour, lw=1.4, label=label, drawstyle=steps,
            )  # fmt: skip
        figure.legend(loc="outside right upper", borderpad=0, handlelength=1, fontsize=8)
    return figure


def _unit(axis: Axes, across: str, up: str) -> None:
    with style():
        axis.set_xlim(-0.01, 1.01)
        axis.set_ylim(-0.01, 1.01)
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        grid(axis)


def _reliability(answers: Answers) -> Chart:
    bins = curves.reliability(answers.probabilities(), answers.labels)
    with style():
        figure = Figure(figsize=(4.6, 3.8), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        upper.plot((0, 1), (0, 1), color=INK, lw=0.8, ls=":")
        upper.vlines(bins.confidence, bins.low, bins.high, color=INK, lw=0.8, alpha=0.6)
        upper.plot(bins.confidence, bins.accuracy, "o-", ms=4, lw=1, color=ACCENT)
        _unit(upper, "", "accuracy")
        lower.bar(bins.confidence, bins.n, 0.03, color=ACCENT)
        lower.set_yscale("symlog", linthresh=1)
        lower.set_ylim(0, 2 * bins.n.max())
        lower.yaxis.set_major_locator(FixedLocator([10**k for k in range(0, 7, 2)]))
        lower.yaxis.set_major_formatter("{x:,.0f}")
        lower.minorticks_off()
        lower.set_xlabel("probability of the answer")
        lower.set_ylabel("pictures")
    return Chart(
        "reliability", "Reliability", figure,
        "Pictures binned by the probability of the answer: which share of them is right, with its "
        "95 % interval; dotted: what they promise. Below: how many they are.",
    )  # fmt: skip


def _risk_coverage(answers: Answers) -> Chart:
    curve = curves.risk_coverage(answers.probabilities(), answers.labels)
    with style():
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        axis = figure.add_subplot()
        axis.plot(100 * curve.x, 100 * curve.y, color=ACCENT, lw=1.4)
        axis.set_xlim(0, 101)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("pictures answered, the surest first (%)")
        axis.set_ylabel("wrong answers (%)")
        grid(axis)
    return Chart(
        "risk_coverage", "Errors where only the sure answers count", figure,
        f"All {answers.n:,} pictures answered: {percent(curve.y[-1])} are wrong.",
    )  # fmt: skip
