"""The classes of a source: made one where they look the same, named as the user does, checked."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from bcjax.config import nearest
from bcjax.data.curate import mends
from bcjax.data.records import SPLITS, Source, normal_form
from bcjax.runtime.errors import UserError

_SHOWN = 20  # classes listed in a message


def merge_alike(source: Source) -> Source:
    """Returns the source with classes made one that differ in white space or Unicode form alone."""
    alike: dict[str, list[str]] = {}
    for name in source.classes:
        alike.setdefault(normal_form(name), []).append(name)
    if len(alike) == len(source.classes):
        return source
    kept = {form: form if form in names else names[0] for form, names in alike.items()}
    classes = tuple(kept.values())
    notes = tuple(
        f"Classes {', '.join(map(ascii, names))} look the same, for they differ in white space or "
        f"in Unicode form alone: they are read as one, {kept[form]!r}."
        for form, names in alike.items()
        if len(names) > 1
    )
    label_of = [classes.index(kept[normal_form(name)]) for name in source.classes]
    return dataclasses.replace(
        source,
        classes=classes,
        records=[dataclasses.replace(r, label=label_of[r.label]) for r in source.records],
        notes=(*source.notes, *notes),
    )


def with_classes(source: Source, classes: Sequence[str]) -> Source:
    """Returns the source with `classes` as its classes, in that order.

    Raises:
      UserError: If a label of the source is not among `classes`, or one of those is named twice.
    """
    classes = tuple(classes)
    forms = Counter(map(normal_form, classes))
    twice = [name for name in classes if forms[normal_form(name)] > 1]
    if twice:
        raise UserError(f"data.classes names {twice[0]!r} twice: name each class once")
    if classes == source.classes:
        return source
    index = {normal_form(name): i for i, name in enumerate(classes)}
    label_of = [index.get(normal_form(name), -1) for name in source.classes]
    for record in source.records:
        if label_of[record.label] < 0:
            name = source.classes[record.label]
            named = ", ".join((*classes[:_SHOWN], *(["..."] if classes[_SHOWN:] else [])))
            raise UserError(
                f"label {name!r} ({record.id}) is not among data.classes ({named}), and has to be "
                f"added there{nearest(name, classes)}"
            )
    return dataclasses.replace(
        source,
        classes=classes,
        records=[
            dataclasses.replace(record, label=label_of[record.label]) for record in source.records
        ],
    )


def checked(
    source: Source, *, complete: bool = True, dropped: Sequence[str] = (), resplit: bool = False
) -> Source:
    """Returns the source, with a note on each class that a given val or test split lacks.

    Args:
      source: The pictures.
      complete: Whether each class must occur, in a given train too.
      dropped: Classes that need not, because they will be left out.
      resplit: Whether the splits that the source gives do not matter.

    Raises:
      UserError: If two pictures have one id; or if it must be complete, and there are fewer than
        two classes, or one has no picture, or none in a given train.
    """
    if complete and len(source.classes) < 2:
        raise UserError(
            f"{source.location} holds {len(source.classes)} class ({', '.join(source.classes)}): "
            "a classifier needs two or more, so add pictures of another"
        )
    twice = [id_ for id_, count in Counter(r.id for r in source.records).items() if count > 1]
    if twice:  # a reader from outside: the files of a folder cannot be called alike
        raise UserError(
            f"{source.location} has several pictures called {twice[0]!r}: its reader must give "
            "each an id of its own"
        )
    notes = list(source.notes)
    if complete:
        notes += _check_classes_occur(source, dropped, resplit=resplit)
    alike = Counter(name.casefold() for name in source.classes)
    notes += [
        f"Class {name!r} differs from another by case alone; is it the same?"
        for name in source.classes
        if alike[name.casefold()] > 1
    ]
    return dataclasses.replace(source, notes=tuple(notes))


def _check_classes_occur(source: Source, dropped: Sequence[str], *, resplit: bool) -> list[str]:
    """Checks that each class occurs where it must; returns notes on where else it does not."""
    count_of = Counter((record.split, record.label) for record in source.records)
    given = [split for split in SPLITS if any(split == key for key, _ in count_of)]
    notes = []
    for label, name in enumerate(source.classes):
        if name in dropped:
            continue
        leaving_out = mends.dropping(name, source.classes, dropped)
        if not any(count_of[split, label] for split in ("", *SPLITS)):
            raise UserError(
                f"class {name!r} has no picture in {source.location}: "
                f"{mends.one_of(['add some', *leaving_out])}"
            )
        lacking = [split for split in given if not count_of[split, label]]
        if resplit:
            continue
        if "train" in lacking and not count_of["", label]:
            ways = [
                "move some there", *leaving_out, "carve new splits with --config.data.resplit=true"
            ]  # fmt: skip
            raise UserError(
                f"class {name!r} has pictures in {source.location}, but none in train: "
                f"{mends.one_of(ways)}"
            )
        notes += [f"Class {name!r} has no picture in {split}." for split in lacking]
    return notes
