"""Pictures from where people have them, found one after the other: nothing is read ahead of need.

A place is a file, a folder, a pattern, a CSV file that lists pictures, a zip file or a prepared
set. Each finds its pictures anew, in the same order, every time it is asked.
"""

import dataclasses
import glob
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from bcjax.data.decode import BadImageError, read_file
from bcjax.data.sources import tables
from bcjax.data.sources.walk import is_litter, is_picture, pictures_below
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.data.prepared import BlockReader, PreparedSet

_LARGEST = 1 << 30  # bytes of a picture in a zip file, before it is decoded
# What the zip file of a member that is damaged, encrypted or of an unknown method raises.
_UNZIPPABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclasses.dataclass(frozen=True)
class NamedImage:
    """An image that has not been read yet.

    Attributes:
      name: The path of a file, FILE.zip/MEMBER, FOLDER/ID of a prepared set; "image 0",
        "image 1", ... by position for what is in memory.
      read: Returns the encoded image; raises OSError or BadImageError if it cannot be read.
    """

    name: str
    read: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Found:
    """A picture in a place.

    Attributes:
      name: What answers call it.
      key: What the place knows it by.
    """

    name: str
    key: str


class Place(Protocol):
    """Where pictures lie."""

    def each(self) -> Iterator[Found]:
        """Finds the pictures, one after the other, always in the same order."""

    def read(self, key: str) -> bytes:
        """Returns an encoded picture; threads may read at the same time.

        Raises:
          OSError: If it cannot be read.
          BadImageError: If it is damaged.
        """


class Pictures:
    """All pictures in some places, in order; each iteration finds them anew.

    Attributes:
      places: The places.
    """

    def __init__(self, places: Sequence[Place]):
        self.places = tuple(places)

    def __iter__(self) -> Iterator[NamedImage]:
        return (self.named(number, found) for number, found in self.found())

    def found(self) -> Iterator[tuple[int, Found]]:
        """Yields each picture after the position of its place."""
        return ((number, each) for number, place in enumerate(self.places) for each in place.each())

    def named(self, number: int, found: Found) -> NamedImage:
        """Returns a picture of the place at a position."""
        return NamedImage(found.name, partial(self.places[number].read, found.key))


def open_pictures(words: Sequence[str | Path]) -> Pictures:
    """Returns the pictures in places, none of which is read yet.

    Args:
      words: Each the path of a picture, a folder (all pictures below it), a CSV file with a column
        of paths (`tables.COLUMNS`; they start from its folder), a zip file or a prepared set; or
        a pattern such as "scans/*/cells", which stands for the pictures and folders that it
        matches, sorted, and for other files with its own ending: "*.zip".

    Raises:
      UserError: If there is no such path, a pattern matches nothing, a place holds no picture, or
        a CSV file has no column of paths.
    """
    return Pictures([place for word in words for place in _places(files.user_path(word))])


def _places(path: Path) -> list[Place]:
    if path.exists():
        return [_place(path)]
    if not glob.has_magic(str(path)):
        raise UserError(f"There is no picture or folder {path}.")
    found = sorted(map(Path, glob.iglob(str(path), recursive=True)))
    matched = _Matched(path, [each for each in found if _is_meant(each, path)])
    if not matched.paths:
        raise UserError(f"Nothing matches the pattern {path}.")
    if next(matched.each(), None) is None:
        raise UserError(f"What matches the pattern {path} holds no picture.")
    return [matched]


def _is_meant(path: Path, pattern: Path) -> bool:
    """Whether a pattern means a path that it matches: what is no picture must be asked for."""
    if is_litter(path.name):
        return False
    return path.is_dir() or is_picture(path) or path.suffix == pattern.suffix != ""


