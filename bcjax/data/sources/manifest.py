"""A CSV file that lists pictures, or cells boxed in them, and their labels."""

import csv
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bcjax.data.decode import BOX_SIDES, Box, box_reader, parse_box, read_file
from bcjax.data.records import Record, Source, fingerprint, natural_order, split_from_name
from bcjax.runtime.errors import UserError

# The names of a column. Where a file has several of them, the first counts: a patient has several
# slides.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "filename": ("filename", "file", "path", "image"),
    "label": ("label", "class", "category"),
    "split": ("split",),
    "group": ("group", "patient", "slide"),
    **{side: (side,) for side in BOX_SIDES},
}


class TableRow(NamedTuple):
    """One row of a table.

    Attributes:
      line: Line of the row in the file; the header is line 1.
      cells: The cells by the keys of `COLUMNS`; "" for a column that the table lacks.
      columns: The cells of all columns but the file's name and its label, by the header's names.
    """

    line: int
    cells: Mapping[str, str]
    columns: Mapping[str, str]


class _Listed(NamedTuple):
    """A picture, or a boxed cell, that a manifest lists and that is there."""

    path: Path
    row: TableRow
    split: str
    status: os.stat_result
    box: Box | None


def find_manifest(folder: Path) -> Path | None:
    """Returns the CSV file in `folder` that has a column of files and one of labels, if any.

    Raises:
      UserError: If there are several.
    """
    manifests = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".csv"
        and path.is_file()
        and {"filename", "label"} <= known_columns(path)
    ]
    if len(manifests) > 1:
        raise UserError(
            f"{folder} holds several manifests ({', '.join(path.name for path in manifests)}): "
            f"name one of them, for example {manifests[0]}"
        )
    return manifests[0] if manifests else None


def read(manifest: Path, classes: Sequence[str] = (), *, boxes: str = "") -> Source:
    """Reads a CSV file with a header; columns are found by name, in any case (`COLUMNS`).

    File names are relative to the folder of the CSV file and may not lead out of it. Commas,
    semicolons and tabs are understood as separators. A row without a label, or whose label lists
    several with commas, semicolons or bars between them, becomes one of the source's `unlabelled`.

    Args:
      manifest: The CSV file.
      classes: Class names; each is one class even if it contains a comma.
      boxes: "crop": each row is the cell in the box xmin, ymin, xmax, ymax (pixels) of its picture,
        and the cells of a picture are a group unless another is given; a picture may have several
        rows. "": each row is a whole picture.

    Raises:
      UserError: If a column, a picture or a box is missing, a row has an unknown split or a file
        name that leads out of the folder, a picture is listed twice, or the text is not UTF-8.
    """
    if boxes and not set(BOX_SIDES) <= known_columns(manifest):
        raise UserError(
            f"{manifest} has no columns {', '.join(BOX_SIDES)}: add them, or leave out data.boxes"
        )
    listed = _listed_pictures(manifest, boxed=bool(boxes))
    labels = {id_: each.row.cells["label"] for id_, each in listed.items()}
    unlabelled = _unlabelled(labels, classes)
    names = natural_order(label for id_, label in labels.items() if id_ not in unlabelled)
    label_of = {name: label for label, name in enumerate(names)}
    records, identity = [], []
    for id_ in sorted(listed):
        path, row, split, status, box = listed[id_]
        group = row.cells["group"] or (id_.rpartition("#")[0] if box else "")
        identity.append(
            (id_, labels[id_], group, split, status.st_size, status.st_mtime_ns,
             sorted(row.columns.items()))
        )  # fmt: skip
        if id_ not in unlabelled:
            encoded: Callable[[], bytes] = partial(read_file, path)
            if box:
                encoded = box_reader(encoded, box)
            records.append(Record(id_, label_of[labels[id_]], encoded, group, split, row.columns))
    return Source(
        kind="manifest of boxed cells" if boxes else "manifest",
        location=str(manifest),
        classes=names,
        records=records,
        fingerprint=fingerprint(identity),
        unlabelled=sorted(unlabelled.items()),
    )


