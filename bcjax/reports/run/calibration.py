"""What the network's probabilities are worth: curves, reliability, and the fitted calibration."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from bcjax.evaluation.answers import Answers
from bcjax.metrics import ClassMetrics, Estimate, curves
from bcjax.metrics.names import metric_name
from bcjax.reports.pages.charts import (
    ACCENT,
    INK,
    Axes,
    Figure,
    class_colours,
    draw_grid,
    new_figure,
    style,
    ticker,
)
from bcjax.reports.pages.formatting import NONE, enumeration, number, percent, percent_interval
from bcjax.reports.pages.page import Block, Chart, Charts, Table, Text
from bcjax.reports.run_record import RunRecord

_MAX_CURVES = 10  # classes that have a curve of their own


def confidence(run: RunRecord) -> list[Block]:
    """Returns the charts of the probabilities and what the calibration makes of them."""
    if run.answers is None:
        return [no_answers(run)]
    charts = confidence_charts(run.answers, run.evaluation.per_class)
    return [Charts(charts), *_calibration(run)]


def no_answers(run: RunRecord) -> Text:
    """Returns the sentence for a run of which only figures were kept."""
    again = run.command("evaluate", f"--split={run.name}")
    return Text(f"The predictions themselves were not kept: {again} writes them.", "soft")


def confidence_charts(answers: Answers, per_class: Sequence[ClassMetrics]) -> list[Chart]:
    """Draws ROC and precision-recall curves, the reliability and the risk over the coverage.

    Args:
      answers: The predictions of a split.
      per_class: The figures of each class, as an evaluation gives them.
    """
    return [
        *_curves_of_classes(answers, per_class),
        _reliability(answers),
        _risk_coverage(answers),
    ]


def _curves_of_classes(answers: Answers, per_class: Sequence[ClassMetrics]) -> list[Chart]:
    """Draws the classes that have an AUC; of many classes, those with the lowest."""
    auc = _areas(row.auc for row in per_class)
    precision = _areas(row.average_precision for row in per_class)
    shown = sorted(sorted(auc, key=lambda c: auc[c])[:_MAX_CURVES])
    if not shown:
        return []
    which = f" The {len(shown)} classes with the lowest areas." * (len(shown) < len(auc))
    roc = _curves(answers, auc, shown, curves.roc, "default")
    axes = roc.axes[0]
    axes.plot((0, 1), (0, 1), color=INK, lw=0.8, ls=":")
    _unit_axes(axes, "false positive rate", "true positive rate (recall)")
    pr = _curves(answers, precision, shown, curves.precision_recall, "steps-pre")
    _unit_axes(pr.axes[0], "recall", "precision")
    return [
        Chart(
            "roc",
            "ROC curves",
            roc,
            "Each class against the rest, with the area under its curve; dotted: chance." + which,
        ),
        Chart(
            "precision_recall",
            "Precision and recall",
            pr,
            "Each class against the rest, with its average precision." + which,
        ),
    ]


def _areas(estimates: Iterable[Estimate | None]) -> dict[int, float]:
    """Returns the value for each class that has one."""
    return {c: e.value for c, e in enumerate(estimates) if e and e.value is not None}


def _curves(
    answers: Answers,
    areas: Mapping[int, float],
    shown: Sequence[int],
    curve: Callable,
    steps: Literal["default", "steps-pre"],
) -> Figure:
    probabilities = answers.probabilities()
    with style():
        figure, axes = new_figure(5.2, 3.4)
        for c, colour in zip(shown, class_colours(len(shown)), strict=True):
            label = f"{answers.classes[c]} {areas[c]:.3f}"
            x, y = curve(probabilities, answers.labels, c)
            axes.plot(x, y, color=colour, lw=1.4, label=label, drawstyle=steps)
        figure.legend(loc="outside right upper", borderpad=0, handlelength=1, fontsize=8)
    return figure


def _unit_axes(axes: Axes, x: str, y: str) -> None:
    with style():
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        draw_grid(axes)


def _reliability(answers: Answers) -> Chart:
    bins = curves.reliability(answers.probabilities(), answers.labels)
    with style():
        figure = Figure(figsize=(4.6, 3.8), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        upper.plot((0, 1), (0, 1), color=INK, lw=0.8, ls=":")
        upper.vlines(bins.confidence, bins.low, bins.high, color=INK, lw=0.8, alpha=0.6)
        upper.plot(bins.confidence, bins.accuracy, "o-", ms=4, lw=1, color=ACCENT)
        _unit_axes(upper, "", "accuracy")
        lower.bar(bins.confidence, bins.n, 0.03, color=ACCENT)
        lower.set_yscale("symlog", linthresh=1)
        lower.set_ylim(0, 2 * bins.n.max())
        lower.yaxis.set_major_locator(ticker.FixedLocator([10**k for k in range(0, 7, 2)]))
        lower.yaxis.set_major_formatter("{x:,.0f}")
        lower.minorticks_off()
        lower.set_xlabel("probability of the predicted class")
        lower.set_ylabel("pictures")
    return Chart(
        "reliability",
        "Reliability",
        figure,
        "Pictures grouped by the probability of the predicted class: which share of them is right, "
        "with its 95 % interval; dotted: the share that the probability promises. Below: how many "
        "pictures there are.",
    )


def _risk_coverage(answers: Answers) -> Chart:
    curve = curves.risk_coverage(answers.probabilities(), answers.labels)
    with style():
        figure, axes = new_figure(4.6, 3.0)
        axes.plot(100 * curve.x, 100 * curve.y, color=ACCENT, lw=1.4)
        axes.set_xlim(0, 101)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("pictures answered, the surest first (%)")
        axes.set_ylabel("wrong predictions (%)")
        draw_grid(axes)
    return Chart(
        "risk_coverage",
        "Errors if only the sure predictions count",
        figure,
        f"With all {answers.n:,} pictures answered, {percent(curve.y[-1])} are wrong.",
    )


def _calibration(run: RunRecord) -> list[Block]:
    """Returns what was measured with the calibration of the checkpoint, or how to get one."""
    calibration = run.evaluation.calibration
    if not calibration:
        calibrate = run.command("calibrate")
        evaluate = run.command("evaluate", f"--split={run.name}")
        return [
            Text(
                "The probabilities are as the network gives them; to calibrate them, run "
                f"{calibrate}, then {evaluate}.",
                "soft",
            )
        ]
    fitted = (
        f"Fitted on {calibration.fitted_n:,} pictures of the {calibration.fitted_on} split: "
        f"temperature {number(calibration.temperature)}. Measured here, on {calibration.n:,}."
    )
    losses = {"log_loss": calibration.log_loss, "ece": calibration.ece, "brier": calibration.brier}
    conformal, abstention = calibration.conformal, calibration.abstention
    coverage = percent(conformal.coverage)
    promises = [
        _promise("sets hold the true class", coverage, conformal.measured),
        _promise("the same, fitted by class", coverage, conformal.by_class.measured),
        _promise("answered, not `uncertain`", NONE, abstention.answered),
        _promise("errors among these", f"≤ {percent(abstention.error_rate)}", abstention.error),
    ]
    if calibration.energy:
        promises.append(
            _promise("unlike training pictures (energy)", NONE, calibration.energy.above)
        )
    sizes = (
        f"A set holds {conformal.mean_size:.2f} classes on average; fitted by class, "
        f"{conformal.by_class.mean_size:.2f}."
    )
    if conformal.by_class.too_few:
        sizes += (
            " These classes had too few pictures to fit a set by class: "
            f"{enumeration(conformal.by_class.too_few)}."
        )
    blocks: list[Block] = [
        Text(fitted),
        Table(
            ["probabilities", "as they are", "calibrated"],
            [
                [metric_name(key), number(each.raw), number(each.scaled)]
                for key, each in losses.items()
            ],
        ),
        Table(["promise", "asked for", "measured", "95 % interval", "n"], promises),
        Text(sizes),
    ]
    if abstention.answered is None:
        needed = abstention.needed
        blocks.append(Text(f"To guarantee an error rate, {needed:,} pictures are needed.", "soft"))
    return blocks


def _promise(name: str, target: str, share: Estimate | None) -> list[str]:
    if not share:
        return [name, target, NONE, NONE, "0"]
    return [name, target, percent(share.value), percent_interval(share), f"{share.n:,}"]
