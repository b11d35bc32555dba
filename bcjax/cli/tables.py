"""Results as tables for the terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bcjax.reports.pages.formatting import percent, percent_interval

if TYPE_CHECKING:
    from bcjax.evaluation.calibration.measure import CalibrationMeasurements
    from bcjax.evaluation.corruptions.corruption_evaluation import CorruptionEvaluation
    from bcjax.evaluation.disagreement import MeanDisagreement
    from bcjax.evaluation.evaluation import (
        Evaluation,
        LaboratoryComparison,
        MemberSummary,
    )
    from bcjax.metrics.intervals import Estimate
    from bcjax.metrics.runs import MeanOverRuns

_MANY = 40  # classes that no longer fit a terminal
_BEGINS = ("log_loss", "macro_auc", "aurc")  # probabilities, ranking, abstention
_ALONE = ("accuracy", "macro_f1", "log_loss")


def evaluation(result: "Evaluation") -> Group:
    """Returns all that an evaluation says: its cautions, then its tables."""
    parts: list[RenderableType] = [*cautions(result.cautions), *_scores(result)]
    if result.members:
        parts.append(_members(result.members))
    if result.laboratory:
        parts.append(_other_laboratory(result.laboratory))
    if result.soup or result.ensemble or result.views:
        parts.append(_averaged(result))
    if result.disagreement:
        parts.append(_disagreement(result.disagreement))
    if result.calibration:
        parts.append(_calibration(result.calibration))
    return Group(*parts)


def cautions(sentences: Iterable[str]) -> list[Text]:
    """Returns the cautions about a figure, each a paragraph, which stand above it."""
    return [Text(f"Caution: {sentence}", style="bold") for sentence in sentences]


def _calibration(found: "CalibrationMeasurements") -> Text:
    """Returns what the probabilities are calibrated by, and what is missing for it."""
    estimate = found.fitted.estimate if found.fitted else None
    shown = f", temperature {estimate}" if estimate else ""
    text = f"Calibrated on {found.fitted_n:,} pictures ({found.fitted_on}){shown}."
    return Text(" ".join([text, *found.unfitted]))


def _disagreement(found: "MeanDisagreement") -> Text:
    """Returns how much the networks of an ensemble disagree."""
    where = (("right", found.where_right), ("wrong", found.where_wrong))
    apart = ", ".join(f"{_number(value)} where the answer is {how}" for how, value in where)
    return Text(
        f"Disagreement of the networks, in nats: mutual information {found.mutual_information:.4f} "
        f"({apart}) of an entropy of {found.entropy:.4f}."
    )


def _scores(result: "Evaluation") -> Iterator[RenderableType]:
    """Yields the headline, the scores of each class and the confusion matrix.

    Of many classes the headline alone.
    """
    where = f"{result.split} split, {result.answered_by}, n = {result.n:,}"
    headline = Table(title=where, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n"):
        headline.add_column(column, justify="left" if column == "metric" else "right")
    for name, metric in result.metrics.items():
        if name in _BEGINS:
            headline.add_section()
        headline.add_row(name, _number(metric.value), _interval(metric), f"{metric.n:,}")
    if any("group" in (metric.interval or "") for metric in result.metrics.values()):
        headline.caption = f"95 % intervals: {result.groups:,} groups, resampled as a whole"

    yield headline
    if len(result.classes) > _MANY:
        yield f"{len(result.classes):,} classes: each one is in the file."
        return
    classes = Table(title_justify="left")
    for column in ("class", "n", "precision", "recall", "95 % interval", "F1"):
        classes.add_column(column, justify="left" if column == "class" else "right")
    for position, row in enumerate((*result.per_class, result.average)):
        if position == len(result.per_class):
            classes.add_section()
        precision, recall, f1 = (
            _number(each.value if each else None) for each in (row.precision, row.recall, row.f1)
        )
        classes.add_row(row.name, f"{row.n:,}", precision, recall, _interval(row.recall), f1)
    yield classes
    yield _confusion(result.confusion_matrix, result.classes)


def _averaged(result: "Evaluation") -> Table:
    """Returns what was averaged, each part with the figures that it has alone."""
    table = Table(title="averaged, and each alone", title_justify="left")
    table.add_column("", overflow="fold")
    for name in _ALONE:
        table.add_column(name, justify="right")
    for part in (*result.ensemble, *(result.soup.ingredients if result.soup else ())):
        left_out = ", left out" if part.kept is False else ""
        named = f"{part.workdir}, checkpoint {part.checkpoint}{left_out}"
        table.add_row(named, *(_number(part.metrics.get(name)) for name in _ALONE))
    for view in result.views:
        table.add_row(view.view, *(_number(view.metrics.get(name)) for name in _ALONE))
    return table


def _members(summary: "MemberSummary") -> Table:
    """Returns what each member of a run did alone: mean and deviation over them."""
    table = Table(title="each member alone", title_justify="left")
    for column in ("metric", "mean", "deviation", "95 % interval of the mean", "members"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, metric in summary.metrics.items():
        row = (_number(metric.mean), _number(metric.deviation), _interval(metric))
        table.add_row(name, *row, str(metric.n))
    return table


def _other_laboratory(compared: "LaboratoryComparison") -> Group:
    """Returns the accuracies on another laboratory's pictures beside those at home."""
    title = f"the same classes: n = {compared.n:,}"
    if compared.home:
        title += f"; home: {compared.home.split} split, n = {compared.home.n:,}"
    table = Table(title=title, title_justify="left")
    columns = ("among", "accuracy", "there", "95 % interval", "home", "drop", "95 % interval")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position < 2 else "right")
    for way, among in (("open", "all"), ("closed", "mapped")):
        for metric, there in getattr(compared, way).items():
            kind = "balanced" if metric == "balanced_accuracy" else "plain"
            row = [among, kind, percent(there.value), percent_interval(there)]
            if compared.home and compared.drop:
                home = getattr(compared.home, way)[metric]
                drop = getattr(compared.drop, way)[metric]
                row += [percent(home.value), percent(drop.value), percent_interval(drop)]
            table.add_row(*row)
    pairs = (f"{theirs} = {home}" for theirs, home in compared.classes.items())
    lines = [f"classes: {', '.join(pairs)}; stain: {compared.stain}"]
    if compared.left_out:
        named = (f"{name} ({count:,})" for name, count in compared.left_out.items())
        lines.append(f"left out: {', '.join(named)}")
    return Group(table, *lines, *([compared.why] if compared.why else []))


