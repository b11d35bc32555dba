"""Pictures on both sides of a split, which make a score higher than the network deserves."""

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from bcjax.data.curate import mends
from bcjax.data.curate.findings import Finding
from bcjax.data.curate.measured_pictures import MeasuredPictures
from bcjax.data.records import SPLITS, Source
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result

_NAMED = 5  # pairs listed in a message; the rest are counted
_SIGNS = {"same": "=", "near": "~", "group": "and"}


@dataclasses.dataclass(frozen=True)
class Leak:
    """Two pictures of two splits that belong together.

    Attributes:
      kind: "same": equal pixels; "near": nearly the same; "group": of one group.
      ids: Ids of the two; the first lies in the earlier split.
      splits: Their splits.
      group: Their group, if that is what they share.
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
class LeakReport(Result):
    """What the splits of a set share.

    Attributes:
      found: One pair for each two splits that a cluster of copies or a group lies in, and each
        pair that is nearly the same.
      pictures: Number of pictures in val and test that have such a partner in an earlier split.
      blind: A sentence on what leaks without a pair that can be named; "": nothing does.
    """

    found: tuple[Leak, ...]
    pictures: dict[str, int]
    blind: str = ""

    def __bool__(self) -> bool:
        return bool(self.found or self.blind)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as `datasheet.json` has it."""
        return {
            "count": len(self.found),
            "pictures": self.pictures,
            "sentence": self.sentence,
            "found": [dataclasses.asdict(leak) for leak in self.found],
        }

    @classmethod
    def from_dict(cls, sheet: Mapping[str, Any]) -> Self:
        """Returns the report of `datasheet.json`."""
        found = tuple(
            Leak(leak["kind"], tuple(leak["ids"]), tuple(leak["splits"]), leak["group"])
            for leak in sheet["found"]
        )
        return cls(found, sheet["pictures"], "" if found else sheet["sentence"])

    @property
    def sentence(self) -> str:
        """What was found, as a plain sentence; "" for nothing."""
        if not self.found:
            return self.blind
        counts = ", ".join(f"{n:,} of {split}" for split, n in self.pictures.items())
        shown = ", ".join(map(str, self.found[:_NAMED]))
        more = f", and {len(self.found) - _NAMED:,} more" if len(self.found) > _NAMED else ""
        return f"The splits leak (in an earlier split too: {counts}): {shown}{more}"


def leak_of_carved_copies(source: Source, carved: Collection[str], group_by: str | None) -> str:
    """Returns a sentence if splits are carved picture by picture out of augmented copies, else "".

    Args:
      source: A source that may be known to hold copies.
      carved: The splits that the source does not give.
      group_by: The config's `data.group_by`.
    """
    # A picture that was turned by any angle has another hash.
    if not (source.augmented and carved) or group_by not in (None, "hash"):
        return ""
    names = " and ".join(split for split in SPLITS if split in carved)
    return (
        f"{source.location} holds augmented copies of fewer pictures, which would lie on both "
        f"sides of {names}, carved picture by picture"
    )


def find_leaks(pictures: MeasuredPictures, blind: str = "") -> LeakReport:
    """Finds what the splits of `pictures` share: equal pixels, near duplicates, groups.

    Args:
      pictures: Pictures with splits and groups.
      blind: What `leak_of_carved_copies` said of them.
    """
    records, sha256 = pictures.records, pictures.measures.pixel_sha256
    found: list[Leak] = []
    affected: set[int] = set()

    def add_pairs(kind: str, cluster: Sequence[int], group: str = "") -> None:
        by_split: dict[str, list[int]] = defaultdict(list)
        for position in cluster:
            by_split[records[position].split].append(position)
        inside = [split for split in SPLITS if split in by_split]
        for a, b in itertools.combinations(inside, 2):
            ids = (records[by_split[a][0]].id, records[by_split[b][0]].id)
            found.append(Leak(kind, ids, (a, b), group))
        for split in inside[1:]:
            affected.update(by_split[split])

    for cluster in pictures.equal_clusters():
        add_pairs("same", cluster.tolist())
    for a, b in pictures.near_pairs.tolist():
        if sha256[a] != sha256[b]:
            add_pairs("near", (a, b))
    members: dict[str, list[int]] = defaultdict(list)
    for position, record in enumerate(records):
        if record.group:
            members[record.group].append(position)
    for group, positions in members.items():
        add_pairs("group", positions, group)
    counts = Counter(records[position].split for position in affected)
    return LeakReport(
        tuple(found), {split: counts[split] for split in SPLITS if counts[split]}, blind
    )


def refuse_leaks(
    leaks: LeakReport, found: Sequence[Finding] = (), dropped: Sequence[str] = ()
) -> None:
    """Refuses splits that leak.

    Args:
      leaks: What the splits share.
      found: What was found about the pictures.
      dropped: The config's `data.drop`.

    Raises:
      UserError: If there is a leak; the message says what mends it.
    """
    if not leaks:
        return
    kinds = {leak.kind for leak in leaks.found}
    ways = ["carve new splits with --config.data.resplit=true"]
    if leaks.blind:
        ways = ["keep the copies together with --config.data.group_by=copies"]
    elif kinds == {"same"}:
        shared = {id_ for leak in leaks.found for id_ in leak.ids}
        copied = [
            finding.kind
            for finding in found
            if finding.kind in ("copies", "duplicates")
            and any(shared.intersection(cluster) for cluster in finding.clusters)
        ]
        flag = mends.setting("drop", dict.fromkeys((*dropped, *copied)))
        ways.insert(0, f"leave them out with {flag}")
    if leaks.found and "group" not in kinds:
        ways.append("leave one of each pair out with data.exclude")
    ways.append("go on with --allow-leaks")
    raise UserError(f"{leaks.sentence}: {mends.one_of(ways)}.")
