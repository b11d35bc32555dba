"""Recognising a source: the table of readers, and `open_source`, which asks them in turn."""

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bcjax.config import nearest
from bcjax.data.decode import MAX_PIXELS
from bcjax.data.records import Source
from bcjax.data.sources import class_names, tables
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

_TFDS_NAME = re.compile(r"[a-z]\w*(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class SourceRequest:
    """What the user asked for.

    Attributes:
      location: The config's `data.source`, as the user wrote it.
      classes: The config's `data.classes`; empty: as the source has them.
      boxes: "crop": one picture for each boxed cell; "": the source's pictures.
      synthetic_images: How many pictures "synthetic" has.
      data_dir: Folder of TFDS's datasets; None: TFDS's own folder.
      downloads: Folder of downloaded files; None: ~/.cache/bcjax/downloads.
      max_pixels: The most pixels of a picture.
    """

    location: str
    classes: Sequence[str] = ()
    boxes: str = ""
    synthetic_images: int = 2400
    data_dir: str | None = None
    downloads: Path | None = None
    max_pixels: int = MAX_PIXELS

    @property
    def path(self) -> Path:
        """The location as an absolute path, whether or not it exists."""
        return Path(self.location).absolute()


@dataclasses.dataclass(frozen=True)
class SourceReader:
    """One kind of source.

    Attributes:
      recognises: Returns whether a location is of this kind.
      read: Reads it.
      boxes: Whether `read` can cut boxed cells out.
    """

    recognises: Callable[[SourceRequest], bool]
    read: Callable[[SourceRequest], Source]
    boxes: bool = False


# Every kind of source by its name. The last that recognises a location reads it: so a reader that
# is registered later goes before these.
SOURCES: dict[str, SourceReader] = {}


def register_source(
    name: str, recognises: Callable[[SourceRequest], bool] | None = None, *, boxes: bool = False
) -> Callable[[Callable[[SourceRequest], Source]], Callable[[SourceRequest], Source]]:
    """Returns a decorator that adds the reader of a kind of source to `SOURCES`.

    With this reader, `data.source` may be "slides" or "slides:/mnt/scanner":

      @register_source("slides")
      def read_slides(request: SourceRequest) -> Source:
          records = [Record("1.png", 0, ...), ...]
          return Source("slides", request.location, ("a", "b"), records, fingerprint(...))

    Args:
      name: Name of the kind.
      recognises: Returns whether a location is of this kind; None: if it is `name` or starts with
        `name` and a colon.
      boxes: Whether the reader can cut boxed cells out.

    Raises:
      UserError: If the name is taken already.
    """
    if name in SOURCES:
        raise UserError(f"There is a source called {name!r} already: choose another name.")

    def by_name(request: SourceRequest) -> bool:
        return request.location == name or request.location.startswith(f"{name}:")

    def register(read: Callable[[SourceRequest], Source]) -> Callable[[SourceRequest], Source]:
        SOURCES[name] = SourceReader(recognises or by_name, read, boxes)
        return read

    return register


def open_source(
    location: str,
    *,
    classes: Sequence[str] = (),
    boxes: str = "",
    fine_labels: bool = False,
    synthetic_images: int = 2400,
    data_dir: str | None = None,
    downloads: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    complete: bool = True,
    dropped: Sequence[str] = (),
    resplit: bool = False,
    own_names: bool = False,
) -> Source:
    """Opens a source of labelled pictures; its kind is recognised from `location` alone.

    Args:
      location: "synthetic"; a folder of class folders, of split folders that hold class folders,
        or with a CSV manifest at its top; a folder that a known data set was unpacked into; a path
        to a .csv or .npz file; "bloodmnist", "bloodmnist_64", "bloodmnist_128" or "bloodmnist_224"
        to download; the name of a dataset of TFDS, with or without "tfds:" before it; or whatever
        a registered source recognises.
      classes: Class names in label order; empty: as the source has them.
      boxes: "crop": one picture for each boxed cell; "": the source's pictures.
      fine_labels: Whether the classes are PBC's sub-types, by file name.
      synthetic_images: How many pictures "synthetic" has.
      data_dir: Folder of TFDS's datasets; None: TFDS's own folder.
      downloads: Folder of downloaded files; None: ~/.cache/bcjax/downloads.
      max_pixels: The most pixels of a picture: larger ones are refused when they are read.
      complete: Whether each class must have a picture, and in train where splits are given.
      dropped: Classes that need not.
      resplit: Whether the splits that the source gives do not matter.
      own_names: Whether the classes are the source's, whatever `classes` says. `classes` then only
        gives a meaning to numbers, where the source names no classes.

    Returns:
      The source, with two or more classes.

    Raises:
      UserError: If no kind of source recognises the location, or its content is not as its kind
        requires.
    """
    if boxes not in ("", "crop"):
        raise UserError(f"data.boxes={boxes!r} is unknown: write crop, or nothing")
    if not location.strip():
        raise UserError("data.source is empty: write a path, the name of a dataset, or 'synthetic'")
    request = SourceRequest(
        location, classes, boxes, synthetic_images, data_dir, downloads, max_pixels
    )
    try:
        source = _read(request)
    except _NoBoxesError:
        if complete:
            raise
        # Other data than the training set may hold pictures that are cut out already.
        source = _read(dataclasses.replace(request, boxes=""))
    except OSError as error:
        raise UserError(f"{location} cannot be read ({error}): mend or remove that") from error
    source = dataclasses.replace(source, location=location)
    if max_pixels != MAX_PIXELS:
        records = [dataclasses.replace(r, max_pixels=max_pixels) for r in source.records]
        source = dataclasses.replace(source, records=records)
    if fine_labels:
        from bcjax.data.sources import published

        source = published.with_pbc_subtypes(source)
    source = class_names.merge_alike(source)
    if classes and not own_names:
        source = class_names.with_classes(source, classes)
    return class_names.checked(source, complete=complete, dropped=dropped, resplit=resplit)


def _read(request: SourceRequest) -> Source:
    for reader in reversed(SOURCES.values()):
        if reader.recognises(request):
            if request.boxes and not reader.boxes:
                raise _NoBoxesError(request.location)
            return reader.read(request)
    location, path = request.location, request.path
    if path.exists():
        files.check_regular(path)
        if path.suffix.lower() in tables.WORKBOOKS:
            raise UserError(f"{location} cannot be read: {tables.SAVE_WORKBOOK}")
        raise UserError(
            f"{location} is neither a .csv nor a .npz file: name the folder it is in, or was "
            "unpacked into"
        )
    siblings = os.listdir(path.parent) if path.parent.is_dir() else []
    raise UserError(
        f"{location!r} does not exist; name a folder, a .csv or .npz file, or a dataset"
        f"{nearest(path.name, siblings)}"
    )


class _NoBoxesError(UserError):
    def __init__(self, location: str | Path):
        super().__init__(
            f"{location} has no boxes to cut out: data.boxes=crop is for raw BCCD, and for a CSV "
            "file with the columns xmin, ymin, xmax and ymax"
        )


# The built-in kinds, the most general first. Each imports what it needs when it is used: nobody
# pays for the imports of another kind.


def _is_tfds(request: SourceRequest) -> bool:
    name = request.location.removeprefix("tfds:")
    as_path = Path(name)
    meant_as_path = as_path.suffix.lower() in (".csv", ".npz") or (
        as_path.parent != Path() and as_path.parent.is_dir()
    )
    named = bool(_TFDS_NAME.fullmatch(name)) and not request.path.is_file()
    return named and (name != request.location or not meant_as_path)


@register_source("tfds", _is_tfds)
def _read_tfds(request: SourceRequest) -> Source:
    from bcjax.data.sources import tfds

    return tfds.read(request.location.removeprefix("tfds:"), request.data_dir)


def _is_bloodmnist(request: SourceRequest) -> bool:
    if not request.location.startswith("bloodmnist"):
        return False
    from bcjax.data.sources import download

    return request.location in download.FILES and not request.path.is_file()


@register_source("bloodmnist", _is_bloodmnist)
def _read_bloodmnist(request: SourceRequest) -> Source:
    from bcjax.data.sources import download, npz

    folder = request.downloads or Path("~/.cache/bcjax/downloads").expanduser()
    return npz.read(download.fetch(request.location, folder), request.classes, request.max_pixels)


def _is_file(suffix: str) -> Callable[[SourceRequest], bool]:
    return lambda request: request.path.suffix.lower() == suffix and request.path.is_file()


@register_source("npz", _is_file(".npz"))
def _read_npz(request: SourceRequest) -> Source:
    from bcjax.data.sources import npz

    return npz.read(request.path, request.classes, request.max_pixels)


@register_source("csv", _is_file(".csv"), boxes=True)
def _read_csv(request: SourceRequest) -> Source:
    from bcjax.data.sources import bccd, manifest

    path = request.path
    if bccd.is_bccd_table(path) and bccd.is_bccd(path.parent):
        return bccd.read(path.parent, request.boxes, request.max_pixels)
    return manifest.read(path, request.classes, request.boxes, request.max_pixels)


@register_source("folder", lambda request: request.path.is_dir(), boxes=True)
def _read_folder(request: SourceRequest) -> Source:
    from bcjax.data.sources import bccd, class_folders, manifest, published

    folder, boxes = request.path, request.boxes
    table = published.find_users_manifest(folder)
    if table is not None:
        source = manifest.read(table, request.classes, boxes, request.max_pixels)
        note = f"{table.name} says what is in {folder.name}: what it does not list is left out."
        return dataclasses.replace(source, notes=(*source.notes, note))
    notes = manifest.passed_over(folder)
    layout, root = published.find_published(folder) or (None, folder)
    if layout is published.LAYOUTS["bccd"]:
        source = bccd.read(root, boxes, request.max_pixels)
    elif boxes:
        raise _NoBoxesError(folder)
    else:
        try:
            source = layout.read(root) if layout else class_folders.read(root)
        except UserError as error:
            raise UserError(" ".join((f"{error}.", *notes)) if notes else str(error)) from error
    return dataclasses.replace(source, notes=(*source.notes, *notes))


@register_source("synthetic", lambda request: request.location == "synthetic")
def _read_synthetic(request: SourceRequest) -> Source:
    from bcjax.data.sources import synthetic

    return synthetic.source(count=request.synthetic_images)
