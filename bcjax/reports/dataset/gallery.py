"""The pictures of a data set that a person should look at: duplicates and outliers."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bcjax.data.curate.findings import Finding, exclusion
from bcjax.data.curate.unusual_pictures import log_distances
from bcjax.data.records import SPLITS, Record
from bcjax.reports.dataset.classes import positions_by_class
from bcjax.reports.dataset.embedding import Features
from bcjax.reports.pages.pictures import data_uri, thumbnail

DUPLICATES = ("conflicts", "duplicates", "near")
OUTLIERS = ("copies", "blank", "tiny", "odd", "grey")

_CLUSTERS = 18  # of each finding
_TILES = 6  # of each cluster
_FAR = 5  # of each class; fewer if there are many classes
_FAR_IN_ALL = 72
_FEWEST = 8  # pictures of a class in which one may lie far from the others
_SIDE = 96  # pixels of a tile's longer side


@dataclasses.dataclass(frozen=True)
class Tile:
    """A picture with its caption.

    Attributes:
      image: The picture as a data URI.
      id: Its id.
      label: Name of its class.
      split: The split that it is in.
      note: What is remarkable about it; "" if the title of the gallery says so.
    """

    image: str
    id: str
    label: str
    split: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Pictures that belong together.

    Attributes:
      tiles: Some of them.
      size: How many there are.
      warnings: What should not be: "in train and test", "under 2 labels".
    """

    tiles: Sequence[Tile]
    size: int
    warnings: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class ClusterGallery:
    """Clusters of pictures under one title.

    Attributes:
      title: What they show.
      clusters: Some of them.
      size: How many there are.
      exclusion: The flag that leaves all of them out; "" where it is not theirs to go.
    """

    title: str
    clusters: Sequence[Cluster]
    size: int
    exclusion: str = ""


class Galleries:
    """Makes galleries of records."""

    def __init__(self, records: Sequence[Record], classes: Sequence[str]):
        """Takes all records of a set and the names of its classes."""
        self._records = records
        self._classes = classes

    def of_findings(
        self, findings: Sequence[Finding], kinds: Sequence[str]
    ) -> list[ClusterGallery]:
        """Returns a gallery for each finding of these kinds, the worst clusters first."""
        by_id = {record.id: record for record in self._records}
        galleries = []
        for finding in findings:
            if finding.kind not in kinds:
                continue
            clusters = [[by_id[id_] for id_ in cluster] for cluster in finding.clusters]
            clusters.sort(key=lambda cluster: -len(_warnings(cluster)))
            shown = [
                Cluster([self._tile(r) for r in _representatives(c)], len(c), _warnings(c))
                for c in clusters[:_CLUSTERS]
            ]
            galleries.append(
                ClusterGallery(finding.sentence, shown, len(clusters), finding.exclusion)
            )
        return galleries

    def far_from_class(self, features: Features) -> ClusterGallery | None:
        """Returns the pictures farthest from others of their class; None if there are none."""
        labels = np.array([record.label for record in self._records])[features.positions]
        each = max(1, min(_FAR, _FAR_IN_ALL // len(self._classes)))
        clusters: list[Cluster] = []
        for members in positions_by_class(labels).values():
            if len(members) < _FEWEST:
                continue
            distance = log_distances(features.values[members])
            tiles = [
                self._tile(
                    self._records[features.positions[members[i]]],
                    f"{np.exp(distance[i]):.1f} times",
                )
                for i in np.argsort(-distance, kind="stable")[:each]
            ]
            clusters.append(Cluster(tiles, len(tiles)))
        title = (
            f"Farthest from the others of their own class in {features.about}: how many times the "
            "usual distance"
        )
        ids = [tile.id for cluster in clusters for tile in cluster.tiles]
        return ClusterGallery(title, clusters, len(clusters), exclusion(ids)) if ids else None

    def _tile(self, record: Record, note: str = "") -> Tile:
        image = data_uri(thumbnail(record, _SIDE))
        return Tile(image, record.id, self._classes[record.label], record.split, note)


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
