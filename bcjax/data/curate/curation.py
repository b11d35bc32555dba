"""From a source to pictures that can be trusted: measured, cleaned, grouped, split and checked."""

import dataclasses
import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from bcjax.data.curate import findings, leaks, mends, splitting
from bcjax.data.curate.findings import Finding, RemovalReasons
from bcjax.data.curate.leaks import LeakReport
from bcjax.data.curate.measured_pictures import MeasuredPictures, measure
from bcjax.data.curate.splitting import SplitUnit
from bcjax.data.decode import first_frames
from bcjax.data.records import SPLITS, Record, Source
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.data.curate.canary import Canary

log = logging.getLogger("bcjax")

_NAMED = 5  # bad pictures listed in a message; the rest are counted
_FRACTIONS = {"val": "val_fraction", "test": "test_fraction"}


@dataclasses.dataclass(frozen=True)
class CuratedPictures:
    """What is left of a source, and what was found out about it.

    Attributes:
      pictures: The pictures that stay, in the source's order, each with its split and its group.
      classes: Class names in label order.
      removed: Why each other picture was left out, by id.
      found: What was found about all pictures that can be decoded.
      leaks: What the splits share.
      canary: The score of a model that sees only colours; None if it was not asked for.
      carving: Sentences on how splits were made that the source does not give.
      notes: Sentences on all this that the user should see.
    """

    pictures: MeasuredPictures
    classes: tuple[str, ...]
    removed: RemovalReasons
    found: Sequence[Finding]
    leaks: LeakReport
    canary: "Canary | None"
    carving: tuple[str, ...]
    notes: tuple[str, ...]


def without_training_rules(data: ConfigDict) -> ConfigDict:
    """Returns the config's `data` branch for other data than the training set, to evaluate on.

    The rules are about the training set: only `drop_classes` applies elsewhere too.
    """
    data = data.copy_and_resolve_references()
    data.update({
        "exclude": (), "keep": (), "drop": (), "group_by": None, "resplit": False, "folds": 0,
        "on_unlabelled": "drop", "allow_leaks": True, "canary": False,
    })  # fmt: skip
    return data


def curate(source: Source, data: ConfigDict, *, complete: bool = True) -> CuratedPictures:
    """Measures, cleans, groups and splits the pictures of `source`.

    Args:
      source: Pictures from anywhere.
      data: The config's `data` branch.
      complete: Whether the pictures are to train on: each class must occur, and no picture under
        several labels. If not, they are to evaluate on.

    Raises:
      UserError: If the data or the rules are wrong in one of the ways that `findings`, `leaks` and
        `splitting` name.
    """
    given = {record.split for record in source.records} - {""}
    carved = {split for split, key in _FRACTIONS.items() if data[key] and split not in given}
    carved |= {"val"} if data.folds else set()
    blind = leaks.leak_of_carved_copies(source, carved, data.group_by)
    if complete and not data.allow_leaks:
        leaks.refuse_leaks(LeakReport((), {}, blind))  # before the pictures are measured

    pictures, removed, found = _clean(source, data, given, complete=complete)
    classes = tuple(name for name in source.classes if name not in data.drop_classes)
    if complete and len(classes) < 2:
        raise UserError(
            f"data.drop_classes={tuple(data.drop_classes)!r} leaves {len(classes)} class: a "
            "classifier needs two or more, so drop fewer."
        )
    pictures, units = _divide(pictures, source.classes, classes, data)
    if complete:
        _check_training(pictures.records, classes, data.drop_classes)
    leaking = leaks.find_leaks(pictures, blind)
    if complete and not data.allow_leaks:
        leaks.refuse_leaks(leaking, found, data.drop)
    scored = None
    if data.canary:
        from bcjax.data.curate import canary

        scored = canary.score_canary(
            pictures.records,
            pictures.measures.histogram,
            units,
            seed=data.split_seed,
            threads=data.threads,
        )
    carving = splitting.carving_notes(
        carved, grouped=any(record.group for record in pictures.records)
    )
    found_out = _notes(removed, found, leaking, scored)
    notes = (*source.notes, *carving, *_frame_notes(pictures), *found_out)
    return CuratedPictures(pictures, classes, removed, found, leaking, scored, carving, notes)


