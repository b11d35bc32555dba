"""The rows of a CSV file, whose columns are known by several names."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bcjax.data.boxes import SIDES
from bcjax.runtime.errors import UserError

# Where a file has several of these, the first counts: a patient has several slides.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "filename": ("filename", "file", "path", "image"),
    "label": ("label", "class", "category"),
    "split": ("split",),
    "group": ("group", "patient", "slide"),
    **{side: (side,) for side in SIDES},
}


class Row(NamedTuple):
    """One row of a table.

    Attributes:
      line: Where it is in the file; the header is line 1.
      cells: What it says, by the keys of `COLUMNS`; what it lacks is "".
      columns: All other columns than the file's name and its label, by their names.
    """

    line: int
    cells: Mapping[str, str]
    columns: Mapping[str, str]


def keys(table: Path) -> set[str]:
    """The keys of `COLUMNS` that the table has a column for."""
    return set(_columns(_header(table)[0]))


def rows(table: Path) -> Iterator[Row]:
    """Yields the rows that are not empty.

    Raises:
      UserError: There is no column of files or of labels, or the text is no CSV in UTF-8.
    """
    header, delimiter = _header(table)
    columns = _columns(header)
    for needed in ("filename", "label"):
        if needed not in columns:
            raise UserError(
                f"{table} has no column {' or '.join(COLUMNS[needed])} "
                f"(it has {', '.join(header) or 'none'}): name one of its columns so"
            )
    others = {
        name: i
        for i, name in enumerate(header)
        if name and i not in (columns["filename"], columns["label"])
    }
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            next(reader)
            for line in reader:
                if any(line):
                    line = [cell.strip() for cell in line] + [""] * (len(header) - len(line))
                    cells = {key: line[columns[key]] if key in columns else "" for key in COLUMNS}
                    cells["filename"] = cells["filename"].replace("\\", "/")  # written on Windows
                    yield Row(reader.line_num, cells, {name: line[others[name]] for name in others})
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"{table} cannot be read after line {reader.line_num} ({error}): "
                "save it as a CSV file in UTF-8"
            ) from error


def _header(table: Path) -> tuple[list[str], str]:
    """The cells of the first line, and what separates them."""
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        line = file.readline()
    delimiter = max(",;\t", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))], delimiter


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Where the keys of `COLUMNS` are in a row, as far as they are there."""
    names = [name.lower() for name in header]
    return {
        key: names.index(next(word for word in words if word in names))
        for key, words in COLUMNS.items()
        if set(words) & set(names)
    }
