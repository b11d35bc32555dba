"""What every source of pictures is turned into: labelled records, still encoded."""

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from bcjax.data.decode import MAX_PIXELS, decode

_SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLITS = tuple(_SPLIT_NAMES)


@dataclasses.dataclass(frozen=True, slots=True)  # there may be a million
class Record:
    """One labelled picture.

    Attributes:
      id: Name of the picture, stable and unique within its source: a relative path, or
        `train_images/17`.
      label: Index into the source's classes.
      read: Returns the encoded picture (JPEG, PNG, ...) as it was found.
      group: Patient, slide or original picture, which no split may divide; "" where unknown.
      split: "train", "val" or "test"; "" where the source does not say.
      columns: The other columns of the table that lists the picture, by name.
      max_pixels: The most pixels that it may have, see `decode`.
    """

    id: str
    label: int
    read: Callable[[], bytes]
    group: str = ""
    split: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    max_pixels: int = MAX_PIXELS

    def pixels(self, at_least: int = 0) -> UInt8[np.ndarray, "H W 3"]:
        """Reads and decodes the picture.

        Args:
          at_least: As for `decode`.

        Raises:
          BadImageError: As `decode`.
          OSError: If it cannot be read.
        """
        return decode(self.read(), at_least=at_least, max_pixels=self.max_pixels)


@dataclasses.dataclass(frozen=True)
class Source:
    """Labelled pictures, as the user has them.

    Attributes:
      kind: What the source was recognised as ("class folders", "manifest", ...).
      location: What the user wrote.
      classes: Class names in label order.
      records: All records, in a stable order.
      fingerprint: A short text that changes when anything does that decides which pictures these
        are, and that neither the records nor the bytes of `files` show; "" if there is nothing.
      notes: Plain sentences that the user should see at start-up.
      unlabelled: (id, reason) of each picture that has no class, or several.
      augmented: Whether the source is known to hold augmented copies of fewer originals. Such
        copies are kept apart only by the source's own split, or by groups of copies.
      files: The files that the pictures are read from, in a stable order: the source is known by
        the bytes in them, see `contents`. Without files it is known by its location, the
        fingerprint, and a few pictures.
    """

    kind: str
    location: str
    classes: tuple[str, ...]
    records: Sequence[Record]
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    unlabelled: Sequence[tuple[str, str]] = ()
    augmented: bool = False
    files: Sequence[Path | str] = ()


def split_from_name(name: str) -> str | None:
    """Returns the split that `name` means, in any case: "train", "val" or "test"; else None."""
    name = name.strip().lower()
    return next((split for split, names in _SPLIT_NAMES.items() if name in names), None)


def normal_form(name: str) -> str:
    """Returns a name such that those which look the same are the same.

    Letters with accents have several forms in Unicode, of which macOS writes another one than
    Windows does; white space is invisible at the ends, and hard to count within.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def natural_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Returns the distinct labels, sorted: by value where all are integers, else as text."""
    distinct = set(labels)
    if all(re.fullmatch("-?[0-9]+", label) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def label_by_name(
    named: Sequence[tuple[str, Record]],
) -> tuple[tuple[str, ...], list[Record]]:
    """Returns the class names in `natural_order`, and the records with their labels.

    Args:
      named: Each record, whose label is not known yet, after the name of its class.
    """
    classes = natural_order(name for name, _ in named)
    label_of = {name: label for label, name in enumerate(classes)}
    return classes, [dataclasses.replace(record, label=label_of[name]) for name, record in named]


def fingerprint(*parts: object) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of `parts`.

    Args:
      parts: Texts, numbers, and tuples or lists of them, which tell two contents apart where
        there are no files to read: names, versions, checksums.
    """
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
