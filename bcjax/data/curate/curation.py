"""From a source to pictures that can be trusted: measured, cleaned, grouped, split, and checked."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from bcjax.data import splits
from bcjax.data.curate import findings, grouping, leaks, rules
from bcjax.data.curate.measure import measure
from bcjax.data.curate.pictures import Pictures, looked_at
from bcjax.data.records import SPLITS, Record, Source
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.data.curate.canary import Canary

log = logging.getLogger("bcjax")

_NAMED = 5  # bad pictures listed in a message; the rest are counted
_FRACTIONS = {"val": "val_fraction", "test": "test_fraction"}


@dataclasses.dataclass(frozen=True)
class Curated:
    """What is left of a source, and what was learnt on the way.

    Attributes:
      pictures: In the source's order, each with its split and its group.
      classes: Names in label order.
      removed: Why each of the others is not among them, by id.
      found: About all that can be decoded.
      leaks: Of the splits.
      canary: What colours alone score, if that was asked for.
      carving: How the splits were made that the source does not name, sentence by sentence.
      notes: What the user should know, sentence by sentence, of all this.
    """

    pictures: Pictures
    classes: tuple[str, ...]
    removed: rules.Removed
    found: Sequence[findings.Finding]
    leaks: leaks.Leaks
    canary: "Canary | None"
    carving: tuple[str, ...]
    notes: tuple[str, ...]


def for_other_data(data: ConfigDict) -> ConfigDict:
    """The config's `data` branch for other data than its own, which a run is evaluated on.

    Its rules are about the training set: of them `drop_classes` alone holds elsewhere.
    """
    data = data.copy_and_resolve_references()
    data.update({
        "exclude": (), "keep": (), "drop": (), "group_by": None, "resplit": False, "folds": 0,
        "on_unlabelled": "drop", "allow_leaks": True, "canary": False,
    })  # fmt: skip
    return data


def curate(source: Source, data: ConfigDict, *, complete: bool = True) -> Curated:
    """Measures, cleans, groups and splits the pictures of `source`.

    Args:
      source: Where the pictures come from.
      data: The config's `data` branch.
      complete: Whether these are pictures to train on: each class must be there, and no picture
        under several labels. If not, they are to evaluate on.

    Raises:
      UserError: For whatever the data or the rules get wrong; the functions called here say what.
    """
    given = {record.split for record in source.records} - {""}
    carved = {split for split, key in _FRACTIONS.items() if data[key] and split not in given}
    carved |= {"val"} if data.folds else set()
    blind = leaks.of_copies(source, carved, data.group_by)
    if complete and not data.allow_leaks:
        leaks.refuse(leaks.Leaks((), {}, blind))  # before the pictures are looked at

    pictures, removed, found = _cleaned(source, data, given, complete=complete)
    classes = tuple(name for name in source.classes if name not in data.drop_classes)
    if complete and len(classes) < 2:
        raise UserError(
            f"data.drop_classes={tuple(data.drop_classes)!r} leaves {len(classes)} class: a "
            "classifier needs two or more."
        )
    pictures, units = _divided(pictures, source.classes, classes, data)
    if complete:
        _check_training(pictures.records, classes)
    leaking = leaks.find(pictures, blind)
    if complete and not data.allow_leaks:
        leaks.refuse(leaking)
    scored = None
    if data.canary:
        from bcjax.data.curate import canary

        scored = canary.score(
            pictures.records,
            pictures.measures.histogram,
            units,
            seed=data.split_seed,
            threads=data.threads,
        )
    carving = splits.described(carved, grouped=any(record.group for record in pictures.records))
    notes = (*source.notes, *carving, *_notes(removed, found, leaking, scored))
    return Curated(pictures, classes, removed, found, leaking, scored, carving, notes)


def _cleaned(
    source: Source, data: ConfigDict, given: set[str], *, complete: bool
) -> tuple[Pictures, rules.Removed, Sequence[findings.Finding]]:
    """The pictures that the rules leave, why the others go, and what was found before."""
    measures = measure(source.records, data.threads)
    faults = {
        record.id: fault
        for record, fault in zip(source.records, measures.fault, strict=True)
        if fault
    }
    _check_faults(source, faults, data, complete=complete)
    whole = [i for i, fault in enumerate(measures.fault) if not fault]
    pictures = looked_at([source.records[i] for i in whole], measures[np.array(whole, int)])
    found = findings.find(pictures, max_copies=data.max_copies)

    asked = rules.asked(pictures.records, data, classes=source.classes, complete=complete)
    pictures = pictures.without(asked)
    # Anew: of a contradiction, the wrong picture may be gone.
    left = findings.find(pictures, max_copies=data.max_copies) if asked else found
    dropped = rules.found(pictures.records, left, data, classes=source.classes)
    pictures = pictures.without(dropped)
    if complete:
        rules.check_conflicts(left, pictures.records)
    lost = given - {record.split for record in pictures.records}
    if lost:
        raise UserError(
            f"The rules leave no picture in the split {min(lost, key=SPLITS.index)}: narrow them, "
            "or carve new splits with --config.data.resplit=true."
        )
    return pictures, dict(source.unlabelled) | faults | asked | dropped, found


def _divided(
    pictures: Pictures, before: Sequence[str], classes: Sequence[str], data: ConfigDict
) -> tuple[Pictures, list[tuple[str, str]]]:
    """The pictures with labels among `classes`, groups and splits; and what stays together."""
    label = {old: classes.index(name) for old, name in enumerate(before) if name in classes}
    records = [
        dataclasses.replace(record, label=label[record.label], group=group)
        for record, group in zip(
            pictures.records, grouping.groups(pictures, data.group_by, data.threads), strict=True
        )
    ]
    pictures = dataclasses.replace(pictures, records=records)
    units = grouping.units(pictures)
    records = splits.assign(
        records,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        seed=data.split_seed,
        folds=data.folds,
        fold=data.fold,
        classes=classes,
        units=units,
    )
    return dataclasses.replace(pictures, records=records), units


def _check_faults(
    source: Source, faults: rules.Removed, data: ConfigDict, *, complete: bool
) -> None:
    if not faults:
        return
    shown = "; ".join(f"{name}: {reason}" for name, reason in list(faults.items())[:_NAMED])
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    sentence = f"{len(faults)} of {len(source.records):,} pictures cannot be read ({shown}{more})"
    if data.on_bad_image == "error":
        raise UserError(
            f"{sentence}: mend or delete them, or leave them out with "
            "--config.data.on_bad_image=skip."
        )
    log.warning("%s: left out.", sentence)
    readable = [record for record in source.records if record.id not in faults]
    if complete:
        spared = [n for n in source.classes if n not in data.drop_classes]
        for name in _untrained(readable, source.classes):
            if name in spared:
                raise UserError(
                    f"Class {name!r} has no readable training picture: mend or add some."
                )
    lost = {r.split for r in source.records} - {r.split for r in readable}
    if lost:
        split = min(lost, key=("", *SPLITS).index)
        raise UserError(f"The split {split or 'train'} has no readable picture: mend or add some.")


def _check_training(records: Sequence[Record], classes: Sequence[str]) -> None:
    for name in _untrained(records, classes):
        raise UserError(
            f"The rules leave class {name!r} no training picture: narrow them, or leave the class "
            "out with data.drop_classes."
        )


def _untrained(records: Sequence[Record], classes: Sequence[str]) -> list[str]:
    """The classes without a picture in train, or in what train will be carved out of."""
    trained = {record.label for record in records if record.split in ("", "train")}
    return [name for label, name in enumerate(classes) if label not in trained]


def _notes(
    removed: rules.Removed,
    found: Sequence[findings.Finding],
    leaking: leaks.Leaks,
    scored: "Canary | None",
) -> list[str]:
    notes = [f"{finding.sentence}; datasheet.html shows which." for finding in found]
    if removed:
        left_out = "picture is" if len(removed) == 1 else "pictures are"
        notes.append(f"{len(removed):,} {left_out} left out; skipped.csv says why.")
    if leaking:
        notes.append(f"{leaking.sentence}. This was allowed: the scores are too good.")
    if scored:
        notes.append(scored.sentence)
    return notes
