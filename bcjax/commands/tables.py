"""Results as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

_MANY = 40  # classes that no longer fit a terminal


def evaluation(result: dict[str, Any]) -> Group:
    """Returns an evaluation as three tables: headline, per class, confusion matrix.

    Of many classes the headline alone.
    """
    where = f"{result['split']} split, checkpoint {result['checkpoint']}, n = {result['n']:,}"
    headline = Table(title=where, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n"):
        headline.add_column(column, justify="left" if column == "metric" else "right")
    for name, figure in result["metrics"].items():
        headline.add_row(name, _number(figure["value"]), _interval(figure), f"{figure['n']:,}")

    if len(result["classes"]) > _MANY:
        return Group(headline, f"{len(result['classes']):,} classes: each one is in the file.")
    classes = Table(title_justify="left")
    for column in ("class", "n", "precision", "recall", "95 % interval", "F1"):
        classes.add_column(column, justify="left" if column == "class" else "right")
    for row in result["per_class"]:
        recall = row["recall"] or {"value": None}
        classes.add_row(
            row["name"],
            f"{row['n']:,}",
            _number(row["precision"]),
            _number(recall["value"]),
            _interval(recall),
            _number(row["f1"]),
        )
    return Group(headline, classes, confusion(result["confusion_matrix"], result["classes"]))


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
