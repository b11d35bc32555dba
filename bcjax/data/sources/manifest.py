"""A CSV file that lists pictures, or cells boxed in them, and their labels."""

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from bcjax.data import splits
from bcjax.data.boxes import SIDES, Box, cropped, parsed
from bcjax.data.records import Record, Source
from bcjax.data.sources import table
from bcjax.data.sources.classes import natural_order
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.runtime.errors import UserError


def find(folder: Path) -> Path | None:
    """The manifest at the top of `folder`: the CSV file with a column of files and one of labels.

    Raises:
      UserError: There are several.
    """
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".csv"
        and path.is_file()
        and {"filename", "label"} <= table.keys(path)
    ]
    if len(found) > 1:
        raise UserError(
            f"{folder} holds several manifests ({', '.join(path.name for path in found)}): "
            f"name one of them, for example {found[0]}"
        )
    return found[0] if found else None


def read(manifest: Path, classes: Sequence[str] = (), *, boxes: str = "") -> Source:
    """Reads a CSV file with a header; columns are found by name, in any case (`table.COLUMNS`).

    File names are relative to the folder of the CSV file and may not lead out of it. Commas,
    semicolons and tabs are understood as separators. A row without a label, or whose label lists
    several with commas, semicolons or bars between them, is told in the source's `unlabelled`.

    Args:
      manifest: The file.
      classes: Class names, which are one each even with a comma in them.
      boxes: "crop": each row is the cell in the box xmin, ymin, xmax, ymax (pixels) of its picture,
        and the cells of a picture are a group unless another is given; a picture may have several
        rows. "": each row is a whole picture.

    Raises:
      UserError: A column, a picture or a box is missing, a row has an unknown split or a file name
        that leads out of the folder, a picture is listed twice, or the text is not UTF-8.
    """
    if boxes and not set(SIDES) <= table.keys(manifest):
        raise UserError(
            f"{manifest} has no columns {', '.join(SIDES)}: add them, or leave out data.boxes"
        )
    root = Path(os.path.realpath(manifest.parent))
    found: dict[str, tuple[Path, table.Row, str, os.stat_result, Box | None]] = {}
    missing, boxed = [], Counter[str]()
    for row in table.rows(manifest):
        where, cells = f"{manifest}, line {row.line}", row.cells
        path = _inside(root, cells["filename"], where)
        picture = id_ = PurePosixPath(cells["filename"]).as_posix()
        split = splits.named(cells["split"]) if cells["split"] else ""
        if split is None:
            raise UserError(
                f"{where}: split {cells['split']!r} is unknown: write train, val or test, or "
                "nothing"
            )
        if boxes:
            id_ = f"{picture}#{boxed[picture]}"
            boxed[picture] += 1
        if id_ in found:
            raise UserError(f"{where}: {id_} was listed before: remove one of the two rows")
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(f"{picture} (line {row.line})")
            continue
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{where}: {picture} is not a file: name a picture")
        found[id_] = (path, row, split, status, _box(row, where) if boxes else None)
    if missing:
        raise UserError(
            f"of the pictures that {manifest} lists, {len(missing)} cannot be found in {root} "
            f"({', '.join(missing[:3])}{', ...' * (len(missing) > 3)}): "
            "names are relative to the folder of the CSV file"
        )
    if not found:
        raise UserError(f"{manifest} lists no picture: add a row for each")

    labels = {id_: row.cells["label"] for id_, (_, row, *_) in found.items()}
    unlabelled = _unlabelled(labels, classes)
    names = natural_order(label for id_, label in labels.items() if id_ not in unlabelled)
    label_of = {name: label for label, name in enumerate(names)}
    records, identity = [], []
    for id_, (path, row, split, status, box) in sorted(found.items()):
        group = row.cells["group"] or (id_.rpartition("#")[0] if box else "")
        identity.append(
            (id_, labels[id_], group, split, status.st_size, status.st_mtime_ns,
             sorted(row.columns.items()))
        )  # fmt: skip
        if id_ not in unlabelled:
            read_ = cropped(path.read_bytes, box) if box else path.read_bytes
            records.append(Record(id_, label_of[labels[id_]], read_, group, split, row.columns))
    return Source(
        kind="manifest of boxed cells" if boxes else "manifest",
        location=str(manifest),
        classes=names,
        records=records,
        fingerprint=fingerprint(identity),
        unlabelled=sorted(unlabelled.items()),
    )


def _unlabelled(labels: dict[str, str], classes: Collection[str]) -> dict[str, str]:
    """Why a row has no one label. A comma may be part of a name: it lists what others name."""
    parts = {label: re.split(r"\s*[,;|]\s*", label) for label in labels.values() if label}
    single = {*classes, *(label for label, each in parts.items() if len(each) == 1)}
    several = {label for label, each in parts.items() if label not in single and single & {*each}}
    return {
        id_: f"names several: {label}" if label else "names no class"
        for id_, label in labels.items()
        if not label or label in several
    }


def _box(row: table.Row, where: str) -> Box:
    try:
        return parsed([row.cells[side] for side in SIDES])
    except ValueError as error:
        raise UserError(f"{where}: {error}: correct it or remove the row") from error


def _inside(root: Path, name: str, where: str) -> Path:
    """The file that `name` means, links followed, if it lies in the folder `root`."""
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
