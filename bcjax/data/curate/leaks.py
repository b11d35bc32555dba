"""Pictures on both sides of a split, which make a score better than the network is."""

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from bcjax.data.curate.pictures import Pictures
from bcjax.data.records import SPLITS, Source
from bcjax.runtime.errors import UserError

_NAMED = 5  # pairs listed in a message; the rest are counted
_SIGNS = {"same": "=", "near": "~", "group": "and"}


@dataclasses.dataclass(frozen=True)
class Leak:
    """Two pictures of two splits that belong together.

    Attributes:
      kind: "same": equal pixels; "near": nearly the same; "group": of one group.
      ids: Of the two; the first lies in the split that comes first.
      splits: Where they lie.
      group: Their group, where that is what they share.
    """

    kind: str
    ids: tuple[str, str]
    splits: tuple[str, str]
    group: str = ""

    def __str__(self) -> str:
        (a, b), (at, bt) = self.ids, self.splits
        shared = f" of group {self.group!r}" if self.group else ""
        return f"{a} ({at}) {_SIGNS[self.kind]} {b} ({bt}){shared}"


@dataclasses.dataclass(frozen=True)
class Leaks:
    """What a split leaks.

    Attributes:
      found: For each cluster of copies and each group one pair of each two splits it lies in; and
        each pair that is nearly the same.
      pictures: How many pictures of val and test have such a partner in an earlier split.
      blind: What leaks without a pair to name, plainly; "": nothing.
    """

    found: tuple[Leak, ...]
    pictures: dict[str, int]
    blind: str = ""

    def __bool__(self) -> bool:
        return bool(self.found or self.blind)

    @property
    def sentence(self) -> str:
        """What was found, plainly; "" for nothing."""
        if not self.found:
            return self.blind
        counts = ", ".join(f"{n:,} of {split}" for split, n in self.pictures.items())
        shown = ", ".join(map(str, self.found[:_NAMED]))
        more = f", and {len(self.found) - _NAMED:,} more" if len(self.found) > _NAMED else ""
        return f"The splits leak (in an earlier split too: {counts}): {shown}{more}"


def of_copies(source: Source, carved: Collection[str], group_by: str | None) -> str:
    """Says that splits carved picture by picture out of augmented copies leak; "" if none is.

    Args:
      source: Perhaps known to hold copies.
      carved: The splits that the source does not name itself.
      group_by: The config's `data.group_by`.
    """
    # The hash of a picture that was turned by any angle is another one.
    if not (source.augmented and carved) or group_by not in (None, "hash"):
        return ""
    names = " and ".join(split for split in SPLITS if split in carved)
    return (
        f"{source.location} holds augmented copies of fewer pictures, which would lie on both "
        f"sides of {names}, carved picture by picture"
    )


def find(pictures: Pictures, blind: str = "") -> Leaks:
    """Finds what the splits of `pictures` share: equal pixels, near duplicates, groups."""
    records, sha256 = pictures.records, pictures.measures.pixel_sha256
    found: list[Leak] = []
    affected: set[int] = set()

    def look(kind: str, cluster: Sequence[int], group: str = "") -> None:
        homes: dict[str, list[int]] = defaultdict(list)
        for position in cluster:
            homes[records[position].split].append(position)
        inside = [split for split in SPLITS if split in homes]
        for a, b in itertools.combinations(inside, 2):
            ids = (records[homes[a][0]].id, records[homes[b][0]].id)
            found.append(Leak(kind, ids, (a, b), group))
        for split in inside[1:]:
            affected.update(homes[split])

    for cluster in pictures.equal():
        look("same", cluster.tolist())
    for a, b in pictures.near.tolist():
        if sha256[a] != sha256[b]:
            look("near", (a, b))
    members: dict[str, list[int]] = defaultdict(list)
    for position, record in enumerate(records):
        if record.group:
            members[record.group].append(position)
    for group, positions in members.items():
        look("group", positions, group)
    counts = Counter(records[position].split for position in affected)
    return Leaks(tuple(found), {split: counts[split] for split in SPLITS if counts[split]}, blind)


def refuse(leaks: Leaks) -> None:
    """Raises what a leak that is not allowed deserves, with what mends it.

    Raises:
      UserError: If there is one.
    """
    if not leaks:
        return
    kinds = {leak.kind for leak in leaks.found}
    if leaks.blind:
        mends = "keep the copies together with --config.data.group_by=copies"
    elif kinds == {"same"}:
        mends = (
            "leave them out with --config.data.drop=duplicates, carve new splits with "
            "--config.data.resplit=true"
        )
    else:
        mends = "carve new splits with --config.data.resplit=true"
    raise UserError(f"{leaks.sentence}: {mends}, or go on with --allow-leaks.")
