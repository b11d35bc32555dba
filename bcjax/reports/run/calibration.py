"""What the network's probabilities are worth: curves, reliability, and the fitted calibration."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration.measure import CalibrationMeasurements
from bcjax.metrics import ClassMetrics, Estimate, curves
from bcjax.metrics.curves import Curve
from bcjax.metrics.names import metric_name
from bcjax.reports.pages import charts
from bcjax.reports.pages.formatting import NONE, interval, number, percent, percent_interval
from bcjax.reports.pages.page import Block, Chart, Charts, Table, Text
from bcjax.reports.run_record import RunRecord

_MAX_CURVES = 10  # classes that have a panel of their own
_COLUMNS = 3  # panels side by side
_PANEL = 1.55  # inches
_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2)  # lengths of an axis that is enlarged
_SCALE = "Where all curves come near the ideal corner, the axes show that corner alone."


def confidence(run: RunRecord) -> list[Block]:
    """Returns the charts of the probabilities and what the calibration makes of them."""
    if run.answers is None:
        return [no_answers(run)]
    return [Charts(confidence_charts(run.answers, run.evaluation.per_class)), *_calibration(run)]


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
    auc = [row.auc.value if row.auc else None for row in per_class]
    precision = [each.value if (each := row.average_precision) else None for row in per_class]
    defined = [c for c, area in enumerate(auc) if area is not None]
    shown = sorted(sorted(defined, key=lambda c: auc[c] or 0.0)[:_MAX_CURVES])
    if not shown:
        return []
    caption = f"Each class against all others, with its {{}}. {_SCALE}"
    if len(shown) < len(defined):
        caption += f" The {len(shown)} classes with the lowest areas."
    probabilities = answers.probabilities()

    def panels(curve: Callable, areas: Sequence[float | None], *axes: str) -> Figure:
        drawn = [curve(probabilities, answers.labels, c) for c in shown]
        titles = [f"{answers.classes[c]}\n{number(areas[c])}" for c in shown]
        return _panels(titles, drawn, *axes)

    roc = panels(curves.roc, auc, "false positive rate", "recall")
    pr = panels(curves.precision_recall, precision, "recall", "precision")
    return [
        Chart("roc", "ROC curves", roc, caption.format("area under the curve")),
        Chart("precision_recall", "Precision and recall", pr, caption.format("average precision")),
    ]


@charts.style()
def _panels(titles: Sequence[str], drawn: Sequence[Curve], x: str, y: str) -> Figure:
    """Draws each curve in a panel, and of all panels the part in which the curves bend."""
    ideal = 0 if x == "false positive rate" else 1
    # How far each curve stays from its ideal corner, along both axes together.
    away = [np.min(abs(curve.x - ideal) + 1 - curve.y) for curve in drawn]
    extent = next((end for end in _ENDS if end >= 3 * max(away)), 1.0)
    columns = min(_COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(
        figsize=(_PANEL * max(2, columns) + 0.4, 1.1 * _PANEL * rows + 0.3), layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False).flat
    colours = charts.class_colours(len(drawn))
    for axes, title, curve, colour in zip(panels, titles, drawn, colours, strict=False):
        axes.plot(
            *curve, color=colour, lw=1.8,
            drawstyle="default" if ideal == 0 else "steps-pre",
        )  # fmt: skip
        axes.set_title(title, fontsize=8)
        left = 0.0 if ideal == 0 else 1 - extent
        axes.set_xlim(left - 0.03 * extent, left + 1.03 * extent)
        axes.set_ylim(1 - 1.03 * extent, 1 + 0.03 * extent)
        axes.locator_params(nbins=3)
        axes.tick_params(labelsize=7)
        charts.draw_grid(axes)
    for unused in panels[len(drawn) :]:
        unused.set_axis_off()
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)
    return figure


@charts.style()
def _reliability(answers: Answers) -> Chart:
    bins = curves.reliability(answers.probabilities(), answers.labels)
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    upper.plot((0, 1), (0, 1), color=charts.INK, lw=0.8, ls=":")
    upper.vlines(bins.confidence, bins.low, bins.high, color=charts.INK, lw=0.8, alpha=0.6)
    upper.plot(bins.confidence, bins.accuracy, "o-", ms=4, lw=1, color=charts.ACCENT)
    upper.set_xlim(-0.01, 1.01)
    upper.set_ylim(-0.01, 1.01)
    upper.set_ylabel("accuracy")
    charts.draw_grid(upper)
    lower.bar(bins.confidence, bins.n, 0.03, color=charts.ACCENT)
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
        "Pictures are grouped by the probability of the predicted class. Each point is the share "
        "of a group that is predicted correctly, with its 95 % interval; the dotted line is what "
        "the probabilities promise. Below: the number of pictures in each group.",
    )


@charts.style()
def _risk_coverage(answers: Answers) -> Chart:
    curve = curves.risk_coverage(answers.probabilities(), answers.labels)
    figure, axes = charts.new_figure(4.6, 3.0)
    axes.plot(100 * curve.x, 100 * curve.y, color=charts.ACCENT, lw=1.4)
    axes.set_xlim(0, 101)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("pictures answered, the surest first (%)")
    axes.set_ylabel("wrong predictions (%)")
    return Chart(
        "risk_coverage",
        "Errors when only the surest predictions count",
        figure,
        f"If all {answers.n:,} pictures are answered, {percent(curve.y[-1])} of the answers are "
        "wrong.",
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
        f"The calibration{temperature_in_words(calibration)} was fitted on "
        f"{calibration.fitted_n:,} pictures of the {calibration.fitted_on} split. The tables show "
        f"what it does for the {calibration.n:,} pictures of this evaluation."
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
        f"A set holds {conformal.mean_size:.2f} classes on average, or "
        f"{conformal.by_class.mean_size:.2f} if sets are fitted by class."
    )
    sizes = " ".join([sizes, *calibration.unfitted])
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


def temperature_in_words(calibration: CalibrationMeasurements) -> str:
    """Returns ", with the temperature 1.31 (95 % interval 1.12 - 1.52),"; "" if none was fitted."""
    if calibration.fitted and calibration.fitted.why_not:
        return ""
    words = f", with the temperature {number(calibration.temperature)}"
    estimate = calibration.fitted.estimate if calibration.fitted else None
    if estimate and estimate.low is not None:
        words += f" (95 % interval {interval(estimate)})"
    return f"{words},"


def _promise(name: str, target: str, share: Estimate | None) -> list[str]:
    if not share:
        return [name, target, NONE, NONE, "0"]
    return [name, target, percent(share.value), percent_interval(share), f"{share.n:,}"]