def _clean(
    source: Source, data: ConfigDict, given: set[str], *, complete: bool
) -> tuple[MeasuredPictures, RemovalReasons, Sequence[Finding]]:
    """Returns the pictures that the rules leave, why the others go, and what was found."""
    pictures, faults = _readable(source, data, complete=complete)
    found = findings.find_remarkable(pictures, max_copies=data.max_copies)

    named = findings.removed_by_name(
        pictures.records, data, classes=source.classes, complete=complete
    )
    pictures = pictures.without(named)
    # Again: of a contradiction, the wrong picture may be gone.
    left = findings.find_remarkable(pictures, max_copies=data.max_copies) if named else found
    dropped = findings.removed_by_finding(pictures.records, left, data, classes=source.classes)
    pictures = pictures.without(dropped)
    if complete:
        findings.check_conflicts(left, pictures.records, data.drop)
    lost = given - {record.split for record in pictures.records}
    if lost:
        raise UserError(
            f"The rules leave no picture in the split {min(lost, key=SPLITS.index)}: narrow them, "
            "or carve new splits with --config.data.resplit=true."
        )
    return pictures, dict(source.unlabelled) | faults | named | dropped, found


def _readable(
    source: Source, data: ConfigDict, *, complete: bool
) -> tuple[MeasuredPictures, RemovalReasons]:
    """Returns the pictures that can be decoded, and why the others cannot."""
    measures = measure(source.records, data.threads)
    whole = measures.fault == ""
    faulty = itertools.compress(source.records, ~whole)
    faults = {r.id: why for r, why in zip(faulty, measures.fault[~whole], strict=True)}
    _check_faults(source, faults, data, complete=complete)
    if faults:
        records = list(itertools.compress(source.records, whole))
        return MeasuredPictures.from_measures(records, measures[whole]), faults
    return MeasuredPictures.from_measures(source.records, measures), faults


def _divide(
    pictures: MeasuredPictures, before: Sequence[str], classes: Sequence[str], data: ConfigDict
) -> tuple[MeasuredPictures, list[SplitUnit]]:
    """Returns the pictures with labels in `classes`, groups and splits, and what stays together."""
    label = {old: classes.index(name) for old, name in enumerate(before) if name in classes}
    groups = splitting.group_of_each(pictures, data.group_by, data.threads)
    records = [
        record
        if (record.label, record.group) == (label[record.label], group)
        else dataclasses.replace(record, label=label[record.label], group=group)
        for record, group in zip(pictures.records, groups, strict=True)
    ]
    pictures = dataclasses.replace(pictures, records=records)
    units = splitting.units_of(pictures)
    records = splitting.assign_splits(
        records,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        seed=data.split_seed,
        folds=data.folds,
        fold=data.fold,
        classes=classes,
        dropped=data.drop_classes,
        units=units,
    )
    return dataclasses.replace(pictures, records=records), units


def _check_faults(
    source: Source, faults: RemovalReasons, data: ConfigDict, *, complete: bool
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
        for name in _untrained(readable, source.classes):
            if name not in data.drop_classes:
                ways = mends.dropping(name, source.classes, data.drop_classes)
                raise UserError(
                    f"Class {name!r} has no readable training picture: "
                    f"{mends.one_of(['mend or add some', *ways])}."
                )
    lost = {r.split for r in source.records} - {r.split for r in readable}
    if lost:
        split = min(lost, key=("", *SPLITS).index)
        anew = "" if not split else ", or carve new splits with --config.data.resplit=true"
        raise UserError(
            f"The split {split or 'train'} has no readable picture: mend or add some{anew}."
        )


def _check_training(
    records: Sequence[Record], classes: Sequence[str], dropped: Sequence[str]
) -> None:
    for name in _untrained(records, classes):
        ways = ["narrow them", *mends.dropping(name, (*classes, *dropped), dropped)]
        raise UserError(
            f"The rules leave class {name!r} no training picture: {mends.one_of(ways)}."
        )


def _untrained(records: Sequence[Record], classes: Sequence[str]) -> list[str]:
    """Returns the classes without a picture in train, or in what train will be carved out of."""
    trained = {record.label for record in records if record.split in ("", "train")}
    return [name for label, name in enumerate(classes) if label not in trained]


def _frame_notes(pictures: MeasuredPictures) -> list[str]:
    counts = zip(pictures.records, pictures.measures.frames, strict=True)
    several = [record.id for record, frames in counts if frames > 1]
    return [first_frames(several)] if several else []


def _notes(
    removed: RemovalReasons,
    found: Sequence[Finding],
    leaking: LeakReport,
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
