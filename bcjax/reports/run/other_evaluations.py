"""Other evaluations of a run: other laboratories, corrupted pictures, averages, members."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcjax.metrics.names import metric_name
from bcjax.reports.pages.charts import INK, class_colours, draw_grid, new_figure, style
from bcjax.reports.pages.formatting import (
    NONE,
    interval,
    number,
    percent,
    percent_interval,
)
from bcjax.reports.pages.page import Block, Chart, Charts, Details, Table, Text
from bcjax.reports.run.performance import HEADLINE
from bcjax.reports.run_record import Json, RunRecord

_PART_METRICS = ("accuracy", "macro_f1", "log_loss")
_AMONG = {"open": "all classes", "closed": "the common ones"}
_CORRUPTION_METRIC = "balanced_accuracy"


def other_data(run: RunRecord) -> list[Block]:
    """Returns the figures on other data sets, beside those of the same classes of the own."""
    blocks: list[Block] = []
    for name, result in run.other_laboratories.items():
        blocks += [Text(f"{name}: {caution}", "bad") for caution in result.get("cautions", ())]
        if "laboratory" in result:
            blocks.append(_beside_own_data(name, result["laboratory"]))
        else:
            blocks.append(_table(run, {name: result}, "The same network on other pictures"))
    if not run.other_laboratories:
        command = run.command("evaluate", "--data.source=PICTURES")
        missing = f"The network was not evaluated on another laboratory's pictures: {command}."
        blocks.append(Text(missing, "soft"))
    return blocks


def _beside_own_data(name: str, laboratory: Json) -> Table:
    own, drop = laboratory["home"], laboratory["drop"]
    head = ["asked among", "metric", "there", "95 % interval", "own data", "drop", "95 % interval"]
    rows = []
    for key, among in _AMONG.items():
        for metric, there in laboratory[key].items():
            row = [among, metric_name(metric), number(there["value"]), interval(there)]
            if own:
                lost = drop[key][metric]
                row += [number(own[key][metric]["value"]), number(lost["value"]), interval(lost)]
            else:
                row += [NONE] * 3
            rows.append(row)
    pairs = ", ".join(f"{theirs} = {ours}" for theirs, ours in laboratory["classes"].items())
    left_out = ", ".join(f"{theirs} ({n:,})" for theirs, n in laboratory["left_out"].items())
    caption = [
        f"{name}: n = {laboratory['n']:,}",
        f"own data: {own['split']} split, n = {own['n']:,}" if own else laboratory["why"],
        f"classes: {pairs}",
        f"left out: {left_out}" if left_out else "",
        f"stain: {laboratory['stain']}",
    ]
    return Table(head, rows, "; ".join(filter(None, caption)), text_columns=2)


def corruptions(run: RunRecord) -> list[Block]:
    """Returns a row and a curve for each corruption, with a column for each severity."""
    found = run.corruptions
    if not found:
        command = run.command("evaluate", f"--split={run.evaluation}", "--corruptions")
        return [Text(f"Corrupted pictures were not tried: {command}.", "soft")]
    clean = found["clean"][_CORRUPTION_METRIC]
    head = ["corruption", *(f"severity {each}" for each in found["severities"])]
    head += ["mean", "95 % interval", "lost", "95 % interval"]
    rows = [
        [
            row["name"].replace("_", " "),
            *(number(each[_CORRUPTION_METRIC]["value"]) for each in row["severities"]),
            *_mean_and_loss(row),
        ]
        for row in found["corruptions"]
    ]
    rows.append(["all", *[""] * len(found["severities"]), *_mean_and_loss(found)])
    caption = (
        f"Balanced accuracy on corrupted pictures, {found['split']} split, n = {found['n']:,}, "
        f"checkpoint {found['checkpoint']:,}; clean: {number(clean['value'])} ({interval(clean)})"
    )
    return [Charts([_corruption_chart(found, clean["value"])]), Table(head, rows, caption)]


def _mean_and_loss(row: Json) -> list[str]:
    mean, lost = row["mean"][_CORRUPTION_METRIC], row["over_clean"]
    return [number(mean["value"]), interval(mean), number(lost["value"]), interval(lost)]


def _corruption_chart(found: Json, clean: float) -> Chart:
    rows = found["corruptions"]
    with style():
        figure, axes = new_figure(5.8, 3.4)
        for row, colour in zip(rows, class_colours(len(rows)), strict=True):
            values = [clean, *(each[_CORRUPTION_METRIC]["value"] for each in row["severities"])]
            name = row["name"].replace("_", " ")
            x = [0, *found["severities"]]
            axes.plot(x, values, "o-", ms=3, lw=1.2, color=colour, label=name)
        axes.axhline(clean, color=INK, lw=0.8, ls=":")
        axes.set_ylim(0, 1.01)
        axes.set_xlabel("severity; 0: not corrupted")
        axes.set_ylabel("balanced accuracy")
        draw_grid(axes)
        figure.legend(loc="outside right upper", borderpad=0, handlelength=1, fontsize=8)
    return Chart("corruptions", "Corrupted pictures", figure, "Dotted: the pictures as they are.")


def averages(run: RunRecord) -> list[Block]:
    """Returns the figures of averages over views, networks or weights, and of their parts."""
    others = {
        name: result for name, result in run.others.items() if name not in run.other_laboratories
    }
    if not others:
        return []
    blocks: list[Block] = [_table(run, others, "Other evaluations of this run")]
    for name, result in others.items():
        soup = result.get("soup", {}).get("ingredients", [])
        if parts := [*result.get("ensemble", []), *soup, *result.get("views", [])]:
            blocks.append(Details(f"{name}: what was averaged, each alone", [_parts(parts)]))
    return blocks


def members(run: RunRecord) -> list[Block]:
    """Returns how far the members of the run lie apart, if it has members."""
    found = run.result.get("members")
    if not found:
        return []
    rows = [
        [metric_name(key), number(m["mean"]), number(m["deviation"]), interval(m), f"{m['n']:,}"]
        for key, m in found["metrics"].items()
    ]
    head = ["metric", "mean", "deviation", "95 % interval of the mean", "members"]
    caption = "The members one by one; the figures above are of all of them together"
    return [
        Table(head, rows, caption),
        Details(f"Each of the {len(found['each']):,} members", [_parts(found["each"])]),
    ]


def _parts(parts: Sequence[Mapping[str, Any]]) -> Table:
    """Returns the figures of views or networks, each alone."""

    def rows() -> Iterator[list[str]]:
        for part in parts:
            name = part.get("view") or f"{part['workdir']}, checkpoint {part['checkpoint']:,}"
            name += "" if part.get("kept", True) else ", left out"
            yield [name, *(number(part["metrics"].get(key)) for key in _PART_METRICS)]

    return Table(["", *map(metric_name, _PART_METRICS)], list(rows()))


def _table(run: RunRecord, evaluations: Mapping[str, Json], caption: str) -> Table:
    """Returns the headline figures of evaluations below those of the report's own."""
    head = ["evaluation", "pictures", "n"]
    for key in HEADLINE:
        head += [metric_name(key), "95 % interval"]
    rows = []
    for name, result in {run.evaluation: run.result, **evaluations}.items():
        row = [name, f"{Path(result['source']).name}, {result['split']}", f"{result['n']:,}"]
        for key in HEADLINE:
            figure = result["metrics"][key]
            row += [percent(figure["value"]), percent_interval(figure)]
        rows.append(row)
    return Table(head, rows, caption, text_columns=2)
