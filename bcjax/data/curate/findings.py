"""What is remarkable about a set of pictures, and which pictures the config leaves out.

`FINDING_KINDS` lists what may be found: copies, contradictions, and what is not a cell, each with
its plain name and what mends it. Every picture that is left out has its reason.
"""

import dataclasses
import fnmatch
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict

from bcjax.config import nearest
from bcjax.data.curate import mends
from bcjax.data.curate.measured_pictures import MeasuredPictures, Positions
from bcjax.data.curate.unusual_pictures import unusual_pictures
from bcjax.data.records import Record, normal_form
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result

_TINY = 16  # pixels of the shorter side, on which no nucleus has a shape
_GREY = 2.0  # mean distance between channels; the palest stain has 10 and more
_ODD_ASPECT = 1.5  # times the usual aspect ratio, or that part of it
_ODD_AREA = 4.0  # times the usual area, or that part of it
_ODD_SIGMAS = 5.0  # standard deviations from the usual aspect ratio or area
_NAMED = 5  # pictures listed in a message; the rest are counted


@dataclasses.dataclass(frozen=True)
class FindingKind:
    """One kind of thing that may be remarkable about pictures.

    Attributes:
      title: Its name in plain language.
      predicate: What pictures of this kind are, for a sentence that starts "3 pictures are";
        {max_copies} stands for the config's `data.max_copies`.
      mend: What to do about it.
      droppable: Whether `data.drop` may name it.
    """

    title: str
    predicate: str
    mend: str
    droppable: bool = True


FINDING_KINDS = {
    "conflicts": FindingKind(
        "The same picture under several labels",
        "there under several labels",
        "delete those that are wrong, name them in data.exclude, or leave all of them out with "
        "--config.data.drop=conflicts",
    ),
    "copies": FindingKind(
        "One picture very many times",
        "there more than {max_copies} times: no cell is",
        "leave them out with --config.data.drop=copies",
    ),
    "duplicates": FindingKind(
        "The same picture several times",
        "there several times",
        "keep one of each with --config.data.drop=duplicates",
    ),
    "near": FindingKind(
        "Nearly the same picture several times",
        "there several times, with small differences",
        "keep them on one side of each split with --config.data.group_by=hash",
        droppable=False,
    ),
    "blank": FindingKind(
        "Pictures of one colour",
        "of one colour",
        "leave them out with --config.data.drop=blank",
    ),
    "tiny": FindingKind(
        "Very small pictures",
        f"less than {_TINY} pixels wide or high",
        "leave them out with --config.data.drop=tiny",
    ),
    "odd": FindingKind(
        "Pictures unlike all others",
        "of a size, a shape or a look far from the others'",
        "look at them, and leave them out with --config.data.drop=odd if they are not cells",
    ),
    "grey": FindingKind(
        "Grey pictures among coloured ones",
        "grey among coloured ones",
        "leave them out with --config.data.drop=grey",
    ),
}
DROPPABLE = tuple(name for name, kind in FINDING_KINDS.items() if kind.droppable)

RemovalReasons = dict[str, str]  # id -> reason


@dataclasses.dataclass(frozen=True)
class Finding(Result):
    """Pictures about which something is remarkable.

    Attributes:
      kind: One of `FINDING_KINDS`.
      clusters: Ids of the pictures: those that are alike together, or each by itself.
      sentence: What was found, as a plain sentence.
    """

    kind: str
    clusters: tuple[tuple[str, ...], ...]
    sentence: str

    @property
    def title(self) -> str:
        """The kind's name in plain language."""
        return FINDING_KINDS[self.kind].title

    @property
    def mend(self) -> str:
        """What to do about it."""
        return FINDING_KINDS[self.kind].mend

    @property
    def exclusion(self) -> str:
        """The flag that leaves all of these pictures out; "" where copies are meant to stay."""
        if any(len(cluster) > 1 for cluster in self.clusters):
            return ""
        return mends.setting("exclude", (id_ for cluster in self.clusters for id_ in cluster))


