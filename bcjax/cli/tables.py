"""Results as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

_MANY = 40  # classes that no longer fit a terminal
_BEGINS = ("log_loss", "macro_auc", "aurc")  # probabilities, ranking, abstention
_ALONE = ("accuracy", "macro_f1", "log_loss")


def evaluation(result: dict[str, Any]) -> Group:
    """Returns an evaluation as three tables: headline, per class, confusion matrix.

    Of many classes the headline alone.
    """
    where = f"{result['split']} split, {_answering(result)}, n = {result['n']:,}"
    headline = Table(title=where, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n"):
        headline.add_column(column, justify="left" if column == "metric" else "right")
    for name, figure in result["metrics"].items():
        if name in _BEGINS:
            headline.add_section()
        headline.add_row(name, _number(figure["value"]), _interval(figure), f"{figure['n']:,}")
    if any("group" in (figure["interval"] or "") for figure in result["metrics"].values()):
        headline.caption = f"95 % intervals: {result['groups']:,} groups, resampled as a whole"

    if len(result["classes"]) > _MANY:
        return Group(headline, f"{len(result['classes']):,} classes: each one is in the file.")
    classes = Table(title_justify="left")
    for column in ("class", "n", "precision", "recall", "95 % interval", "F1"):
        classes.add_column(column, justify="left" if column == "class" else "right")
    for row in result["per_class"]:
        precision, recall, f1 = (
            row[metric] or {"value": None} for metric in ("precision", "recall", "f1")
        )
        classes.add_row(
            row["name"],
            f"{row['n']:,}",
            _number(precision["value"]),
            _number(recall["value"]),
            _interval(recall),
            _number(f1["value"]),
        )
    return Group(headline, classes, confusion(result["confusion_matrix"], result["classes"]))


def _answering(result: dict[str, Any]) -> str:
    if "soup" in result:
        return f"{result['soup']['kind']} soup of {len(result['soup']['ingredients'])}"
    if "members" in result:
        together = "each its own fold" if result["held_out"] else "the mean of their probabilities"
        return f"{len(result['members']['each'])} members ({together})"
    if "ensemble" in result:
        return f"ensemble of {len(result['ensemble'])}"
    return f"checkpoint {result['checkpoint']}"


def averaged(result: dict[str, Any]) -> Table:
    """Returns what was averaged, each with the figures that it has alone."""
    table = Table(title="averaged, and each alone", title_justify="left")
    table.add_column("", overflow="fold")
    for name in _ALONE:
        table.add_column(name, justify="right")
    parts = [*result.get("ensemble", ()), *result.get("soup", {}).get("ingredients", ())]
    for part in parts:
        left_out = "" if part.get("kept", True) else ", left out"
        named = f"{part['workdir']}, checkpoint {part['checkpoint']}{left_out}"
        table.add_row(named, *(_number(part["metrics"].get(name)) for name in _ALONE))
    for part in result.get("views", ()):
        table.add_row(part["view"], *(_number(part["metrics"].get(name)) for name in _ALONE))
    return table


def members(spread: dict[str, Any]) -> Table:
    """Returns what each member of a run did alone: mean and deviation over them."""
    table = Table(title="each member alone", title_justify="left")
    for column in ("metric", "mean", "deviation", "95 % interval of the mean", "members"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, figure in spread["metrics"].items():
        row = (_number(figure["mean"]), _number(figure["deviation"]), _interval(figure))
        table.add_row(name, *row, str(figure["n"]))
    return table


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Table:
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


def _interval(figure: dict[str, Any]) -> str:
    if figure.get("low") is None:
        return "-"
    return f"{figure['low']:.4f} - {figure['high']:.4f}"
