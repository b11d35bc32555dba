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


def summary(parts: "Iterable[Predictions]") -> Table:
    """Returns how many pictures got each label, the most frequent first, and how many none.

    Nothing is kept of a part but its counts: to lay out a row for each picture takes 1.5 ms, four
    times as long as to label it.

    Args:
      parts: The predictions, part by part.
    """
    labelled: Counter[str] = Counter()
    uncertain: Counter[str] = Counter()
    outliers = unreadable = 0
    for part in parts:
        labels = np.array(part.labels)
        labelled.update(labels.tolist())
        if part.uncertain is not None:
            uncertain.update(labels[part.uncertain].tolist())
        outliers += 0 if part.outlier is None else int(part.outlier.sum())
        unreadable += len(part.unreadable)
    pictures = labelled.total() + unreadable
    rows = Table()
    for column in ("label", "pictures", "share", "uncertain"):
        rows.add_column(column, justify="left" if column == "label" else "right")

    def add(name: str, count: int, unsure: int = 0) -> None:
        rows.add_row(name, f"{count:,}", f"{count / pictures:.1%}", f"{unsure:,}" if unsure else "")

    ranked = labelled.most_common()
    for name, count in ranked[:_CLASSES]:
        add(name, count, uncertain[name])
    if left := [name for name, _ in ranked[_CLASSES:]]:
        sums = (sum(counts[name] for name in left) for counts in (labelled, uncertain))
        add(f"{len(left):,} other classes", *sums)
    rows.add_section()
    add("all", pictures, uncertain.total())
    if outliers:
        add("unlike the training", outliers)
    if unreadable:
        add("unreadable", unreadable)
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
