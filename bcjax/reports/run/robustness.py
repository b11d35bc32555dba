"""What spoilt pictures make of the figures."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from bcjax.reports.pages import palette
from bcjax.reports.pages.charts import INK, grid, style
from bcjax.reports.pages.numbers import interval, number
from bcjax.reports.pages.story import Block, Chart, Charts, Table, Text
from bcjax.reports.run.artefacts import Artefacts

_METRIC = "balanced_accuracy"


def robustness(run: Artefacts) -> list[Block]:
    """A row, and a curve, for each corruption; a column for each severity."""
    found = run.corruptions
    if not found:
        command = run.command("evaluate", f"--split={run.name}", "--corruptions")
        return [Text(f"Spoilt pictures were not tried: {command}.", "soft")]
    clean = found["clean"][_METRIC]
    head = ["corruption", *(f"severity {each}" for each in found["severities"])]
    head += ["mean", "95 % interval", "lost", "95 % interval"]
    rows = [
        [
            row["name"].replace("_", " "),
            *(number(each[_METRIC]["value"]) for each in row["severities"]),
            *_means(row),
        ]
        for row in found["corruptions"]
    ]
    rows.append(["all", *[""] * len(found["severities"]), *_means(found)])
    caption = (
        f"Balanced accuracy on spoilt pictures, {found['split']} split, n = {found['n']:,}, "
        f"checkpoint {found['checkpoint']:,}; clean: {number(clean['value'])} ({interval(clean)})"
    )
    return [Charts([_chart(found, clean["value"])]), Table(head, rows, caption)]


def _means(row: Mapping[str, Any]) -> list[str]:
    mean, lost = row["mean"][_METRIC], row["over_clean"]
    return [number(mean["value"]), interval(mean), number(lost["value"]), interval(lost)]


def _chart(found: Mapping[str, Any], clean: float) -> Chart:
    rows = found["corruptions"]
    with style():
        figure = Figure(figsize=(5.8, 3.4), layout="constrained")
        axis = figure.add_subplot()
        for row, colour in zip(rows, palette.of_classes(len(rows)), strict=True):
            values = [clean, *(each[_METRIC]["value"] for each in row["severities"])]
            axis.plot([0, *found["severities"]], values, "o-", ms=3, lw=1.2, color=colour,
                      label=row["name"].replace("_", " "))  # fmt: skip
        axis.axhline(clean, color=INK, lw=0.8, ls=":")
        axis.set_ylim(0, 1.01)
        axis.set_xlabel("severity; 0: as it is")
        axis.set_ylabel("balanced accuracy")
        grid(axis)
        figure.legend(loc="outside right upper", borderpad=0, handlelength=1, fontsize=8)
    return Chart("corruptions", "Spoilt pictures", figure, "Dotted: the pictures as they are.")
