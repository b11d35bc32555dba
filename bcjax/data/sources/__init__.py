"""Where pictures come from: `open_source` recognises what the user's `location` is."""

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bcjax.data.records import Source
from bcjax.data.sources.classes import checked, reordered
from bcjax.runtime.errors import UserError

_TFDS_NAME = re.compile(r"[a-z]\w*(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


def open_source(
    location: str,
    *,
    classes: Sequence[str] = (),
    boxes: str = "",
    fine_labels: bool = False,
    synthetic_images: int = 2400,
    data_dir: str | None = None,
    downloads: Path | None = None,
    complete: bool = True,
    own_names: bool = False,
) -> Source:
    """Opens a source of labelled pictures; its kind is recognised from `location` alone.

    Args:
      location: "synthetic"; a folder of class folders, of split folders that hold class folders,
        or with a CSV manifest at its top; a folder that a known data set was unpacked into; a path
        to a .csv or .npz file; "bloodmnist", "bloodmnist_64", "bloodmnist_128" or "bloodmnist_224"
        to download; or the name of a dataset of TFDS, with or without "tfds:" before it.
      classes: The class names in label order; empty: as the source has them.
      boxes: "crop": one picture for each boxed cell; "": the source's pictures.
      fine_labels: Whether the classes are PBC's sub-types, by file name.
      synthetic_images: How many pictures "synthetic" has.
      data_dir: Where TFDS keeps its datasets; None: its own folder.
      downloads: Where downloaded files are kept; None: ~/.cache/bcjax/downloads.
      complete: Whether each class must have a picture, and in train where splits are given.
      own_names: Whether the classes are the source's, whatever `classes` says: that is then only
        what numbers mean where the source names none.

    Returns:
      The source, with two or more classes.

    Raises:
      UserError: The location is nothing known, or its content is not as its kind demands.
    """
    if boxes not in ("", "crop"):
        raise UserError(f"data.boxes={boxes!r} is unknown: write crop, or nothing")
    try:
        source = _read(location, classes, boxes, synthetic_images, data_dir, downloads)
    except _NoBoxesError:
        if complete:
            raise
        # Other data than those trained on may be cut out already.
        source = _read(location, classes, "", synthetic_images, data_dir, downloads)
    except OSError as error:
        raise UserError(f"{location} cannot be read ({error}): mend or remove that") from error
    source = dataclasses.replace(source, location=location)
    if fine_labels:
        from bcjax.data.sources import pbc

        source = pbc.fine(source)
    if classes and not own_names:
        source = reordered(source, classes)
    return checked(source, complete=complete)


# Each reader is imported when it is needed: none pays for the imports of another.
def _read(
    location: str,
    classes: Sequence[str],
    boxes: str,
    synthetic_images: int,
    data_dir: str | None,
    downloads: Path | None,
) -> Source:
    if not location.strip():
        raise UserError("data.source is empty: write a path, the name of a dataset, or 'synthetic'")
    path = Path(location).expanduser().absolute()
    if path.is_dir() and location != "synthetic":
        return _read_folder(path, classes, boxes)
    if path.suffix.lower() == ".csv" and path.is_file():
        from bcjax.data.sources import bccd, manifest

        if bccd.is_table(path) and bccd.is_at(path.parent):
            return bccd.read(path.parent, boxes=boxes)
        return manifest.read(path, classes, boxes=boxes)
    if boxes:
        raise _NoBoxesError(location)
    if location == "synthetic":
        from bcjax.data import synthetic

        return synthetic.source(count=synthetic_images)

    if path.suffix.lower() == ".npz" and path.is_file():
        from bcjax.data.sources import npz

        return npz.read(path, classes)
    if path.is_file():
        raise UserError(
            f"{location} is neither a .csv nor a .npz file: name the folder it is in, or was "
            "unpacked into"
        )

    if location.startswith("bloodmnist"):
        from bcjax.data.sources import download, npz

        if location in download.FILES:
            folder = downloads or Path("~/.cache/bcjax/downloads").expanduser()
            return npz.read(download.fetched(location, folder), classes)
    name = location.removeprefix("tfds:")
    if _TFDS_NAME.fullmatch(name) and (name != location or not _meant_as_path(location)):
        from bcjax.data.sources import tfds

        return tfds.read(name, data_dir)
    near = _near(path)
    raise UserError(
        f"{location!r} does not exist"
        + (
            f": did you mean {near}?"
            if near
            else ": name a folder, a .csv or .npz file, or a dataset"
        )
    )


def _read_folder(folder: Path, classes: Sequence[str], boxes: str) -> Source:
    from bcjax.data.sources import bccd, known, manifest
    from bcjax.data.sources import folder as class_folders

    table = known.table(folder)
    if table is not None:
        source = manifest.read(table, classes, boxes=boxes)
        note = f"{table.name} says what is in {folder.name}: what it does not list is left out."
        return dataclasses.replace(source, notes=(*source.notes, note))
    adapter, root = known.find(folder) or (class_folders, folder)
    if adapter is bccd:
        return bccd.read(root, boxes=boxes)
    if boxes:
        raise _NoBoxesError(folder)
    return adapter.read(root)


class _NoBoxesError(UserError):
    def __init__(self, location: str | Path):
        super().__init__(
            f"{location} has no boxes to cut out: data.boxes=crop is for raw BCCD, and for a CSV "
            "file with the columns xmin, ymin, xmax and ymax"
        )


def _meant_as_path(location: str) -> bool:
    path = Path(location)
    return path.suffix.lower() in (".csv", ".npz") or (
        path.parent != Path() and path.parent.is_dir()
    )


def _near(path: Path) -> Path | None:
    """The entry of the same folder with the most similar name."""
    siblings = os.listdir(path.parent) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return path.parent / near[0] if near else None
