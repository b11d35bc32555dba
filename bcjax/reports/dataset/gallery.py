"""The pictures of a data set that a person should look at: duplicates and outliers."""

import html
from collections.abc import Sequence

import numpy as np

from bcjax.data.curate import mends
from bcjax.data.curate.findings import Finding
from bcjax.data.curate.unusual_pictures import log_distances
from bcjax.data.records import SPLITS, Record
from bcjax.reports.dataset.classes import positions_by_class
from bcjax.reports.dataset.embedding import Features
from bcjax.reports.pages.page import Block, CaptionedPicture, Cluster, Clusters, Details, Html
from bcjax.reports.pages.pictures import thumbnail

DUPLICATES = ("conflicts", "duplicates", "near")
OUTLIERS = ("copies", "blank", "tiny", "odd", "grey")

_CLUSTERS = 48  # of each finding
_TILES = 6  # of each cluster
_FAR = 5  # of each class; fewer if there are many classes
_FAR_IN_ALL = 72
_FEWEST = 8  # pictures of a class in which one may lie far from the others
_SIDE = 96  # pixels of a picture's longer side


def found_clusters(
    findings: Sequence[Finding],
    kinds: Sequence[str],
    records: Sequence[Record],
    classes: Sequence[str],
) -> list[Block]:
    """Returns the clusters of each finding of these kinds, the worst clusters first."""
    by_id = {record.id: record for record in records}
    blocks: list[Block] = []
    for finding in findings:
        if finding.kind not in kinds:
            continue
        clusters = [[by_id[id_] for id_ in cluster] for cluster in finding.clusters]
        clusters.sort(key=lambda cluster: -len(_warnings(cluster)))
        shown = [
            Cluster(
                [_captioned(record, classes) for record in _representatives(cluster)],
                len(cluster),
                _warnings(cluster),
            )
            for cluster in clusters[:_CLUSTERS]
        ]
        blocks.append(Clusters(finding.sentence, shown, len(clusters)))
        if finding.exclusion:
            blocks.append(_folded(finding.exclusion))
    return blocks


def farthest_clusters(
    features: Features, records: Sequence[Record], classes: Sequence[str]
) -> list[Block]:
    """Returns the pictures farthest from the others of their class, if there are any."""
    labels = np.array([record.label for record in records])[features.positions]
    each = max(1, min(_FAR, _FAR_IN_ALL // len(classes)))
    found: list[list[tuple[int, float]]] = []  # positions and distances, of each class
    for members in positions_by_class(labels).values():
        if len(members) < _FEWEST:
            continue
        distance = log_distances(features.values[members])
        far = np.argsort(-distance, kind="stable")[:each]
        found.append([(int(members[i]), float(distance[i])) for i in far])
    if not found:
        return []
    shown = found
    if len(found) > _FAR_IN_ALL:
        shown = sorted(found, key=lambda far: -far[0][1])[:_FAR_IN_ALL]
    clusters = [
        Cluster(
            [
                _captioned(
                    records[features.positions[i]], classes, f", {np.exp(distance):.1f} times"
                )
                for i, distance in far
            ],
            len(far),
        )
        for far in shown
    ]
    title = (
        f"Farthest from the others of their own class in {features.about}: how many times the "
        "usual distance"
    )
    ids = [picture.id for cluster in clusters for picture in cluster.pictures]
    return [Clusters(title, clusters, len(found)), _folded(mends.setting("exclude", ids))]


def _folded(flag: str) -> Details:
    markup = f"<p><code>{html.escape(flag)}</code></p>"
    return Details("The flag that leaves all of these out by name", [Html(markup)])


def _captioned(record: Record, classes: Sequence[str], note: str = "") -> CaptionedPicture:
    pixels = thumbnail(record, _SIDE)
    return CaptionedPicture(pixels, record.id, classes[record.label], record.split + note)


def _representatives(cluster: Sequence[Record]) -> list[Record]:
    """Returns some pictures of a cluster: the first of each label and split, and then others."""
    first = {(record.label, record.split): record for record in reversed(cluster)}
    chosen = {record.id: record for record in (*first.values(), *cluster)}
    return list(chosen.values())[:_TILES]


def _warnings(cluster: Sequence[Record]) -> list[str]:
    splits = sorted({record.split for record in cluster}, key=SPLITS.index)
    labels = {record.label for record in cluster}
    across = [f"in {' and '.join(splits)}"] if len(splits) > 1 else []
    return across + ([f"under {len(labels)} labels"] if len(labels) > 1 else [])