def _listed_pictures(manifest: Path, *, boxed: bool) -> dict[str, _Listed]:
    """Returns what the rows list, by id: pictures, or the boxed cells in them."""
    root = Path(os.path.realpath(manifest.parent))
    listed: dict[str, _Listed] = {}
    missing, cells_in = [], Counter[str]()
    for row in rows(manifest):
        where, cells = f"{manifest}, line {row.line}", row.cells
        path = _path_inside(root, cells["filename"], where)
        picture = id_ = PurePosixPath(cells["filename"]).as_posix()
        split = split_from_name(cells["split"]) if cells["split"] else ""
        if split is None:
            raise UserError(
                f"{where}: split {cells['split']!r} is unknown: write train, val or test, or "
                "nothing"
            )
        if boxed:
            id_ = f"{picture}#{cells_in[picture]}"
            cells_in[picture] += 1
        if id_ in listed:
            raise UserError(f"{where}: {id_} was listed before: remove one of the two rows")
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(f"{picture} (line {row.line})")
            continue
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{where}: {picture} is not a file: name a picture")
        listed[id_] = _Listed(path, row, split, status, _box(row, where) if boxed else None)
    if missing:
        raise UserError(
            f"of the pictures that {manifest} lists, {len(missing)} cannot be found in {root} "
            f"({', '.join(missing[:3])}{', ...' * (len(missing) > 3)}): "
            "names are relative to the folder of the CSV file"
        )
    if not listed:
        raise UserError(f"{manifest} lists no picture: add a row for each")
    return listed


def _unlabelled(labels: dict[str, str], classes: Collection[str]) -> dict[str, str]:
    """Returns why a picture has not exactly one label, by id.

    A comma may be part of a class name: it separates labels only if other rows use those labels.
    """
    parts = {label: re.split(r"\s*[,;|]\s*", label) for label in labels.values() if label}
    single = {*classes, *(label for label, each in parts.items() if len(each) == 1)}
    several = {label for label, each in parts.items() if label not in single and single & {*each}}
    return {
        id_: f"names several: {label}" if label else "names no class"
        for id_, label in labels.items()
        if not label or label in several
    }


def _box(row: TableRow, where: str) -> Box:
    try:
        return parse_box([row.cells[side] for side in BOX_SIDES])
    except ValueError as error:
        raise UserError(f"{where}: {error}: correct it or remove the row") from error


def _path_inside(root: Path, name: str, where: str) -> Path:
    """Returns the file called `name`, links followed, which must lie in the folder `root`."""
    relative = PurePosixPath(name)
    if not name:
        raise UserError(f"{where}: the file name is empty: fill it in or remove the row")
    if relative.is_absolute() or ".." in relative.parts:
        raise UserError(
            f"{where}: {name!r} leads out of {root}: name files relative to the CSV file's folder"
        )
    try:
        path = Path(os.path.realpath(root / relative))
    except ValueError as error:  # a NUL byte
        raise UserError(f"{where}: {name!r} is not a file name: correct it") from error
    if not path.is_relative_to(root):
        raise UserError(
            f"{where}: {name!r} is a link that leads out of {root}: "
            "put the picture itself into the folder"
        )
    return path


def known_columns(table: Path) -> set[str]:
    """Returns the keys of `COLUMNS` that the table has a column for."""
    return set(_columns(_header(table)[0]))


def rows(table: Path) -> Iterator[TableRow]:
    """Yields the rows that are not empty.

    Raises:
      UserError: If there is no column of files or of labels, or the text is not CSV in UTF-8.
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
                    columns_ = {name: line[i] for name, i in others.items()}
                    yield TableRow(reader.line_num, cells, columns_)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"{table} cannot be read after line {reader.line_num} ({error}): "
                "save it as a CSV file in UTF-8"
            ) from error


def _header(table: Path) -> tuple[list[str], str]:
    """Returns the cells of the first line, and the separator."""
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        line = file.readline()
    delimiter = max(",;\t", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))], delimiter


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Returns the position of each key of `COLUMNS` that the header has."""
    names = [name.lower() for name in header]
    return {
        key: names.index(next(name for name in known if name in names))
        for key, known in COLUMNS.items()
        if set(known) & set(names)
    }
