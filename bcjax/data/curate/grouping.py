"""Which pictures belong together, so that no split may divide them."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from bcjax.config import nearest
from bcjax.data import decode
from bcjax.data.curate import near
from bcjax.data.curate.pictures import Cluster, Pictures, clusters
from bcjax.data.records import Record
from bcjax.data.splits import unit
from bcjax.runtime.errors import UserError

Pairs = Int[np.ndarray, "P 2"]
_NONE = np.empty((0, 2), np.int64)
_FORMS = "column:NAME, regex:PATTERN, hash or copies"


def groups(pictures: Pictures, group_by: str | None, threads: int | None = None) -> list[str]:
    """Returns the group of each picture; "" for one that stands alone.

    Args:
      pictures: All of them.
      group_by: None: as the source says. "column:NAME": what the source's table says there.
        "regex:PATTERN": what the pattern's first group finds in the id. "hash": those nearly the
        same, and "copies": those that `copies` tells to be augmented copies of one original, each
        together with what the source says.
      threads: That decode pictures for "copies".

    Raises:
      UserError: If it is none of these, or a record lacks the column or does not match.
    """
    records = pictures.records
    if group_by is None:
        return [record.group for record in records]
    how, _, what = group_by.partition(":")
    if how == "column" and what:
        return [_column(record, what) for record in records]
    if how == "regex" and what:
        return _matched(records, what)
    if group_by == "hash":
        return _merged(pictures)
    if group_by == "copies":
        return _merged(pictures, _copies(pictures, threads))
    raise UserError(
        f"data.group_by is {group_by!r}: write {_FORMS}"
        f"{nearest(group_by, ['column:', 'regex:', 'hash', 'copies'])}"
    )


def units(pictures: Pictures) -> list[tuple[str, str]]:
    """Returns what a carved split keeps together: a key for each picture, equal for those.

    They are of one group, exact copies, or nearly the same; or linked by several such steps.
    """
    own = [unit(record) for record in pictures.records]
    member = _linked(pictures)
    least: dict[int, tuple[str, str]] = {}
    for key, number in zip(own, member, strict=True):
        least[number] = min(key, least.get(number, key))
    return [least[number] for number in member]


def _column(record: Record, name: str) -> str:
    value = record.columns.get(name, record.group if name == "group" else "")
    if not value:
        known = [*record.columns, *(["group"] if record.group else [])]
        raise UserError(
            f"data.group_by is 'column:{name}', but {record.id} has nothing there: the source has "
            f"{', '.join(known) or 'no columns'}{nearest(name, known)}"
        )
    return value


def _matched(records: Sequence[Record], pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"data.group_by has the pattern {pattern!r}: {error}.") from error
    if not compiled.groups:
        raise UserError(
            f"data.group_by has the pattern {pattern!r}: put what names the group in parentheses."
        )
    found = []
    for record in records:
        match = compiled.search(record.id)
        if not match or not match[1]:
            raise UserError(
                f"data.group_by has the pattern {pattern!r}, which finds nothing in {record.id!r}: "
                "widen it."
            )
        found.append(match[1])
    return found


class _Decoded(Sequence[np.ndarray]):
    """The pixels of records, decoded when they are asked for."""

    def __init__(self, records: Sequence[Record]):
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, position):
        return decode.decode(self._records[position].read())


def _copies(pictures: Pictures, threads: int | None) -> Pairs:
    from bcjax.data.curate import copies

    member = copies.group_copies(_Decoded(pictures.records), threads=threads)
    return _chains(clusters(member))


def _merged(pictures: Pictures, pairs: Pairs = _NONE) -> list[str]:
    """Groups of linked pictures, named by a group that the source names, or by their first id."""
    names: dict[int, list[tuple[bool, str]]] = {}
    member = _linked(pictures, pairs)
    for record, number in zip(pictures.records, member, strict=True):
        names.setdefault(number, []).append((not record.group, record.group or record.id))
    return [
        min(names[number])[1] if len(names[number]) > 1 or record.group else ""
        for record, number in zip(pictures.records, member, strict=True)
    ]


def _linked(pictures: Pictures, pairs: Pairs = _NONE) -> list[int]:
    """A number for each picture, equal for those of one group, alike, or in `pairs`."""
    grouped = np.unique([repr(unit(r)) for r in pictures.records], return_inverse=True)[1]
    links = [pictures.near, pairs, _chains(pictures.equal()), _chains(clusters(grouped))]
    return near.clusters(len(pictures), np.concatenate(links)).tolist()


def _chains(alike: Sequence[Cluster]) -> Pairs:
    """Pairs that link each cluster: one fewer than it has members."""
    return np.concatenate([_NONE, *(np.stack([c[:-1], c[1:]], 1) for c in alike)])
