"""Predictions as rows of a file: CSV, JSON Lines and Parquet, written part by part."""

import abc
import csv
import io
import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import parquet

from bcjax.evaluation.predictions import Predictions, Unreadable
from bcjax.runtime.errors import UserError

_ROW_GROUP = 8192  # rows of a Parquet file that are held in memory at a time


def _columns(predictions: Predictions) -> dict[str, list[Any]]:
    """Returns the columns between the label and the probabilities: those that there are.

    Whole columns, because an object for each picture would take longer than all else here.
    """
    found: dict[str, list[Any]] = {}
    count = len(predictions)
    if predictions.sets is not None:
        classes = predictions.classes
        found["set"] = [list(itertools.compress(classes, row)) for row in predictions.sets.tolist()]
        names = ["uncertain", "outlier", "distance", "energy"]
    else:
        names = []
    if predictions.entropy is not None:
        names += ["entropy", "mutual_information"]
    for name in names:
        values = getattr(predictions, name)
        found[name] = [None] * count if values is None else values.tolist()
    if predictions.prevalence:
        stated = predictions.prevalence.stated.items()
        found["prevalence"] = [";".join(f"{name}={share:g}" for name, share in stated)] * count
    return found


def csv_rows(predictions: Predictions) -> Iterator[Sequence[Any]]:
    """Yields the cells of a row for each picture, below `csv_header`."""
    columns = _columns(predictions)
    if "set" in columns:
        columns["set"] = [";".join(names) for names in columns["set"]]
    probabilities = predictions.probabilities.T.tolist()
    texts = ([f"{value:.6f}" for value in column] for column in probabilities)
    return zip(predictions.names, predictions.labels, *columns.values(), *texts, strict=True)


def csv_header(predictions: Predictions) -> list[str]:
    """Returns the names of the columns of a CSV file."""
    return ["filename", "label", *_columns(predictions), *predictions.classes]


class Format(abc.ABC):
    """How predictions are written.

    Attributes:
      suffix: The ending of the files' names.
    """

    suffix: ClassVar[str]

    @abc.abstractmethod
    def write(self, predictions: Predictions, path: Path, *, first: bool) -> None:
        """Writes a part.

        Args:
          predictions: What it holds.
          path: The file.
          first: Whether it is the first part of the whole.
        """

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Writes the parts as one file."""
        with path.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole)


class Csv(Format):
    """A row for each picture, below a header: the table that `bcjax predict --csv` prints."""

    suffix = ".csv"

    def write(self, predictions: Predictions, path: Path, *, first: bool) -> None:
        _write_csv(path, csv_header(predictions) if first else None, csv_rows(predictions))


class JsonLines(Format):
    """An object on a line for each picture: those that `bcjax predict --json` prints."""

    suffix = ".jsonl"

    def write(self, predictions: Predictions, path: Path, *, first: bool) -> None:
        del first
        lines = (json.dumps(each.to_dict()) + "\n" for each in predictions)
        path.write_text("".join(lines), encoding="ascii")


class Parquet(Format):
    """The columns of the CSV file, typed: probabilities as float64, sets as lists."""

    suffix = ".parquet"

    def write(self, predictions: Predictions, path: Path, *, first: bool) -> None:
        del first
        parquet.write_table(_table(predictions), path)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        schema = parquet.read_schema(parts[0])
        with parquet.ParquetWriter(path, schema) as writer:
            for table in _row_groups(parts):
                writer.write_table(table, row_group_size=_ROW_GROUP)


FORMATS: dict[str, Format] = {each.suffix: each for each in (Parquet(), Csv(), JsonLines())}


def of(path: Path) -> Format:
    """Returns the format of a file by its ending.

    Raises:
      UserError: If no format has it.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(f"--out={path} must end in {' or '.join(FORMATS)}, which say the format.")
    return found


def write_unreadable(unreadable: Sequence[Unreadable], path: Path) -> None:
    """Writes a part of the list of pictures that cannot be read."""
    _write_csv(path, None, ([each.name, each.reason] for each in unreadable))


def join_unreadable(parts: Sequence[Path], path: Path) -> int:
    """Writes the parts as one CSV file with a header; returns how many pictures it lists."""
    count = 0
    with path.open("wb") as whole:
        whole.write(b"filename,reason\n")
        for part in parts:
            with part.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                count += sum(1 for _ in csv.reader(file))
            whole.write(part.read_bytes())
    return count


def _write_csv(path: Path, head: list[str] | None, rows: Iterator[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if head:
        writer.writerow(head)
    writer.writerows(rows)
    # A name that is not UTF-8 is written as the file system has it.
    path.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


_KINDS = {
    "set": pa.list_(pa.string()),
    "uncertain": pa.bool_(),
    "outlier": pa.bool_(),
    "prevalence": pa.string(),
}  # all others are numbers


def _table(predictions: Predictions) -> pa.Table:
    """Returns predictions as a table whose types do not depend on what is in it."""
    names = [name.encode("utf-8", "backslashreplace").decode() for name in predictions.names]
    found = {"filename": pa.array(names, pa.string())}
    found["label"] = pa.array(predictions.labels, pa.string())
    for name, values in _columns(predictions).items():
        found[name] = pa.array(values, _KINDS.get(name, pa.float64()))
    probabilities = [pa.array(column, pa.float64()) for column in predictions.probabilities.T]
    # Not as a mapping: a class may be called like one of the columns before.
    return pa.table([*found.values(), *probabilities], [*found, *predictions.classes])


def _row_groups(parts: Sequence[Path]) -> Iterator[pa.Table]:
    """Yields the rows of parts, so many at a time whatever the parts are."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(parquet.ParquetFile(part).read())
        while sum(map(len, held)) >= _ROW_GROUP:
            together = pa.concat_tables(held)
            yield together.slice(0, _ROW_GROUP)
            held = [together.slice(_ROW_GROUP)]
    if any(map(len, held)):
        yield pa.concat_tables(held)
