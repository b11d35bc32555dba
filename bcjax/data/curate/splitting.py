"""Train, val and test: which pictures belong together, and how missing splits are carved out."""

import dataclasses
import random
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import scipy
from jaxtyping import Float, Int

from bcjax.config import nearest
from bcjax.data.curate import mends, near_duplicates
from bcjax.data.curate.measured_pictures import MeasuredPictures, Positions, clusters_of_equal
from bcjax.data.curate.near_duplicates import Pairs
from bcjax.data.records import SPLITS, Record
from bcjax.runtime.errors import UserError

SplitUnit = tuple[str, str]  # ("group", its name) or ("picture", its id)

_NO_PAIRS = np.empty((0, 2), np.int64)
_FORMS = "column:NAME, regex:PATTERN, hash or copies"


def group_of_each(
    pictures: MeasuredPictures, group_by: str | None, threads: int | None = None
) -> list[str]:
    """Returns the group of each picture; "" for a picture that belongs to none.

    Args:
      pictures: All pictures of the set.
      group_by: The config's `data.group_by`. None: the source's own groups. "column:NAME": the cell
        in that column of the source's table. "regex:PATTERN": what the pattern's first group
        matches in the id. "hash": the source's groups, joined with near duplicates. "copies": the
        source's groups, joined with `augmented_copies` of one original.
      threads: Threads that decode pictures for "copies"; None: one for each core.

    Raises:
      UserError: If `group_by` is none of these, or a record lacks the column or does not match.
    """
    records = pictures.records
    if group_by is None:
        return [record.group for record in records]
    how, _, what = group_by.partition(":")
    if how == "column" and what:
        return [_cell_in_column(record, what) for record in records]
    if how == "regex" and what:
        return _matches(records, what)
    if group_by == "hash":
        return _joined_groups(pictures)
    if group_by == "copies":
        return _joined_groups(pictures, _copy_pairs(pictures, threads))
    raise UserError(
        f"data.group_by is {group_by!r}: write {_FORMS}"
        f"{nearest(group_by, ['column:', 'regex:', 'hash', 'copies'])}"
    )


def units_of(pictures: MeasuredPictures) -> list[SplitUnit]:
    """Returns a key for each picture, equal for pictures that a carved split keeps together.

    These are pictures of one group, exact copies, and near duplicates, or pictures that are linked
    by several such steps.
    """
    own = [unit_of(record) for record in pictures.records]
    numbers = _linked_numbers(pictures)
    least: dict[int, SplitUnit] = {}
    for key, number in zip(own, numbers, strict=True):
        least[number] = min(key, least.get(number, key))
    return [least[number] for number in numbers]


def _cell_in_column(record: Record, name: str) -> str:
    value = record.columns.get(name, record.group if name == "group" else "")
    if not value:
        known = [*record.columns, *(["group"] if record.group else [])]
        raise UserError(
            f"data.group_by is 'column:{name}', but {record.id} has nothing there: name another "
            f"column (the source has {', '.join(known) or 'none'}), fill it in, or leave such "
            f"pictures out with data.exclude{nearest(name, known)}"
        )
    return value


def _matches(records: Sequence[Record], pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"data.group_by has the pattern {pattern!r}: {error}.") from error
    if not compiled.groups:
        raise UserError(
            f"data.group_by has the pattern {pattern!r}: put the part that names the group in "
            "parentheses."
        )
    groups = []
    for record in records:
        match = compiled.search(record.id)
        if not match or not match[1]:
            raise UserError(
                f"data.group_by has the pattern {pattern!r}, which finds nothing in {record.id!r}: "
                "widen it, or leave such pictures out with data.exclude."
            )
        groups.append(match[1])
    return groups


class _DecodedPictures(Sequence[np.ndarray]):
    """The pixels of records, decoded when they are read."""

    def __init__(self, records: Sequence[Record]):
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, position):
        return self._records[position].pixels()


def _copy_pairs(pictures: MeasuredPictures, threads: int | None) -> Pairs:
    from bcjax.data.curate import augmented_copies

    numbers = augmented_copies.group_copies(_DecodedPictures(pictures.records), threads=threads)
    return _chains(clusters_of_equal(numbers))