def _place(path: Path, *, may_be_empty: bool = False) -> Place:
    """Returns the place at a path that exists."""
    kind: Callable[[Path], Place]
    kind, noun = _File, ""
    if path.is_dir():
        kind, noun = (_Prepared, "prepared set") if _is_prepared(path) else (_Folder, "folder")
    elif path.suffix.lower() == ".zip":
        kind, noun = _Zip, "zip file"
    elif path.suffix.lower() == ".csv":
        kind, noun = _Listed, "list"
    elif path.suffix.lower() in tables.WORKBOOKS:
        raise UserError(f"{path} cannot be read: {tables.SAVE_WORKBOOK}.")
    place = kind(path)
    if noun and not may_be_empty and next(place.each(), None) is None:
        raise UserError(f"The {noun} {path} holds no picture.")
    return place


def _is_prepared(path: Path) -> bool:
    if not (path / "dataset_info.json").exists():
        return False
    from bcjax.data.prepared import PreparedSet  # takes seconds

    return PreparedSet.is_at(path)


@dataclasses.dataclass(frozen=True)
class _File:
    path: Path

    def each(self) -> Iterator[Found]:
        yield Found(str(self.path), str(self.path))

    def read(self, key: str) -> bytes:
        return read_file(Path(key))


@dataclasses.dataclass(frozen=True)
class _Folder(_File):
    def each(self) -> Iterator[Found]:
        return (Found(str(path), str(path)) for path in pictures_below(self.path))


@dataclasses.dataclass(frozen=True)
class _Listed(_File):
    """The pictures that a CSV file lists, in its order; paths start from its folder."""

    def each(self) -> Iterator[Found]:
        for cell in tables.read_filenames(self.path):
            path = str(self.path.parent / cell)
            yield Found(path, path)


@dataclasses.dataclass(frozen=True)
class _Matched:
    """What a pattern matches: one place after the other."""

    pattern: Path
    paths: Sequence[Path]

    def each(self) -> Iterator[Found]:
        for number, place in enumerate(self._places):
            for found in place.each():
                yield Found(found.name, f"{number}:{found.key}")

    def read(self, key: str) -> bytes:
        number, _, inner = key.partition(":")
        return self._places[int(number)].read(inner)

    @cached_property
    def _places(self) -> list[Place]:
        return [_place(path, may_be_empty=True) for path in self.paths]


@dataclasses.dataclass(frozen=True)
class _Zip:
    """The pictures in a zip file, in the order of the folder that it would be unpacked to."""

    path: Path

    def each(self) -> Iterator[Found]:
        for member in self._members:
            # With the checksum, so that other content is another picture.
            crc = self._file.getinfo(member).CRC
            yield Found(f"{self.path}/{member}", f"{crc:08x} {member}")

    def read(self, key: str) -> bytes:
        member = key.partition(" ")[2]
        try:
            if (size := self._file.getinfo(member).file_size) > _LARGEST:
                raise BadImageError(f"{size:,} bytes in the zip file, more than {_LARGEST:,}")
            return self._file.read(member)
        except _UNZIPPABLE as error:
            raise BadImageError(f"it cannot be taken out of the zip file: {error}") from error

    @cached_property
    def _file(self) -> zipfile.ZipFile:
        files.check_regular(self.path)
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise UserError(
                f"{self.path} is no whole zip file ({error}): copy or make it again."
            ) from error

    @cached_property
    def _members(self) -> list[str]:
        names = map(PurePosixPath, dict.fromkeys(self._file.namelist()))
        pictures = [
            name for name in names if is_picture(Path(name)) and not any(map(is_litter, name.parts))
        ]
        return [str(name) for name in sorted(pictures)]


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """The pictures of a prepared set, split after split."""

    path: Path

    def each(self) -> Iterator[Found]:
        for split in self._set.counts:
            for position, name in enumerate(self._set.ids(split)):
                yield Found(f"{self.path}/{name}", f"{split}:{position}")

    def read(self, key: str) -> bytes:
        split, _, position = key.partition(":")
        return self._splits[split](int(position))

    @cached_property
    def _set(self) -> "PreparedSet":
        from bcjax.data.prepared import PreparedSet

        return PreparedSet(self.path)

    @cached_property
    def _splits(self) -> "dict[str, BlockReader]":
        from bcjax.data.prepared import BlockReader

        return {split: BlockReader(self._set.examples(split)) for split in self._set.counts}
