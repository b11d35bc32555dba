"""Raw BCCD ("dataset-master"): whole smears, a table of their white cells, boxes around cells."""

from collections.abc import Callable, Sequence, Set
from pathlib import Path

from bcjax.data.boxes import cropped
from bcjax.data.records import Record, Source
from bcjax.data.sources import table, voc
from bcjax.data.sources.classes import natural_order
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.data.sources.folder import PICTURES
from bcjax.runtime.errors import UserError

TABLE = "labels.csv"


def is_at(folder: Path) -> bool:
    """Whether `folder` holds the pictures, and their labels or boxes."""
    return (folder / "JPEGImages").is_dir() and (
        (folder / "Annotations").is_dir() or is_table(folder / TABLE)
    )


def is_table(path: Path) -> bool:
    """Whether it is BCCD's `labels.csv`, which gives numbers where others name files."""
    return (
        path.name == TABLE
        and path.is_file()
        and {"filename", "label"} <= table.keys(path)
        and all(row.cells["filename"].isdigit() for row in table.rows(path))
    )


def read(folder: Path, *, boxes: str = "") -> Source:
    """Reads the smears that `labels.csv` gives one white cell; or, with boxes="crop", the cells.

    Boxes say only that a cell is white, so the table must say which. A row that names as many
    cells as are boxed, all of one class, labels each of them; the cells of a smear are a group.
    What has no one label is in the source's `unlabelled`, with the reason.

    Raises:
      UserError: There is no `labels.csv`, it gives a picture two different rows, or an annotation
        is damaged.
    """
    if not is_table(folder / TABLE):
        raise UserError(
            f"{folder} holds no {TABLE} with the columns Image (a number) and Category, and the "
            "boxes in Annotations say only WBC: add it from BCCD's first release"
        )
    pictures = {
        path.stem: path
        for path in (folder / "JPEGImages").iterdir()
        if path.suffix.lower() in PICTURES
    }
    listed: dict[str, table.Row] = {}
    for row in table.rows(folder / TABLE):
        name = f"BloodImage_{int(row.cells['filename']):05d}"
        if listed.setdefault(name, row).cells["label"] != row.cells["label"]:
            raise UserError(
                f"{folder / TABLE}, line {row.line}: picture {int(row.cells['filename'])} was "
                "listed before with another category: remove one of the two rows"
            )

    found: list[tuple[str, str, Callable[[], bytes], str, table.Row]] = []
    unlabelled, identity = [], []
    for name in sorted(listed.keys() & pictures.keys()):
        path, row = pictures[name], listed[name]
        id_ = path.relative_to(folder).as_posix()
        cells = [cell.strip() for cell in row.cells["label"].split(",") if cell.strip()]
        annotation = folder / "Annotations" / f"{name}.xml"
        around = voc.boxes(annotation, "WBC") if boxes and annotation.is_file() else []
        status = path.stat()
        identity.append((id_, cells, around, boxes, status.st_size, status.st_mtime_ns))
        if why := _no_label(cells, len(around) if boxes else None):
            unlabelled.append((id_, why))
        elif boxes:
            found += [
                (f"{id_}#{k}", cells[0], cropped(path.read_bytes, box), id_, row)
                for k, box in enumerate(around)
            ]
        else:
            found.append((id_, cells[0], path.read_bytes, "", row))
    classes = natural_order(label for _, label, *_ in found)
    label_of = {name: label for label, name in enumerate(classes)}
    return Source(
        kind="raw BCCD, boxed cells" if boxes else "raw BCCD",
        location=str(folder),
        classes=classes,
        records=[
            Record(id_, label_of[name], read_, group, columns=row.columns)
            for id_, name, read_, group, row in found
        ],
        fingerprint=fingerprint(identity),
        notes=_missing(listed.keys(), pictures.keys()),
        unlabelled=unlabelled,
    )


def _no_label(cells: Sequence[str], boxed: int | None) -> str:
    """Why a smear, or each of its `boxed` cells, has no one label; "" if it has."""
    if not cells:
        return "names no class"
    if boxed is not None and len(cells) != boxed:
        return f"names {', '.join(cells)}; boxed white cells: {boxed}"
    if len(cells) > 1 and (boxed is None or len(set(cells)) > 1):
        return f"names several: {', '.join(cells)}"
    return ""


def _missing(listed: Set[str], pictures: Set[str]) -> tuple[str, ...]:
    """Notes on what the table lists and the folder lacks, and the other way round."""
    notes = []
    if lost := sorted(listed - pictures):
        notes.append(f"{TABLE} lists {len(lost)} pictures that are not there ({lost[0]}, ...).")
    if others := sorted(pictures - listed):
        notes.append(f"{TABLE} does not list {len(others)} pictures ({others[0]}, ...): left out.")
    return tuple(notes)
