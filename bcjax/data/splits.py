"""Train, val and test: what sources call them, and how those that a source lacks are carved out."""

import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bcjax.data.records import SPLITS, Record
from bcjax.runtime.errors import UserError

_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def named(word: str) -> str | None:
    """The split that `word` means, in any case: "train", "val", "test", or None."""
    return _WORDS.get(word.strip().lower())


def assign(
    records: Sequence[Record],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int = 0,
    fold: int = 0,
    classes: Sequence[str] = (),
    units: Sequence[tuple[str, str]] = (),
) -> list[Record]:
    """Fills in the split of every record; a split that the source gives is kept as it is.

    What the source lacks is carved out of its train pictures, or of all pictures where it says
    nothing: by class, by group, and independently of the order of `records`.

    Args:
      records: Either all of them name a split, or none does.
      val_fraction: Share in [0, 1) of the divided pictures; 0: no val. Ignored where val is given.
      test_fraction: The same for test; together they leave something to train on.
      seed: The same seed and records give the same splits.
      folds: Into how many parts what is not test is cut for cross-validation; 0: it is not. A val
        that the source gives is cut up too, and `val_fraction` is ignored.
      fold: Which of them is val, from 0; the others are train.
      classes: Names in label order, for the messages.
      units: A key for each record, equal for those that stay together; (): their groups.

    Returns:
      The records in the order given.

    Raises:
      UserError: The fractions leave no train; some records name a split and some do not, or none
        names train; or a class has too few pictures (or groups) to be in each split that is carved.
    """
    fractions = {"val": val_fraction, "test": test_fraction}
    if min(fractions.values()) < 0 or sum(fractions.values()) >= 1:
        raise UserError(
            f"data.val_fraction={val_fraction:g} and data.test_fraction={test_fraction:g} must be "
            "0 or more and together less than 1, so that pictures are left to train on"
        )
    given = Counter(record.split for record in records)
    _check_given(records, given)

    divided = ("", "train", "val") if folds else ("", "train")
    pool: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record, key in zip(records, units or map(unit, records), strict=True):
        if record.split in divided:
            pool[key].append(record)
    carved = {split: share for split, share in fractions.items() if share and not given[split]}
    split_of: dict[str, str] = {}
    if pool and folds:
        test = {"test": test_fraction} if "test" in carved else {}
        rest = (1 - sum(test.values())) / folds
        parts = {f"fold {i}": rest for i in range(folds)}
        split_of = _carve(pool, parts | test, seed, classes)
        meaning = {"test": "test", f"fold {fold}": "val"}
        split_of = {id_: meaning.get(part, "train") for id_, part in split_of.items()}
    elif pool and carved:
        split_of = _carve(pool, {"train": 1 - sum(carved.values()), **carved}, seed, classes)
    return [
        dataclasses.replace(record, split=split_of.get(record.id) or record.split or "train")
        for record in records
    ]


def described(carved: Collection[str], *, grouped: bool) -> tuple[str, ...]:
    """Says how the splits `carved` were made; () if none was."""
    if not carved:
        return ()
    how = (
        "group by group."
        if grouped
        else "picture by picture, with equal and nearly equal ones together: a patient's other "
        "pictures may lie on both sides unless the source, or data.group_by, names groups."
    )
    names = [split for split in SPLITS if split in carved]
    return (f"The source names no {' or '.join(names)} split: made {how}",)


def _check_given(records: Sequence[Record], given: Mapping[str, int]) -> None:
    if given[""] and given[""] < len(records):
        silent = next(record.id for record in records if not record.split)
        raise UserError(
            f"{given['']} of {len(records)} pictures name no split ({silent}, ...) though the "
            "others do: give every picture a split, or none"
        )
    if records and not given[""] and not given["train"]:
        raise UserError(
            f"the pictures are marked {' and '.join(given)} only: mark some of them train, "
            "or leave the splits out to have them carved"
        )


def unit(record: Record) -> tuple[str, str]:
    """What a split keeps together: a record's group, or the record by itself."""
    return ("group", record.group) if record.group else ("picture", record.id)


def _carve(
    units: Mapping[tuple[str, str], Sequence[Record]],
    shares: Mapping[str, float],
    seed: int,
    classes: Sequence[str],
) -> dict[str, str]:
    """Maps the id of each record of `units` to a split: no unit divided, every class in each."""
    keys = sorted(units)
    labels = sorted({record.label for unit in units.values() for record in unit})
    column = {label: k for k, label in enumerate(labels)}
    counts = np.zeros((len(keys), len(labels)), np.int64)
    for row, key in zip(counts, keys, strict=True):
        np.add.at(row, [column[record.label] for record in units[key]], 1)

    spread = (counts > 0).sum(0)
    # Groups of several classes can be dealt out in an order that leaves a class no way.
    for attempt in range(20 if spread.min() >= len(shares) else 1):
        order = random.Random(f"{seed}/{attempt}").sample(range(len(keys)), len(keys))
        dealt, have = _deal(counts[order], list(shares.values()))
        if have.all():
            break
    else:
        k = int((have == 0).any(0).argmax())
        name = repr(classes[labels[k]]) if classes else str(labels[k])
        pictures = int(counts[:, k].sum())
        raise UserError(
            f"class {name} is too small to be in each of {', '.join(shares)} (pictures: {pictures}"
            + (f", in groups: {spread[k]}" if spread[k] < pictures else "")
            + "): add pictures, merge the class with another, set data.val_fraction or "
            "data.test_fraction to 0, or cut fewer data.folds"
        )
    names = list(shares)
    return {
        record.id: names[split]
        for i, split in zip(order, dealt, strict=True)
        for record in units[keys[i]]
    }


def _deal(counts: np.ndarray, shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Deals units of pictures out to splits, so that each split gets its share of each class.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of
    multi-label data"): the units with the rarest class go first, each to the split that it fills
    the least. Unlike the splitters of scikit-learn it takes any shares with groups, and leaves no
    split without a rare class that has a unit for each.

    Args:
      counts: int (U, K), the pictures of each class in each unit; no row or column is 0.
      shares: The S shares, of sum 1.

    Returns:
      The split of each unit, int (U,), and the pictures of each class in each split, (S, K).
    """
    left = (counts > 0).sum(0)  # units with each class that are still to be dealt out
    rarity = np.where(counts > 0, left, len(counts)).min(1)
    wanted = np.outer(shares, counts.sum(0))
    have = np.zeros_like(wanted)
    dealt = np.zeros(len(counts), np.int64)
    for i in np.argsort(rarity, kind="stable"):
        inside = counts[i] > 0
        fullness = ((have + counts[i]) / wanted)[:, inside].max(1)
        # The last units with a class are kept for the splits that still lack it.
        lacking = have == 0
        due = lacking[:, inside & (left <= lacking.sum(0))].any(1)
        dealt[i] = np.where(due | ~due.any(), fullness, np.inf).argmin()
        have[dealt[i]] += counts[i]
        left -= inside
    return dealt, have
