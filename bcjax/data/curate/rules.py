"""Which pictures the config leaves out: each with its reason, none silently."""

import fnmatch
import hashlib
from collections.abc import Iterable, Sequence

from ml_collections import ConfigDict

from bcjax.config import nearest
from bcjax.data.curate.findings import DROPPABLE, Finding
from bcjax.data.records import Record
from bcjax.runtime.errors import UserError

Removed = dict[str, str]  # id -> reason

_NAMED = 5  # pictures listed in a message; the rest are counted


def asked(
    records: Sequence[Record], data: ConfigDict, *, classes: Sequence[str], complete: bool = True
) -> Removed:
    """Returns what `data.exclude` and `data.drop_classes` leave out.

    Args:
      records: All that can be decoded.
      data: The config's `data` branch.
      classes: Names in label order.
      complete: Whether each class that is dropped must be one that is there.

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


def found(
    records: Sequence[Record],
    findings: Iterable[Finding],
    data: ConfigDict,
    *,
    classes: Sequence[str],
) -> Removed:
    """Returns what `data.drop`, and then `data.keep`, leave out of what is left.

    Args:
      records: As `asked` has left them.
      findings: About these.
      data: The config's `data` branch.
      classes: Names in label order.

    Raises:
      UserError: If a class or a kind of finding is unknown, a share is not in (0, 1], or a rule
        leaves a class without a picture.
    """
    removed = _found(records, findings, data.drop)
    _check_emptied("drop", data.drop, records, removed, classes, classes)
    left = [record for record in records if record.id not in removed]
    return removed | _not_kept(left, classes, data.keep, data.split_seed)


def _check_emptied(
    rule: str,
    value: Sequence[str],
    records: Sequence[Record],
    removed: Removed,
    classes: Sequence[str],
    spared: Sequence[str],
) -> None:
    left = {record.label for record in records if record.id not in removed}
    emptied = {record.label for record in records} - left
    for label in sorted(emptied):
        if classes[label] in spared:
            raise UserError(
                f"data.{rule}={tuple(value)!r} leaves no picture of class {classes[label]!r}: "
                "narrow the rule, or leave the class out with data.drop_classes."
            )


def check_conflicts(findings: Iterable[Finding], left: Iterable[Record]) -> None:
    """Refuses pictures that are there under several labels.

    Raises:
      UserError: Naming the first of them.
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
            "out with --config.data.drop=conflicts."
        )


def _excluded(records: Sequence[Record], patterns: Sequence[str]) -> Removed:
    ids = [record.id for record in records]
    known = set(ids)
    removed: Removed = {}
    for pattern in patterns:
        # First as it stands: names of pictures may hold brackets.
        matched = [pattern] if pattern in known else fnmatch.filter(ids, pattern)
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


def _found(records: Sequence[Record], findings: Iterable[Finding], kinds: Sequence[str]) -> Removed:
    for kind in kinds:
        if kind not in DROPPABLE:
            raise UserError(
                f"data.drop names {kind!r}, which is none of {', '.join(DROPPABLE)}"
                f"{nearest(kind, list(DROPPABLE))}"
            )
    split_of = {record.id: record.split for record in records}
    removed: Removed = {}
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
    """Which of several copies stays: one in test rather than in val, or else the first.

    So a published test set stays whole, and it is training that loses the copy.
    """
    order = {"test": 0, "val": 1}
    return min(ids, key=lambda id_: order.get(split_of[id_], 2))


def _not_kept(
    records: Sequence[Record], classes: Sequence[str], shares: Sequence[str], seed: int
) -> Removed:
    removed: Removed = {}
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
        # By a hash of the name: a picture that is added moves at most one other.
        ids.sort(key=lambda id_: hashlib.sha256(f"{seed}/{id_}".encode()).digest())
        removed |= dict.fromkeys(ids[max(1, round(share * len(ids))) :], f"not kept by {written!r}")
    return removed
