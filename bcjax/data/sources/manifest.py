"""A CSV file that lists pictures, or cells boxed in them, and their labels."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bcjax.data.boxes import BOX_SIDES, Box, box_reader, parse_box
from bcjax.data.decode import MAX_PIXELS, read_file
from bcjax.data.records import (
    Record,
    Source,
    label_by_name,
    normal_form,
    split_from_name,
)
from bcjax.data.sources import tables
from bcjax.data.sources.tables import Table, TableRow
from bcjax.data.sources.walk import visible
from bcjax.runtime import files
from bcjax.runtime.errors import UserError


class _Listed(NamedTuple):
    """A picture, or a boxed cell, that a manifest lists and that is there."""

    path: Path
    row: TableRow
    split: str
    box: Box | None


def find_manifest(folder: Path) -> Path | None:
    """Returns the CSV file in `folder` that has a column of files and one of labels, if any.

    Raises:
      UserError: If there are several.
    """
    manifests = [path for path in _csv_files(folder) if not tables.read(path).lacks]
    if len(manifests) > 1:
        raise UserError(
            f"{folder} holds several manifests ({', '.join(path.name for path in manifests)}): "
            f"name one of them, for example {manifests[0]}"
        )
    return manifests[0] if manifests else None


def passed_over(folder: Path) -> tuple[str, ...]:
    """Returns why each table in `folder` that could list pictures does not: a sentence for each."""
    notes = []
    for path in _csv_files(folder):
        if lacks := tables.read(path).lacks:
            notes.append(f"{path.name} was passed over: it has {lacks}.")
    for path in visible(folder):
        if path.suffix.lower() in tables.WORKBOOKS:
            notes.append(f"{path.name} was passed over: {tables.SAVE_WORKBOOK}.")
    return tuple(notes)


def _csv_files(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.suffix.lower() == ".csv" and path.is_file()]


def read(
    manifest: Path, classes: Sequence[str] = (), boxes: str = "", max_pixels: int = MAX_PIXELS
) -> Source:
    """Reads a CSV file with a header; columns are found by name, in any case (`tables.COLUMNS`).

    File names are relative to the folder of the CSV file, or absolute, and may not lead out of it;
    they are found in whatever Unicode form. A row without a label (`tables.MISSING`), or whose
    label lists several with commas, semicolons or bars between them, becomes one of the source's
    `unlabelled`.

    Args:
      manifest: The CSV file.
      classes: Class names; each is one class even if it contains a comma, or is "nan" or "-1".
      boxes: "crop": each row is the cell in the box xmin, ymin, xmax, ymax (pixels) of its picture,
        and the cells of a picture are a group unless another is given; a picture may have several
        rows. "": each row is a whole picture.
      max_pixels: The most pixels of a picture that cells are cut out of.

    Raises:
      UserError: If a column, a picture or a box is missing, a row has an unknown split or a file
        name that leads out of the folder, or a picture is listed twice.
    """
    table = tables.read(manifest)
    if table.lacks:
        raise UserError(f"{manifest} has {table.lacks}: name one of its columns so")
    if boxes and not set(BOX_SIDES) <= table.known:
        raise UserError(
            f"{manifest} has no columns {', '.join(BOX_SIDES)}: add them, or leave out data.boxes"
        )
    listed = _listed_pictures(manifest, table, boxed=bool(boxes))
    labels = {id_: each.row.cells["label"] for id_, each in listed.items()}
    unlabelled = _unlabelled(labels, (*classes, *table.one_hot))
    named = []
    read_from: dict[Path, None] = {}  # once each: several cells may be cut out of one file
    for id_ in sorted(listed):
        path, row, split, box = listed[id_]
        group = row.cells["group"] or (id_.rpartition("#")[0] if box else "")
        if id_ not in unlabelled:
            read_from[path] = None
            encoded: Callable[[], bytes] = partial(read_file, path)
            if box:
                encoded = box_reader(encoded, box, max_pixels=max_pixels)
            named.append((labels[id_], Record(id_, -1, encoded, group, split, row.columns)))
    names, records = label_by_name(named)
    return Source(
        kind="manifest of boxed cells" if boxes else "manifest",
        location=str(manifest),
        classes=names,
        records=records,
        notes=table.notes,
        unlabelled=sorted(unlabelled.items()),
        files=list(read_from),
    )


def _listed_pictures(manifest: Path, table: Table, *, boxed: bool) -> dict[str, _Listed]:
    """Returns what the rows list, by id: pictures, or the boxed cells in them."""
    folder = _Folder(manifest.parent)
    listed: dict[str, _Listed] = {}
    missing, cells_in = [], Counter[str]()
    for row in table.rows:
        where, cells = f"{manifest}, line {row.line}", row.cells
        picture, path = folder.find(cells["filename"], where)
        id_ = picture
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
            files.check_regular(path)
        except (FileNotFoundError, NotADirectoryError):
            missing.append(f"{picture} (line {row.line})")
            continue
        except files.NotAFileError as error:
            raise UserError(f"{where}: {picture} is not a file: name a picture") from error
        listed[id_] = _Listed(path, row, split, _box(row, where) if boxed else None)
    if missing:
        raise UserError(
            f"of the pictures that {manifest} lists, {len(missing)} cannot be found in "
            f"{folder.root} ({', '.join(missing[:3])}{', ...' * (len(missing) > 3)}): "
            f"{' '.join((*table.notes, 'names are relative to the folder of the CSV file'))}"
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
    missing = {label for label in labels.values() if tables.is_missing(label)} - {*classes}
    reasons = dict.fromkeys(missing, "names no class")
    reasons |= {
        label: f"names {label!r}, no class unless data.classes lists it" for label in missing - {""}
    }
    reasons |= {label: f"names several: {label}" for label in several}
    return {id_: reasons[label] for id_, label in labels.items() if label in reasons}


def _box(row: TableRow, where: str) -> Box:
    try:
        return parse_box([row.cells[side] for side in BOX_SIDES])
    except ValueError as error:
        raise UserError(f"{where}: {error}: correct it or remove the row") from error


class _Folder:
    """Finds the files of a folder by the names that a table gives them.

    Attributes:
      root: The folder, links followed.
    """

    def __init__(self, folder: Path):
        self.root = Path(os.path.realpath(folder))
        self._as_named = PurePosixPath(os.path.abspath(folder))
        self._spellings: dict[Path, dict[str, str]] = {}

    def find(self, name: str, where: str) -> tuple[str, Path]:
        """Returns a picture's id, which is its path in the folder, and its file, links followed.

        Args:
          name: What the table says.
          where: The row, for messages.

        Raises:
          UserError: If that is no name, or leads out of the folder.
        """
        if not name:
            raise UserError(f"{where}: the file name is empty: fill it in or remove the row")
        inside = PurePosixPath(os.path.normpath(name))
        for root in (self._as_named, PurePosixPath(self.root)):
            if inside.is_absolute() and inside.is_relative_to(root):
                inside = inside.relative_to(root)
        if inside.is_absolute() or ".." in inside.parts:
            raise UserError(
                f"{where}: {name!r} leads out of {self.root}: name files relative to the CSV "
                "file's folder"
            )
        try:
            if not os.path.lexists(self.root / inside):
                inside = self._as_spelled(inside)
            path = Path(os.path.realpath(self.root / inside))
        except ValueError as error:  # a NUL byte
            raise UserError(f"{where}: {name!r} is not a file name: correct it") from error
        if not path.is_relative_to(self.root):
            raise UserError(
                f"{where}: {name!r} is a link that leads out of {self.root}: "
                "put the picture itself into the folder"
            )
        return inside.as_posix(), path

    def _as_spelled(self, inside: PurePosixPath) -> PurePosixPath:
        """Returns a path in the Unicode form of the folders and the file that are there."""
        found = self.root
        for part in inside.parts:
            if not os.path.lexists(found / part):
                if found not in self._spellings:
                    names = os.listdir(found) if found.is_dir() else []
                    self._spellings[found] = {normal_form(name): name for name in names}
                part = self._spellings[found].get(normal_form(part), part)
            found /= part
        return PurePosixPath(found.relative_to(self.root))
