"""Results as tables for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table


def evaluation(result: dict[str, Any]) -> Group:
    """Returns an evaluation as three tables: headline, per class, confusion matrix."""
    where = f"{result['split']} split, checkpoint {result['checkpoint']}, n = {result['n']:,}"
    headline = Table(title=where, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n"):
        headline.add_column(column, justify="left" if column == "metric" else "right")
    for name, figure in result["metrics"].items():
        headline.add_row(name, _number(figure["value"]), _interval(figure), f"{figure['n']:,}")

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
    table = Table(title="true \\ predicted", title_justify="left")
    table.add_column("")
    for name in classes:
        table.add_column(name[:8], justify="right", no_wrap=True)
    for name, row in zip(classes, matrix, strict=True):
        table.add_row(name, *(str(count) if count else "." for count in row))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(figure: dict[str, Any]) -> str:
    if figure.get("low") is None:
        return "-"
    return f"{figure['low']:.4f} - {figure['high']:.4f}"