def _joined_groups(pictures: MeasuredPictures, pairs: Pairs = _NO_PAIRS) -> list[str]:
    """Returns groups of linked pictures, named after a group of the source or the first id."""
    names: dict[int, list[tuple[bool, str]]] = {}
    numbers = _linked_numbers(pictures, pairs)
    for record, number in zip(pictures.records, numbers, strict=True):
        names.setdefault(number, []).append((not record.group, record.group or record.id))
    return [
        min(names[number])[1] if len(names[number]) > 1 or record.group else ""
        for record, number in zip(pictures.records, numbers, strict=True)
    ]


def _linked_numbers(pictures: MeasuredPictures, pairs: Pairs = _NO_PAIRS) -> list[int]:
    """Returns a number for each picture, equal if they are of one group, alike, or in `pairs`."""
    grouped = np.unique([repr(unit_of(r)) for r in pictures.records], return_inverse=True)[1]
    links = [
        pictures.near_pairs,
        pairs,
        _chains(pictures.equal_clusters()),
        _chains(clusters_of_equal(grouped)),
    ]
    return near_duplicates.connected_labels(len(pictures), np.concatenate(links)).tolist()


def _chains(alike: Sequence[Positions]) -> Pairs:
    """Returns pairs that link the pictures of each cluster, one fewer than it has members."""
    return np.concatenate([_NO_PAIRS, *(np.stack([c[:-1], c[1:]], 1) for c in alike)])


def assign_splits(
    records: Sequence[Record],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int = 0,
    fold: int = 0,
    classes: Sequence[str] = (),
    dropped: Sequence[str] = (),
    units: Sequence[SplitUnit] = (),
) -> list[Record]:
    """Returns the records with a split each; a split that the source gives is kept as it is.

    A split that the source lacks is carved out of its train pictures, or of all pictures where it
    gives no splits: by class, by group, and independently of the order of `records`.

    Args:
      records: Pictures of which either all name a split, or none does.
      val_fraction: Share of val, in [0, 1); 0: no val. Ignored where the source gives val.
      test_fraction: Share of test, likewise; the sum of both is less than 1.
      seed: Seed of the carving; the same seed and records give the same splits.
      folds: Number of parts for cross-validation into which everything but test is divided; 0:
        none. A val that the source gives is divided too, and `val_fraction` is ignored.
      fold: The part that is val, from 0; the others are train.
      classes: Class names in label order, for the messages.
      dropped: Names of classes that were left out before, likewise.
      units: A key for each record, equal for those that stay together; (): their groups.

    Returns:
      The records in the order given.

    Raises:
      UserError: If the fractions leave no train, some records name a split and some do not, none
        names train, or a class has too few pictures (or groups) for each split that is carved.
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
    pool: dict[SplitUnit, list[Record]] = defaultdict(list)
    for record, key in zip(records, units or map(unit_of, records), strict=True):
        if record.split in divided:
            pool[key].append(record)
    carved = {split: share for split, share in fractions.items() if share and not given[split]}
    split_of: dict[str, str] = {}
    if pool and folds:
        test = {"test": test_fraction} if "test" in carved else {}
        rest = (1 - sum(test.values())) / folds
        parts = {f"fold {i}": rest for i in range(folds)}
        split_of = _carve(pool, parts | test, seed, classes, dropped)
        meaning = {"test": "test", f"fold {fold}": "val"}
        split_of = {id_: meaning.get(part, "train") for id_, part in split_of.items()}
    elif pool and carved:
        split_of = _carve(
            pool, {"train": 1 - sum(carved.values()), **carved}, seed, classes, dropped
        )
    return [
        dataclasses.replace(record, split=split_of.get(record.id) or record.split or "train")
        for record in records
    ]


def carving_notes(carved: Collection[str], *, grouped: bool) -> tuple[str, ...]:
    """Returns sentences on how the splits `carved` were made; () if none was."""
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
            "others do: give every picture a split, or none, or carve new splits with "
            "--config.data.resplit=true"
        )
    if records and not given[""] and not given["train"]:
        raise UserError(
            f"the pictures are marked {' and '.join(given)} only: mark some of them train, or "
            "carve new splits with --config.data.resplit=true"
        )


def unit_of(record: Record) -> SplitUnit:
    """Returns what a split keeps together: a record's group, or the record by itself."""
    return ("group", record.group) if record.group else ("picture", record.id)


