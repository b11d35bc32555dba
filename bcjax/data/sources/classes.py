"""The classes of a source: their order, the user's say in it, and where each must occur."""

import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from bcjax.data.records import SPLITS, Source
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.runtime.errors import UserError

_SHOWN = 20  # classes listed in a message


def natural_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels, sorted: by value where all are integers, else as text."""
    found = set(labels)
    if all(re.fullmatch("-?[0-9]+", label) for label in found):
        return tuple(sorted(found, key=lambda label: (int(label), label)))
    return tuple(sorted(found))


def reordered(source: Source, classes: Sequence[str]) -> Source:
    """The source with `classes` as its classes, in that order.

    Raises:
      UserError: A label of the source is not among `classes`, or one of those is named twice.
    """
    classes = tuple(classes)
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise UserError(f"data.classes names {twice[0]!r} twice: name each class once")
    if classes == source.classes:
        return source  # under the same fingerprint: what was prepared once is found again
    index = {name: i for i, name in enumerate(classes)}
    for record in source.records:
        name = source.classes[record.label]
        if name not in index:
            near = difflib.get_close_matches(name, classes, n=1)
            named = ", ".join((*classes[:_SHOWN], *(["..."] if classes[_SHOWN:] else [])))
            raise UserError(
                f"label {name!r} ({record.id}) is not among data.classes ({named}): "
                + (f"did you mean {near[0]!r}, or is it to be added?" if near else "add it there")
            )
    return dataclasses.replace(
        source,
        classes=classes,
        records=[
            dataclasses.replace(record, label=index[source.classes[record.label]])
            for record in source.records
        ],
        fingerprint=fingerprint(source.fingerprint, classes),
    )


def checked(source: Source, *, complete: bool = True) -> Source:
    """The source, with a note on each class that a given val or test split lacks.

    Raises:
      UserError: It is to be complete, and there are fewer than two classes, or one has no picture,
        or none in a given train.
    """
    if complete and len(source.classes) < 2:
        raise UserError(
            f"{source.location} holds {len(source.classes)} class ({', '.join(source.classes)}): "
            "a classifier needs two or more"
        )
    notes = [*source.notes, *(_occurring(source) if complete else ())]
    alike = Counter(name.casefold() for name in source.classes)
    notes += [
        f"Class {name!r} differs from another by case alone; is it the same?"
        for name in source.classes
        if alike[name.casefold()] > 1
    ]
    return dataclasses.replace(source, notes=tuple(notes))


def _occurring(source: Source) -> list[str]:
    """Checks that each class occurs where it must, and notes where else it does not."""
    found = Counter((record.split, record.label) for record in source.records)
    given = [split for split in SPLITS if any(split == key for key, _ in found)]
    notes = []
    for label, name in enumerate(source.classes):
        if not any(found[split, label] for split in ("", *SPLITS)):
            raise UserError(
                f"class {name!r} has no picture in {source.location}: "
                "add some, or take it out of the class list"
            )
        lacking = [split for split in given if not found[split, label]]
        if "train" in lacking and not found["", label]:
            raise UserError(
                f"class {name!r} has pictures in {source.location}, but none in train: "
                "move some there, or take the class out of the other splits"
            )
        notes += [f"Class {name!r} has no picture in {split}." for split in lacking]
    return notes