def find_remarkable(pictures: MeasuredPictures, *, max_copies: int) -> list[Finding]:
    """Returns what is remarkable, one finding for each kind that occurs.

    A picture may be in several: 200 copies under 8 labels are both conflicts and copies.

    Args:
      pictures: All pictures of the set.
      max_copies: The config's `data.max_copies`: of a cell there are no more exact copies than
        this.
    """
    label = np.array([record.label for record in pictures.records])
    measures = pictures.measures
    equal = pictures.equal_clusters()
    agreeing = [c for c in equal if len(set(label[c])) == 1]
    tiny = np.minimum(measures.width, measures.height) < _TINY
    grey = ~pictures.blank & (measures.colour < _GREY)
    if 2 * grey.sum() > len(grey):  # in a grey set, grey pictures are not remarkable
        grey[:] = False
    clusters_of: dict[str, list[Positions]] = {
        "conflicts": [c for c in equal if len(set(label[c])) > 1],
        "copies": [c for c in equal if len(c) > max_copies],
        "duplicates": [c for c in agreeing if len(c) <= max_copies],
        "near": pictures.near_clusters(),
        "blank": _singly(np.flatnonzero(pictures.blank)),
        "tiny": _singly(np.flatnonzero(tiny)),
        "odd": _odd(pictures, but_not=tiny | pictures.blank),
        "grey": _singly(np.flatnonzero(grey)),
    }
    return [
        Finding(
            kind,
            tuple(tuple(pictures.records[i].id for i in cluster) for cluster in clusters),
            f"{len(clusters):,} {'pictures are' if len(clusters) > 1 else 'picture is'} "
            + FINDING_KINDS[kind].predicate.format(max_copies=max_copies),
        )
        for kind, clusters in clusters_of.items()
        if clusters
    ]


def _singly(positions: Positions) -> list[Positions]:
    return list(positions[:, None])


def _odd(pictures: MeasuredPictures, but_not: Bool[np.ndarray, "N"]) -> list[Positions]:
    """Returns the pictures of an odd size or shape, then those of an odd look, worst first."""
    width, height = np.log(pictures.measures.width), np.log(pictures.measures.height)
    misshapen = _far(width - height, _ODD_ASPECT) | _far(width + height, _ODD_AREA)
    unusual = unusual_pictures(pictures.measures)
    found = np.concatenate([np.flatnonzero(misshapen), unusual[~misshapen[unusual]]])
    return _singly(found[~but_not[found]])


def _far(logarithm: np.ndarray, factor: float) -> Bool[np.ndarray, "N"]:
    """Returns where a quantity is `factor` times the median, and far outside its usual range."""
    distance = np.abs(logarithm - np.median(logarithm))
    # The standard deviation of normal data, whatever its outliers are.
    sigma = 1.4826 * np.median(distance)
    return distance > max(np.log(factor), _ODD_SIGMAS * sigma)


def removed_by_name(
    records: Sequence[Record], data: ConfigDict, *, classes: Sequence[str], complete: bool = True
) -> RemovalReasons:
    """Returns which pictures `data.exclude` and `data.drop_classes` leave out, and why.

    Args:
      records: All pictures that can be decoded.
      data: The config's `data` branch.
      classes: Class names in label order.
      complete: Whether each class that is dropped must exist.

    Raises:
      UserError: If a pattern matches nothing, a class is unknown, or a rule leaves a class without
        a picture.
    """
    removed = _excluded(records, data.exclude)
    spared = [name for name in classes if name not in data.drop_classes]
    _check_emptied("exclude", data.exclude, records, removed, classes, spared)
    # Other data than the training set's need not have what was dropped there.
    names = [name for name in data.drop_classes if complete or name in classes]
    labels = {_label(name, classes, "drop_classes"): name for name in names}
    dropped = {r.id: f"class {labels[r.label]} dropped" for r in records if r.label in labels}
    return dropped | removed


def removed_by_finding(
    records: Sequence[Record],
    findings: Iterable[Finding],
    data: ConfigDict,
    *,
    classes: Sequence[str],
) -> RemovalReasons:
    """Returns which pictures `data.drop`, and then `data.keep`, leave out, and why.

    Args:
      records: The pictures that `removed_by_name` leaves.
      findings: What was found about these pictures.
      data: The config's `data` branch.
      classes: Class names in label order.

    Raises:
      UserError: If a class or a kind of finding is unknown, a share is not in (0, 1], or a rule
        leaves a class without a picture.
    """
    removed = _dropped(records, findings, data.drop)
    _check_emptied("drop", data.drop, records, removed, classes, classes)
    left = [record for record in records if record.id not in removed]
    return removed | _not_kept(left, classes, data.keep, data.split_seed)


def _check_emptied(
    rule: str,
    value: Sequence[str],
    records: Sequence[Record],
    removed: RemovalReasons,
    classes: Sequence[str],
    spared: Sequence[str],
) -> None:
    left = {record.label for record in records if record.id not in removed}
    emptied = {record.label for record in records} - left
    for label in sorted(emptied):
        if classes[label] in spared:
            dropped = [name for name in classes if name not in spared]
            ways = ["narrow the rule", *mends.dropping(classes[label], classes, dropped)]
            raise UserError(
                f"data.{rule}={tuple(value)!r} leaves no picture of class {classes[label]!r}: "
                f"{mends.one_of(ways)}."
            )


