"""Where pictures come from: `open_source` recognises what the user's `location` is."""

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bcjax.data.records import Source
from bcjax.data.sources.classes import checked, reordered
from bcjax.errors import UserError

_TFDS_NAME = re.compile(r"[a-z]\w*(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


def open_source(
    location: str,
    *,
    classes: Sequence[str] = (),
    synthetic_images: int = 2400,
    data_dir: str | None = None,
    complete: bool = True,
) -> Source:
    """Opens a source of labelled pictures; its kind is recognised from `location` alone.

    Args:
      location: "synthetic"; a folder of class folders, of split folders that hold class folders,
        or with a CSV manifest at its top; a path to a .csv or .npz file; or the name of a
        dataset of TFDS, with or without "tfds:" before it.
      classes: The class names in label order; empty: as the source has them.
      synthetic_images: How many pictures "synthetic" has.
      data_dir: Where TFDS keeps its datasets; None: its own folder.
      complete: Whether each class must have a picture, and in train where splits are given.

    Returns:
      The source, with two or more classes.

    Raises:
      UserError: The location is nothing known, or its content is not as its kind demands.
    """
    try:
        source = _read(location, classes, synthetic_images, data_dir)
    except OSError as error:
        raise UserError(f"{location} cannot be read ({error}): mend or remove that") from error
    source = dataclasses.replace(source, location=location)
    if classes:
        source = reordered(source, classes)
    return checked(source, complete=complete)


# Each reader is imported when it is needed: none pays for the imports of another.
def _read(
    location: str, classes: Sequence[str], synthetic_images: int, data_dir: str | None
) -> Source:
    if location == "synthetic":
        from bcjax.data import synthetic

        return synthetic.source(count=synthetic_images)

    if not location.strip():
        raise UserError("data.source is empty: write a path, the name of a dataset, or 'synthetic'")
    path = Path(location).expanduser().absolute()
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        from bcjax.data.sources import manifest

        return manifest.read(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        from bcjax.data.sources import npz

        return npz.read(path, classes)
    if path.is_file():
        raise UserError(f"{location} is neither a .csv nor a .npz file: name the folder it is in")

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


def _read_folder(folder: Path) -> Source:
    from bcjax.data.sources import folder as class_folders
    from bcjax.data.sources import manifest

    table = manifest.find(folder)
    if table is None:
        return class_folders.read(folder)
    source = manifest.read(table)
    note = (
        f"{table.name} says what is in {folder.name}: pictures that it does not list are left out."
    )
    return dataclasses.replace(source, notes=(*source.notes, note))


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
