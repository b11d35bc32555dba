"""The pictures of a data set that a person should look at: duplicates and outliers."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bcjax.data.curate.findings import Finding
from bcjax.data.records import SPLITS, Record
from bcjax.reports.dataset.embedding import Features, far_from_class
from bcjax.reports.pages.pictures import data_uri, thumbnail

DUPLICATES = ("conflicts", "duplicates", "near")
OUTLIERS = ("copies", "blank", "tiny", "odd", "grey")

_CLUSTERS = 18  # of each finding
_TILES = 6  # of each cluster
_FAR = 5  # of each class; fewer if there are many classes
_FAR_IN_ALL = 72
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
    """

    title: str
    clusters: Sequence[Cluster]
    size: int


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
            galleries.append(ClusterGallery(finding.sentence, shown, len(clusters)))
        return galleries

    def far_from_class(self, features: Features) -> ClusterGallery | None:
        """Returns the pictures farthest from the mean of their class; None if there are none."""
        labels = np.array([record.label for record in self._records])
        each = max(1, min(_FAR, _FAR_IN_ALL // len(self._classes)))
        tiles: dict[int, list[Tile]] = {}
        for position, ratio in far_from_class(features, labels, each):
            tile = self._tile(self._records[position], f"{ratio:.1f} times")
            tiles.setdefault(int(labels[position]), []).append(tile)
        clusters = [Cluster(own, len(own)) for own in tiles.values()]
        title = (
            f"Farthest from the mean of their own class in {features.about}: how many times the "
            "usual distance"
        )
        return ClusterGallery(title, clusters, len(clusters)) if clusters else None

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
