"""What every source of pictures is turned into: labelled records, still encoded."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Record:
    """One labelled picture.

    Attributes:
      id: Stable and unique within its source: a relative path, or `train_images/17`.
      label: Index into the source's classes.
      read: Returns the encoded picture (JPEG, PNG, ...) as it was found.
      group: Patient, slide or source picture, which no split may divide; "" where unknown.
      split: "train", "val" or "test"; "" where the source does not say.
      columns: Whatever else a table says of it, by column.
    """

    id: str
    label: int
    read: Callable[[], bytes]
    group: str = ""
    split: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Attributes:
      kind: What the source was recognised as ("class folder", "manifest", ...).
      location: What the user wrote.
      classes: Names, in label order.
      records: All records, in a stable order.
      fingerprint: Changes when the content does; names the cache.
      notes: Plain sentences that the user should see at start-up.
      unlabelled: (id, why) of each entry that names no class, or several.
      augmented: Whether it is known to hold augmented copies of fewer originals, so that only
        its own split, or groups of copies, keep the two sides of a split apart.
    """

    kind: str
    location: str
    classes: tuple[str, ...]
    records: Sequence[Record]
    fingerprint: str
    notes: tuple[str, ...] = ()
    unlabelled: Sequence[tuple[str, str]] = ()
    augmented: bool = False