def corruptions(result: "CorruptionEvaluation") -> Group:
    """Returns the cautions, and the balanced accuracy under each corruption and severity."""
    clean = result.clean["balanced_accuracy"]
    title = (
        f"balanced accuracy in %, {result.split} split, checkpoint {result.checkpoint}, "
        f"n = {result.n:,}\nclean: {percent(clean.value)} ({percent_interval(clean)})"
    )
    table = Table(title=title, title_justify="left")
    for column in ("corruption", *map(str, result.severities), "mean", "95 % interval"):
        table.add_column(column, justify="left" if column == "corruption" else "right")
    for row in result.corruptions:
        each = (_short(metrics["balanced_accuracy"]) for metrics in row.severities)
        mean = row.mean["balanced_accuracy"]
        table.add_row(row.name, *each, _short(mean), percent_interval(mean))
    table.add_section()
    mean = result.mean["balanced_accuracy"]
    table.add_row("all", *[""] * len(result.severities), _short(mean), percent_interval(mean))
    return Group(*cautions(result.cautions), table)


def _confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Table:
    """Returns the confusion matrix: a row for each true class, a column for each predicted."""
    # Columns are numbered as the rows are: eight names side by side do not fit a terminal.
    table = Table(title="confusion matrix: rows true, columns predicted", title_justify="left")
    table.add_column("", no_wrap=True)
    for position in range(1, len(classes) + 1):
        table.add_column(str(position), justify="right", no_wrap=True)
    for position, (name, row) in enumerate(zip(classes, matrix, strict=True), start=1):
        table.add_row(f"{position} {name}", *(str(count) if count else "." for count in row))
    return table


def counts(by_split: Mapping[str, Sequence[int]], classes: Sequence[str]) -> Table:
    """Returns how many pictures of each class each split holds."""
    table = Table()
    table.add_column("class")
    for split in by_split:
        table.add_column(split, justify="right")
    for label, name in enumerate(classes):
        table.add_row(name, *(f"{each[label]:,}" for each in by_split.values()))
    table.add_row("all", *(f"{sum(each):,}" for each in by_split.values()))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _short(metric: "Estimate") -> str:
    return percent(metric.value).removesuffix(" %")


def _interval(metric: "Estimate | MeanOverRuns | None") -> str:
    if metric is None or metric.low is None or metric.high is None:
        return "-"
    return f"{metric.low:.4f} - {metric.high:.4f}"
