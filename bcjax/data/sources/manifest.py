"""A CSV file that lists pictures and their labels."""

import csv
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bcjax.data import splits
from bcjax.data.records import Record, Source
from bcjax.data.sources.classes import natural_order
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.errors import UserError

# Where a file has several of these, the first counts: a patient has several slides.
COLUMNS = {
    "filename": ("filename", "file", "path", "image"),
    "label": ("label", "class", "category"),
    "split": ("split",),
    "group": ("group", "patient", "slide"),
}


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
        and {"filename", "label"} <= _columns(_header(path)[0]).keys()
    ]
    if len(found) > 1:
        raise UserError(
            f"{folder} holds several manifests ({', '.join(path.name for path in found)}): "
            f"name one of them, for example {found[0]}"
        )
    return found[0] if found else None


def read(manifest: Path) -> Source:
    """Reads a CSV file with a header; columns are found by name, in any case (see `COLUMNS`).

    File names are relative to the folder of the CSV file and may not lead out of it. Commas,
    semicolons and tabs are understood as separators.

    Raises:
      UserError: A column or a picture is missing, a row has no label, an unknown split or a file
        name that leads out of the folder, a picture is listed twice, or the text is not UTF-8.
    """
    root = Path(os.path.realpath(manifest.parent))
    rows, missing = {}, []
    for line, row in _rows(manifest):
        where = f"{manifest}, line {line}"
        path = _inside(root, row["filename"], where)
        id_ = PurePosixPath(row["filename"]).as_posix()
        split = splits.named(row["split"]) if row["split"] else ""
        if split is None:
            raise UserError(
                f"{where}: split {row['split']!r} is unknown: write train, val or test, or nothing"
            )
        if not row["label"]:
            raise UserError(f"{where}: {id_} has no label: give it one or remove the row")
        if id_ in rows:
            raise UserError(f"{where}: {id_} was listed before: remove one of the two rows")
        try:
            status = path.stat()
        except (OSError, ValueError):
            missing.append(f"{id_} (line {line})")
            continue
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{where}: {id_} is not a file: name a picture")
        rows[id_] = (path, row, split, status)
    if missing:
        raise UserError(
            f"of the pictures that {manifest} lists, {len(missing)} cannot be found in {root} "
            f"({', '.join(missing[:3])}{', ...' * (len(missing) > 3)}): "
            "names are relative to the folder of the CSV file"
        )
    if not rows:
        raise UserError(f"{manifest} lists no picture: add a row for each")

    classes = natural_order(row["label"] for _, row, _, _ in rows.values())
    label_of = {name: label for label, name in enumerate(classes)}
    records, identity = [], []
    for id_, (path, row, split, status) in sorted(rows.items()):
        label, group = label_of[row["label"]], row["group"]
        records.append(Record(id_, label, path.read_bytes, group, split))
        identity.append((id_, row["label"], group, split, status.st_size, status.st_mtime_ns))
    return Source("manifest", str(manifest), classes, records, fingerprint(identity))


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


def _rows(manifest: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line numbers and rows, by the keys of `COLUMNS`; what a row lacks is ""."""
    header, delimiter = _header(manifest)
    columns = _columns(header)
    for needed in ("filename", "label"):
        if needed not in columns:
            raise UserError(
                f"{manifest} has no column {' or '.join(COLUMNS[needed])} "
                f"(it has {', '.join(header) or 'none'}): name one of its columns so"
            )
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            next(reader)
            for cells in reader:
                if any(cells):
                    cells += [""] * (len(header) - len(cells))
                    row = {
                        key: cells[columns[key]].strip() if key in columns else ""
                        for key in COLUMNS
                    }
                    row["filename"] = row["filename"].replace("\\", "/")  # written on Windows
                    yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"{manifest} cannot be read after line {reader.line_num} ({error}): "
                "save it as a CSV file in UTF-8"
            ) from error


def _header(manifest: Path) -> tuple[list[str], str]:
    """The cells of the first line, and what separates them."""
    with manifest.open(newline="", encoding="utf-8-sig", errors="replace") as file:
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
