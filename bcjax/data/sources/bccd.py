"""Raw BCCD ("dataset-master"): whole smears, a table of their white cells, boxes around cells."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence, Set
from functools import partial
from pathlib import Path

from bcjax.data.boxes import BOX_SIDES, Box, box_reader, parse_box
from bcjax.data.decode import MAX_PIXELS, read_file
from bcjax.data.records import Record, Source, fingerprint, label_by_name
from bcjax.data.sources import tables
from bcjax.data.sources.walk import has_picture_suffix, visible
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

TABLE = "labels.csv"
_LARGEST = 1 << 20  # bytes of an annotation; a smear with hundreds of cells takes a tenth of it


def is_bccd(folder: Path) -> bool:
    """Returns whether `folder` holds BCCD's pictures, and their labels or boxes."""
    return (folder / "JPEGImages").is_dir() and (
        (folder / "Annotations").is_dir() or is_bccd_table(folder / TABLE)
    )


def is_bccd_table(path: Path) -> bool:
    """Returns whether a file is BCCD's `labels.csv`, which has numbers in place of file names."""
    return (
        path.name == TABLE
        and path.is_file()
        and not (table := tables.read(path)).lacks
        and all(row.cells["filename"].isdigit() for row in table.rows)
    )


def read(folder: Path, boxes: str = "", max_pixels: int = MAX_PIXELS) -> Source:
    """Reads the smears for which `labels.csv` names one white cell, or the boxed cells.

    The boxes say only that a cell is white, so the table must say which it is. A row that names as
    many cells as are boxed, all of one class, labels each of them; the cells of a smear are a
    group. What has not exactly one label becomes one of the source's `unlabelled`.

    Args:
      folder: The folder with `JPEGImages`, `Annotations` and `labels.csv`.
      boxes: "crop": one picture for each boxed cell; "": whole smears.
      max_pixels: The most pixels of a smear that cells are cut out of.

    Raises:
      UserError: If there is no `labels.csv`, it gives a picture two different rows, or an
        annotation is damaged.
    """
    if not is_bccd_table(folder / TABLE):
        raise UserError(
            f"{folder} holds no {TABLE} with the columns Image (a number) and Category, and the "
            "boxes in Annotations say only WBC: add it from BCCD's first release"
        )
    pictures = {
        path.stem: path for path in visible(folder / "JPEGImages") if has_picture_suffix(path)
    }
    listed: dict[str, tables.TableRow] = {}
    for row in tables.read(folder / TABLE).rows:
        name = f"BloodImage_{int(row.cells['filename']):05d}"
        if listed.setdefault(name, row).cells["label"] != row.cells["label"]:
            raise UserError(
                f"{folder / TABLE}, line {row.line}: picture {int(row.cells['filename'])} was "
                "listed before with another category: remove one of the two rows"
            )

    named: list[tuple[str, Record]] = []
    unlabelled, boxed, read_from = [], [], []
    for name in sorted(listed.keys() & pictures.keys()):
        path, row = pictures[name], listed[name]
        id_ = path.relative_to(folder).as_posix()
        encoded = partial(read_file, path)
        names = [cell.strip() for cell in row.cells["label"].split(",")]
        names = [name for name in names if not tables.is_missing(name)]
        annotation = folder / "Annotations" / f"{name}.xml"
        around = read_boxes(annotation, "WBC") if boxes and annotation.is_file() else []
        files.check_regular(path)
        boxed.append((id_, around))
        if reason := _not_one_label(names, len(around) if boxes else None):
            unlabelled.append((id_, reason))
            continue
        read_from.append(path)
        if boxes:
            for k, box in enumerate(around):
                cut = box_reader(encoded, box, max_pixels=max_pixels)
                record = Record(f"{id_}#{k}", -1, cut, group=id_, columns=row.columns)
                named.append((names[0], record))
        else:
            named.append((names[0], Record(id_, -1, encoded, columns=row.columns)))
    classes, records = label_by_name(named)
    return Source(
        kind="raw BCCD, boxed cells" if boxes else "raw BCCD",
        location=str(folder),
        classes=classes,
        records=records,
        fingerprint=fingerprint(boxed),
        notes=_missing(listed.keys(), pictures.keys()),
        unlabelled=unlabelled,
        files=read_from,
    )


def read_boxes(annotation: Path, name: str) -> list[Box]:
    """Returns the boxes of the objects called `name` in a Pascal VOC annotation, in file order.

    Raises:
      UserError: If the file is not a Pascal VOC annotation, is larger than 1 MiB, or declares a
        document type, whose entities could swell to any size.
    """
    try:
        if annotation.stat().st_size > _LARGEST:
            raise ValueError("it is larger than 1 MiB")
        # As text, so that no declared encoding can hide the declaration.
        text = annotation.read_bytes().decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise ValueError("it declares a document type")
        return [
            parse_box([item.findtext(f"bndbox/{side}", "") for side in BOX_SIDES])
            for item in ElementTree.fromstring(text).iter("object")
            if item.findtext("name", "").strip() == name
        ]
    except (ValueError, ElementTree.ParseError) as error:
        raise UserError(
            f"{annotation} is not a Pascal VOC annotation ({error}): mend it, or delete it "
            "and its row"
        ) from error


def _not_one_label(cells: Sequence[str], boxed: int | None) -> str:
    """Returns why a smear, or each of its `boxed` cells, has not one label; "" if it has."""
    if not cells:
        return "names no class"
    if boxed is not None and len(cells) != boxed:
        return f"names {', '.join(cells)}; boxed white cells: {boxed}"
    if len(cells) > 1 and (boxed is None or len(set(cells)) > 1):
        return f"names several: {', '.join(cells)}"
    return ""


def _missing(listed: Set[str], pictures: Set[str]) -> tuple[str, ...]:
    """Returns notes on pictures that only the table, or only the folder, has."""
    notes = []
    if lost := sorted(listed - pictures):
        notes.append(f"{TABLE} lists {len(lost)} pictures that are not there ({lost[0]}, ...).")
    if others := sorted(pictures - listed):
        notes.append(f"{TABLE} does not list {len(others)} pictures ({others[0]}, ...): left out.")
    return tuple(notes)
