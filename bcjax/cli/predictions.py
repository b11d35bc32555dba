"""Predictions as tables for the terminal: a row for each picture, or a summary of many."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from bcjax.cli.flags import CHECKPOINT, Arguments

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.calibration import Calibration
    from bcjax.evaluation.predictions import Predictions
    from bcjax.evaluation.prevalence import Prevalence

_CLASSES = 40  # that a summary names


def table(predictions: "Predictions", caption: str) -> Table:
    """Returns a row for each picture."""
    rows = Table(caption=caption, caption_justify="left")
    rows.add_column("picture", overflow="fold")  # a name is never cut
    rows.add_column("label")
    rows.add_column("probability", justify="right")
    rows.add_column("then")
    calibrated = predictions.sets is not None
    if calibrated:
        rows.add_column("set")
        # Several networks have no features in common to know an outlier by.
        if predictions.entropy is None:
            rows.add_column("outlier")
    if predictions.entropy is not None:
        rows.add_column("mutual information", justify="right")
    for each in predictions:
        ranked = sorted(each.probabilities.items(), key=lambda item: -item[1])
        # The most probable class, where it is not the label, is among the others.
        others = ranked[0:3] if each.uncertain else ranked[1:3]
        calibration = [", ".join(each.set or ()) or "none"]
        calibration += ["yes" if each.outlier else ""] if each.entropy is None else []
        rows.add_row(
            each.name,
            "uncertain" if each.uncertain else each.label,
            f"{ranked[0][1]:.1%}",
            ", ".join(f"{name} {value:.1%}" for name, value in others),
            *(calibration if calibrated else []),
            *([] if each.entropy is None else [f"{each.mutual_information:.4f}"]),
        )
    return rows


def summary(parts: "Iterable[Predictions]", caption: str) -> Table:
    """Returns how many pictures got which answer, the most frequent first.

    Nothing is kept of a part but its counts: to lay out a row for each picture takes 1.5 ms, four
    times as long as to label it.

    Args:
      parts: The predictions, part by part.
      caption: What stands below the table.
    """
    labels: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for part in parts:
        unsure = np.zeros(len(part), bool) if part.uncertain is None else part.uncertain
        labels.update(part.classes[i] for i in part.indices[~unsure.astype(bool)].tolist())
        others["pictures"] += len(part) + len(part.unreadable)
        others["uncertain"] += int(unsure.sum())
        others["outliers"] += 0 if part.outlier is None else int(part.outlier.sum())
        others["unreadable"] += len(part.unreadable)
    rows = Table(caption=caption, caption_justify="left")
    for column in ("label", "pictures", "share"):
        rows.add_column(column, justify="left" if column == "label" else "right")

    def add(name: str, count: int) -> None:
        rows.add_row(name, f"{count:,}", f"{count / others['pictures']:.1%}")

    ranked = labels.most_common()
    for name, count in ranked[:_CLASSES]:
        add(name, count)
    if left := ranked[_CLASSES:]:
        add(f"{len(left):,} other classes", sum(count for _, count in left))
    if others["uncertain"]:
        add("uncertain", others["uncertain"])
    rows.add_section()
    if others["outliers"]:
        add("unlike the training (outliers)", others["outliers"])
    if others["unreadable"]:
        add("unreadable", others["unreadable"])
    add("all", others["pictures"])
    return rows


def caption(
    arguments: Arguments, calibration: "Calibration | None", prevalence: "Prevalence | None"
) -> str:
    """Returns the sentences below a table: what the probabilities are worth."""
    stated = f"{prevalence.sentence} " if prevalence else ""
    if calibration is None:
        given = [f"--workdir={arguments.workdir}"]
        if runs := getattr(arguments, "with"):
            given.append(f"--with={','.join(map(str, runs))}")
        if arguments.checkpoint != CHECKPOINT.default:
            given.append(f"--checkpoint={arguments.checkpoint}")
        return f"{stated}Not calibrated: bcjax calibrate {' '.join(given)} would do that."
    sets, abstention = calibration.conformal, calibration.abstention
    if prevalence and abstention.threshold is not None:
        promise = "How many answers that are not uncertain are wrong is not known at it"
    elif abstention.threshold is None:
        promise = f"Nothing is called uncertain, for that takes {abstention.needed:,} pictures"
    elif abstention.threshold == 1:
        promise = f"All is uncertain, for no confidence keeps errors to {abstention.error_rate:.1%}"
    else:
        promise = (
            f"Of what is not uncertain {abstention.error_rate:.1%} or less is wrong "
            f"({abstention.confidence:.0%} sure)"
        )
    if calibration.fitted and calibration.fitted.why_not:
        promise += f". {calibration.fitted.why_not.rstrip('.')}"
    return (
        f"{stated}Calibrated on {calibration.n:,} pictures ({calibration.split}), and true of "
        f"pictures like these: {sets.coverage:.0%} of the sets hold the true class. {promise}."
    )