def _carve(
    units: Mapping[SplitUnit, Sequence[Record]],
    shares: Mapping[str, float],
    seed: int,
    classes: Sequence[str],
    dropped: Sequence[str],
) -> dict[str, str]:
    """Returns the split of each record by its id: no unit divided, every class in each split."""
    keys = sorted(units)
    labels = sorted({record.label for unit in units.values() for record in unit})
    column = {label: k for k, label in enumerate(labels)}
    rows = np.repeat(np.arange(len(keys)), [len(units[key]) for key in keys])
    columns = [column[record.label] for key in keys for record in units[key]]
    # Sparse: a unit has pictures of few classes, and a table of a million by 1,000 takes 8 GB.
    counts = scipy.sparse.csr_array(
        (np.ones(len(rows), np.int64), (rows, columns)), (len(keys), len(labels))
    )
    counts.sum_duplicates()

    units_with = np.bincount(counts.indices, minlength=len(labels))
    # Groups of several classes can be dealt out in an order that leaves a split without a class.
    for attempt in range(20 if units_with.min() >= len(shares) else 1):
        order = random.Random(f"{seed}/{attempt}").sample(range(len(keys)), len(keys))
        dealt, have = _deal(counts[order], list(shares.values()))
        if have.all():
            break
    else:
        k = int((have == 0).any(0).argmax())
        name = classes[labels[k]] if classes else str(labels[k])
        pictures = int(counts.sum(0)[k])
        ways = [
            "add pictures",
            *mends.dropping(name, (*classes, *dropped), dropped),
            "merge it with another class",
        ]
        raise UserError(
            f"class {name!r} is too small to be in each of {', '.join(shares)} (pictures: "
            f"{pictures}{f', in groups: {units_with[k]}' * bool(units_with[k] < pictures)}): "
            f"{mends.one_of([*ways, *_fewer_parts(list(shares), int(units_with[k]))])}"
        )
    names = list(shares)
    return {
        record.id: names[split]
        for i, split in zip(order, dealt, strict=True)
        for record in units[keys[i]]
    }


def _fewer_parts(parts: Sequence[str], units: int) -> list[str]:
    """Returns how to cut fewer parts, so that a class of `units` pictures or groups is in each."""
    if units >= len(parts):  # by another order, each part may get one
        return ["try another data.split_seed"]
    folds = [part for part in parts if part.startswith("fold")]
    fractions = [f"data.{part}_fraction" for part in parts if part in ("val", "test")]
    if folds:
        left = units - len(fractions)
        return [f"cut {left} data.folds" + (" or fewer" if left > 2 else "")] if left >= 2 else []
    join = " or " if units == len(parts) - 1 else " and "
    return [f"set {join.join(fractions)} to 0"]


def _deal(
    counts: "scipy.sparse.csr_array", shares: Sequence[float]
) -> tuple[Int[np.ndarray, "U"], Float[np.ndarray, "S K"]]:
    """Deals units of pictures out to splits, so that each split gets its share of each class.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of
    multi-label data"): the units with the rarest class go first, each to the split that it fills
    the least. Unlike the splitters of scikit-learn it takes any shares with groups, and leaves no
    split without a rare class that has a unit for each.

    Args:
      counts: int (U, K), the pictures of each class in each unit; no row or column is all 0.
      shares: The shares of S splits, of sum 1.

    Returns:
      The split of each unit, int (U,), and the pictures of each class in each split, (S, K).
    """
    units_with = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = np.minimum.reduceat(units_with[counts.indices], counts.indptr[:-1])
    # Python's numbers: most units are one picture, and arrays of one number are slow.
    classes, pictures = counts.indices.tolist(), counts.data.tolist()
    starts, left = counts.indptr.tolist(), units_with.tolist()  # units still to be dealt out
    wanted = np.outer(shares, counts.sum(0)).tolist()
    have = [[0.0] * len(left) for _ in shares]
    dealt = np.zeros(counts.shape[0], np.int64)
    for i in np.argsort(rarity, kind="stable").tolist():
        own = slice(starts[i], starts[i + 1])
        inside = list(zip(classes[own], pictures[own], strict=True))
        # The last units with a class are kept for the splits that still lack it.
        lacking = {k: [row[k] == 0 for row in have] for k, _ in inside}
        scarce = [k for k, _ in inside if left[k] <= sum(lacking[k])]
        due = [s for s in range(len(have)) if any(lacking[k][s] for k in scarce)]
        fullness = {
            s: max((have[s][k] + count) / wanted[s][k] for k, count in inside)
            for s in due or range(len(have))
        }
        dealt[i] = split = min(fullness, key=fullness.__getitem__)
        for k, count in inside:
            have[split][k] += count
            left[k] -= 1
    return dealt, np.array(have)
