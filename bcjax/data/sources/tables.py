"""A table of pictures and labels, as spreadsheets and notebooks write it: CSV in its many forms."""

import contextlib
import csv
import dataclasses
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bcjax.data.boxes import BOX_SIDES
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    import _csv

# The names of a column. Where a file has several of them, the first counts: a patient has several
# slides.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "filename": ("filename", "file", "path", "image"),
    "label": ("label", "class", "category"),
    "split": ("split",),
    "group": ("group", "patient", "slide"),
    **{side: (side,) for side in BOX_SIDES},
}
# What spreadsheets and pandas write where there is nothing, and where there is no label. A group
# may well be called -1.
_NO_VALUE = frozenset(("", "nan", "n/a", "#n/a", "<na>", "null"))
MISSING = _NO_VALUE | {"-1", "-1.0"}
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")
SAVE_WORKBOOK = "a workbook is not read, so save its table as a CSV file in UTF-8"

_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line
_NO, _YES = {"0", "0.0"}, {"1", "1.0"}  # in a column for one class


class TableRow(NamedTuple):
    """One row of a table.

    Attributes:
      line: Line of the row in the file, from 1.
      cells: The cells by the keys of `COLUMNS`; "" for a column that the table lacks.
      columns: The cells of all columns but the file's name and its label, by the header's names.
    """

    line: int
    cells: Mapping[str, str]
    columns: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Table:
    """What a table holds.

    Attributes:
      known: The keys of `COLUMNS` that it says something about.
      rows: The rows that are not empty.
      one_hot: The classes, if each has a column of 0 and 1; else ().
      notes: Sentences about its form that the user should see.
      lacks: Why it lists no labelled pictures, as the end of a sentence; "" if it does.
    """

    known: frozenset[str]
    rows: Sequence[TableRow]
    one_hot: tuple[str, ...]
    notes: tuple[str, ...]
    lacks: str


def read(path: Path) -> Table:
    """Reads a CSV file.

    Commas, semicolons and tabs are understood as separators, and Excel's first line `sep=;`; UTF-8,
    UTF-16 with its mark and Windows-1252 as encodings. Without a column of labels, two or more
    columns of 0 and 1 are taken for the classes.

    Raises:
      UserError: If it lists pictures and is not CSV throughout.
      OSError: If it is not a regular file, or cannot be read.
    """
    reader, above, notes = _open(path)
    header: list[str] = []
    lines: list[tuple[int, list[str]]] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        for line in reader:
            if any(line):
                cells_ = [cell.strip() for cell in line] + [""] * (len(header) - len(line))
                lines.append((reader.line_num + above, cells_))
    except csv.Error as error:
        if {"filename", "label"} <= _columns(header).keys():  # else it is some other file
            raise UserError(
                f"{path} cannot be read after line {reader.line_num + above} ({error}): "
                "save it as a CSV file in UTF-8"
            ) from error
    columns = _columns(header)
    one_hot = {} if "label" in columns else _one_hot(header, columns, [line for _, line in lines])
    if one_hot:
        notes += (
            f"{path.name} has no column of labels: its columns of 0 and 1, {', '.join(one_hot)}, "
            "are taken for the classes.",
        )
    known = frozenset((*columns, *(["label"] if one_hot else [])))
    missing = [" or ".join(COLUMNS[key]) for key in ("filename", "label") if key not in known]
    lacks = f"no column {' and no column '.join(missing)} (it has {', '.join(header) or 'none'})"
    own = {columns.get("filename"), columns.get("label"), *one_hot.values()}
    others = {name: i for i, name in enumerate(header) if name and i not in own}
    rows, without = [], 0
    for number, line in lines:
        cells = {key: line[columns[key]] if key in columns else "" for key in COLUMNS}
        cells["filename"] = cells["filename"].replace("\\", "/")  # written on Windows
        if one_hot:
            cells["label"] = ", ".join(name for name, i in one_hot.items() if line[i] in _YES)
        for key in ("group", "split"):
            if is_no_value(cells[key]):
                without += bool(cells[key])
                cells[key] = ""
        rows.append(TableRow(number, cells, {name: line[i] for name, i in others.items()}))
    if without:
        notes += (f"{path.name} says nan or the like for {without} groups or splits: for none.",)
    return Table(known, rows, tuple(one_hot), notes, lacks if missing else "")


def read_filenames(path: Path) -> Iterator[str]:
    """Yields the file names in a CSV file, one after the other; rows without one are passed over.

    Raises:
      UserError: If it has no column of them, or is not CSV throughout.
      OSError: As `read`.
    """
    reader, above, _ = _open(path)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        position = _columns(header).get("filename")
        if position is None:
            names = " or ".join(COLUMNS["filename"])
            raise UserError(
                f"{path} has no column {names} (it has {', '.join(header) or 'none'}): name the "
                "column of the pictures' paths so."
            )
        for line in reader:
            if name := "".join(line[position : position + 1]).strip():
                yield name.replace("\\", "/")  # written on Windows
    except csv.Error as error:
        raise UserError(
            f"{path} cannot be read after line {reader.line_num + above} ({error}): save it as a "
            "CSV file in UTF-8."
        ) from error


def is_no_value(cell: str) -> bool:
    """Returns whether a cell, of a group for example, is empty or says so in a word."""
    return cell.strip().lower() in _NO_VALUE


def is_missing(label: str) -> bool:
    """Returns whether a cell says that there is no label."""
    return label.strip().lower() in MISSING


def _open(path: Path) -> "tuple[_csv.Reader, int, tuple[str, ...]]":
    """Returns a reader of a file's lines, how many lines are above them, and notes on the file."""
    text, notes = _text(path)
    file = io.StringIO(text, newline="")
    first = file.readline()
    marked = _SEPARATOR.fullmatch(first)
    delimiter = marked[1] if marked else max(",;\t", key=first.count)
    if not marked:
        file.seek(0)
    return csv.reader(file, delimiter=delimiter, strict=True), 1 if marked else 0, notes


def _text(path: Path) -> tuple[str, tuple[str, ...]]:
    """Returns the text of a file, and notes on its encoding."""
    files.check_regular(path)
    encoded = path.read_bytes()
    with contextlib.suppress(UnicodeDecodeError):
        return encoded.decode("utf-16" if encoded.startswith(_MARKS) else "utf-8-sig"), ()
    note = f"{path.name} is not in UTF-8 and was read as Windows-1252: check the names in it."
    return encoded.decode("cp1252", errors="replace"), (note,)


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Returns the position of each key of `COLUMNS` that the header has."""
    names = [name.lower() for name in header]
    return {
        key: names.index(next(name for name in known if name in names))
        for key, known in COLUMNS.items()
        if set(known) & set(names)
    }


def _one_hot(
    header: Sequence[str], columns: Mapping[str, int], lines: Sequence[Sequence[str]]
) -> dict[str, int]:
    """Returns the position of each column of 0 and 1, by its name, if there are two and more."""
    found = {
        name: i
        for i, name in enumerate(header)
        if name
        and i not in columns.values()
        and lines
        and {line[i] for line in lines} <= _NO | _YES
    }
    return found if len(found) > 1 else {}
