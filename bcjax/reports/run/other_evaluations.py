"""Other evaluations of a run: other laboratories, corrupted pictures, averages, members."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bcjax.evaluation import answers as answering
from bcjax.evaluation.evaluation import (
    Evaluation,
    LaboratoryComparison,
    NetworkScores,
    ViewScores,
)
from bcjax.metrics import Estimate
from bcjax.metrics.names import metric_name
from bcjax.reports.pages import charts
from bcjax.reports.pages.formatting import NONE, interval, number, percent, percent_interval
from bcjax.reports.pages.page import Block, Chart, Charts, Details, Table, Text
from bcjax.reports.run.performance import HEADLINE
from bcjax.reports.run_record import RunRecord

if TYPE_CHECKING:
    from bcjax.evaluation.corruptions.corruption_evaluation import CorruptionEvaluation

_PART_METRICS = ("accuracy", "macro_f1", "log_loss")
_AMONG = {"open": "all classes", "closed": "the common ones"}
_MOST = 12  # pictures that the networks disagree about
_CORRUPTION_METRIC = "balanced_accuracy"


def other_data(run: RunRecord) -> list[Block]:
    """Returns the figures on other data sets, beside those of the same classes of the own."""
    blocks: list[Block] = []
    for name, result in run.other_laboratories.items():
        blocks += _cautions(name, result)
        if result.laboratory:
            blocks.append(_beside_own_data(name, result.laboratory))
        else:
            blocks.append(_table(run, {name: result}, "The same network on other pictures"))
    if not run.other_laboratories:
        command = run.command("evaluate", "--data.source=PICTURES")
        missing = (
            "The network has not been evaluated on pictures of another laboratory. To do so, run "
            f"{command}."
        )
        blocks.append(Text(missing, "soft"))
    return blocks


def _beside_own_data(name: str, comparison: LaboratoryComparison) -> Table:
    own, drop = comparison.home, comparison.drop
    head = ["asked among", "metric", "there", "95 % interval", "own data", "drop", "95 % interval"]
    rows = []
    for kind, among in _AMONG.items():
        for metric, there in getattr(comparison, kind).items():
            row = [among, metric_name(metric), number(there.value), interval(there)]
            if own and drop:
                here, lost = getattr(own, kind)[metric], getattr(drop, kind)[metric]
                row += [number(here.value), number(lost.value), interval(lost)]
            else:
                row += [NONE] * 3
            rows.append(row)
    pairs = ", ".join(f"{theirs} = {ours}" for theirs, ours in comparison.classes.items())
    left_out = ", ".join(f"{theirs} ({n:,})" for theirs, n in comparison.left_out.items())
    caption = [
        f"{name}: n = {comparison.n:,}",
        f"own data: {own.split} split, n = {own.n:,}" if own else comparison.why,
        f"classes: {pairs}",
        f"left out: {left_out}" if left_out else "",
        f"stain: {comparison.stain}",
    ]
    return Table(head, rows, "; ".join(filter(None, caption)), text_columns=2)


def corruptions(run: RunRecord) -> list[Block]:
    """Returns a row and a curve for each corruption, with a column for each severity."""
    result = run.corruptions
    if not result:
        command = run.command("evaluate", f"--split={run.name}", "--corruptions")
        return [Text(f"Corrupted pictures have not been tried. To do so, run {command}.", "soft")]
    clean = result.clean[_CORRUPTION_METRIC]
    seen = [Text(caution, "bad") for caution in result.cautions if caution not in run.cautions]
    head = ["corruption", *(f"severity {each}" for each in result.severities)]
    head += ["mean", "95 % interval", "lost", "95 % interval"]
    rows = [
        [
            row.name.replace("_", " "),
            *(number(each[_CORRUPTION_METRIC].value) for each in row.severities),
            *_mean_and_loss(row.mean, row.over_clean),
        ]
        for row in result.corruptions
    ]
    empty = [""] * len(result.severities)
    rows.append(["all", *empty, *_mean_and_loss(result.mean, result.over_clean)])
    caption = (
        f"Balanced accuracy on corrupted pictures, {result.split} split, n = {result.n:,}, "
        f"checkpoint {result.checkpoint:,}; clean: {number(clean.value)} ({interval(clean)})"
    )
    return [*seen, Charts([_corruption_chart(result)]), Table(head, rows, caption)]


def _mean_and_loss(means: Mapping[str, Estimate], lost: Estimate) -> list[str]:
    mean = means[_CORRUPTION_METRIC]
    return [number(mean.value), interval(mean), number(lost.value), interval(lost)]


@charts.style()
def _corruption_chart(result: "CorruptionEvaluation") -> Chart:
    rows, clean = result.corruptions, result.clean[_CORRUPTION_METRIC].value
    x = [0, *result.severities]
    figure, axes = charts.new_figure(5.8, 3.4)
    for row, colour in zip(rows, charts.class_colours(len(rows)), strict=True):
        values = [clean, *(each[_CORRUPTION_METRIC].value for each in row.severities)]
        y = [math.nan if value is None else value for value in values]
        name = row.name.replace("_", " ")
        axes.plot(x, y, "o-", ms=3, lw=1.2, color=colour, label=name)
    if clean is not None:
        axes.axhline(clean, color=charts.INK, lw=0.8, ls=":")
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("severity; 0: not corrupted")
    axes.set_ylabel("balanced accuracy")
    figure.legend(loc="outside right upper", borderpad=0, handlelength=1, fontsize=8)
    return Chart("corruptions", "Corrupted pictures", figure, "Dotted: the pictures as they are.")


def averages(run: RunRecord) -> list[Block]:
    """Returns the figures of averages over views, networks or weights, and of their parts."""
    others = {
        name: result for name, result in run.others.items() if name not in run.other_laboratories
    }
    if not others:
        return []
    blocks: list[Block] = [each for name in others for each in _cautions(name, others[name])]
    blocks.append(_table(run, others, "Other evaluations of this run"))
    for name, result in others.items():
        soup = result.soup.ingredients if result.soup else ()
        parts: Sequence[NetworkScores | ViewScores] = [*result.ensemble, *soup, *result.views]
        if parts:
            blocks.append(Details(f"{name}: what was averaged, each alone", [_parts(parts)]))
    return blocks + _disagreement(run, others)


def _disagreement(run: RunRecord, evaluations: Mapping[str, Evaluation]) -> list[Block]:
    """Returns how much the networks of each ensemble disagree, and about which pictures most."""
    apart = {name: each.disagreement for name, each in evaluations.items() if each.disagreement}
    if not apart:
        return []
    head = ["evaluation", "entropy", "mutual information", "answer right", "answer wrong"]
    rows = [
        [name, *(number(value) for value in dataclasses.astuple(each))]
        for name, each in apart.items()
    ]
    caption = (
        "How much the networks disagree: means over the pictures, in nats. The mutual information "
        "is the part of the entropy that they disagree about, also where the answer is right and "
        "where it is wrong"
    )
    return [
        Table(head, rows, caption),
        *(_most_disagreed(name, run.run_dir.answers(name)) for name in apart),
    ]


def _most_disagreed(name: str, path: Path) -> Block:
    """Returns the pictures of an evaluation that the networks disagree about most."""
    kept = answering.read(path) if path.exists() else None
    if kept is None or kept.disagreement is None:
        return Text(f"{name}: its answers to the single pictures were not kept.", "soft")
    probabilities, shared = kept.probabilities(), kept.disagreement.mutual_information
    rows = [
        [
            kept.ids[row],
            kept.classes[kept.labels[row]],
            kept.classes[probabilities[row].argmax()],
            percent(probabilities[row].max()),
            number(shared[row]),
        ]
        for row in np.argsort(-shared, kind="stable")[:_MOST]
    ]
    head = ["picture", "true", "predicted", "probability", "mutual information"]
    title = f"{name}: the {len(rows)} pictures that the networks disagree about most"
    return Details(title, [Table(head, rows, text_columns=3)])


def members(run: RunRecord) -> list[Block]:
    """Returns how far the members of the run lie apart, if it has members."""
    summary = run.evaluation.members
    if not summary:
        return []
    rows = [
        [
            metric_name(key),
            number(m.mean),
            number(m.deviation),
            interval(m),
            m.interval or NONE,
            f"{m.n:,}",
        ]
        for key, m in summary.metrics.items()
    ]
    head = ["metric", "mean", "deviation", "95 % interval of the mean", "how", "members"]
    caption = "The members one by one; the figures above are those of all members together"
    return [
        Table(head, rows, caption),
        Details(f"Each of the {len(summary.each):,} members", [_parts(summary.each)]),
    ]


def _parts(parts: Sequence[NetworkScores | ViewScores]) -> Table:
    """Returns the figures of networks or views, each alone."""

    def name(part: NetworkScores | ViewScores) -> str:
        if isinstance(part, ViewScores):
            return part.view
        left_out = ", left out" if part.kept is False else ""
        return f"{part.workdir}, checkpoint {part.checkpoint:,}{left_out}"

    rows = [
        [name(part), *(number(part.metrics.get(key)) for key in _PART_METRICS)] for part in parts
    ]
    return Table(["", *map(metric_name, _PART_METRICS)], rows)


def _cautions(name: str, result: Evaluation) -> list[Text]:
    """Returns what must be known of the figures of another evaluation, which stand below."""
    return [Text(f"{name}: {caution}", "bad") for caution in result.cautions]


def _table(run: RunRecord, evaluations: Mapping[str, Evaluation], caption: str) -> Table:
    """Returns the headline figures of evaluations below those of the report's own."""
    head = ["evaluation", "pictures", "n"]
    for key in HEADLINE:
        head += [metric_name(key), "95 % interval"]
    rows = []
    for name, result in {run.name: run.evaluation, **evaluations}.items():
        row = [name, f"{Path(result.source).name}, {result.split}", f"{result.n:,}"]
        for key in HEADLINE:
            row += [percent(result.metrics[key].value), percent_interval(result.metrics[key])]
        rows.append(row)
    return Table(head, rows, caption, text_columns=2)