def check_conflicts(
    findings: Iterable[Finding], left: Iterable[Record], dropped: Sequence[str]
) -> None:
    """Refuses pictures that occur under several labels.

    Args:
      findings: What was found about the pictures.
      left: The pictures that the rules leave.
      dropped: The config's `data.drop`.

    Raises:
      UserError: If there are any; the message names the first of them.
    """
    label = {record.id: record.label for record in left}
    clusters = [
        [id_ for id_ in cluster if id_ in label]
        for finding in findings
        if finding.kind == "conflicts"
        for cluster in finding.clusters
    ]
    clusters = [cluster for cluster in clusters if len({label[id_] for id_ in cluster}) > 1]
    if clusters:
        pairs = [
            (cluster[0], next(id_ for id_ in cluster if label[id_] != label[cluster[0]]))
            for cluster in clusters[:_NAMED]
        ]
        shown = ", ".join(f"{a} = {b}" for a, b in pairs)
        more = ", ..." if len(clusters) > _NAMED else ""
        raise UserError(
            f"The same picture is there under several labels ({shown}{more}; {len(clusters):,} in "
            "all): delete those that are wrong, name them in data.exclude, or leave all of them "
            f"out with {mends.setting('drop', (*dropped, 'conflicts'))}."
        )


def _excluded(records: Sequence[Record], patterns: Sequence[str]) -> RemovalReasons:
    ids = [record.id for record in records]
    known = set(ids)
    removed: RemovalReasons = {}
    for pattern in patterns:
        # First literally: names of pictures may contain brackets.
        matched = (
            [pattern]
            if pattern in known
            else [id_ for id_ in ids if fnmatch.fnmatchcase(normal_form(id_), normal_form(pattern))]
        )
        if not matched:
            raise UserError(
                f"data.exclude names {pattern!r}, which is no picture{nearest(pattern, ids)}"
            )
        removed |= dict.fromkeys(matched, f"excluded by {pattern!r}")
    return removed


def _label(name: str, classes: Sequence[str], rule: str) -> int:
    if name not in classes:
        raise UserError(
            f"data.{rule} names {name!r}, which is no class{nearest(name, list(classes))}"
        )
    return classes.index(name)


def _dropped(
    records: Sequence[Record], findings: Iterable[Finding], kinds: Sequence[str]
) -> RemovalReasons:
    for kind in kinds:
        if kind not in DROPPABLE:
            raise UserError(
                f"data.drop names {kind!r}, which is none of {', '.join(DROPPABLE)}"
                f"{nearest(kind, list(DROPPABLE))}"
            )
    split_of = {record.id: record.split for record in records}
    removed: RemovalReasons = {}
    for finding in findings:
        if finding.kind not in kinds:
            continue
        for cluster in finding.clusters:
            left = [id_ for id_ in cluster if id_ in split_of and id_ not in removed]
            kept = _keeper(left, split_of) if finding.kind == "duplicates" and left else None
            reason = f"{finding.kind}: same as {kept}" if kept else finding.kind
            removed |= {id_: reason for id_ in left if id_ != kept}
    return removed


def _keeper(ids: Sequence[str], split_of: dict[str, str]) -> str:
    """Returns which of several copies stays: one in test rather than in val, or else the first.

    So a published test set stays whole, and training loses the copy.
    """
    order = {"test": 0, "val": 1}
    return min(ids, key=lambda id_: order.get(split_of[id_], 2))


def _not_kept(
    records: Sequence[Record], classes: Sequence[str], shares: Sequence[str], seed: int
) -> RemovalReasons:
    removed: RemovalReasons = {}
    for written in shares:
        name, _, text = written.rpartition("=")
        label = _label(name, classes, "keep") if name else -1
        try:
            share = float(text)
        except ValueError:
            share = 0.0
        if label < 0 or not 0 < share <= 1:
            raise UserError(
                f"data.keep has {written!r}: write CLASS=SHARE with a share above 0 and at most 1, "
                'such as "NEUTROPHIL=0.9".'
            )
        ids = [record.id for record in records if record.label == label]
        # By a hash of the name: adding a picture changes the choice of at most one other.
        ids.sort(key=lambda id_: hashlib.sha256(f"{seed}/{id_}".encode()).digest())
        removed |= dict.fromkeys(ids[max(1, round(share * len(ids))) :], f"not kept by {written!r}")
    return removed
