"""The pictures that a person should look at: doubles, and those unlike the others."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bcjax.data.curate.findings import Finding
from bcjax.data.records import SPLITS, Record
from bcjax.reports.dataset import embedding, sprites
from bcjax.reports.dataset.features import Features
from bcjax.reports.pages.pictures import data_uri

DOUBLES = ("conflicts", "duplicates", "near")
OUTLIERS = ("copies", "blank", "tiny", "odd", "grey")

_CLUSTERS = 18  # of each finding
_TILES = 6  # of each cluster
_FAR = 5  # of each class; fewer where there are many classes
_FAR_IN_ALL = 72
_SIDE = 96  # pixels of a tile's longer side


@dataclasses.dataclass(frozen=True)
class Tile:
    """A picture with what is to be known of it.

    Attributes:
      image: A data URI.
      id: Its name.
      label: Name of its class.
      split: Where it lies.
      note: What is remarkable; "" where the gallery says so.
    """

    image: str
    id: str
    label: str
    split: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Tiles that belong together.

    Attributes:
      tiles: Some of them.
      size: How many pictures there are.
      warnings: "in train and test", "under 2 labels": what should not be.
    """

    tiles: Sequence[Tile]
    size: int
    warnings: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Clusters under one sentence.

    Attributes:
      kind: Of the finding.
      sentence: What they show.
      clusters: Some of them.
      size: How many there are.
    """

    kind: str
    sentence: str
    clusters: Sequence[Cluster]
    size: int


class Shown:
    """What galleries are hung from: records, and the names of their classes."""

    def __init__(self, records: Sequence[Record], classes: Sequence[str]):
        self._records = records
        self._classes = classes

    def galleries(self, findings: Sequence[Finding], kinds: Sequence[str]) -> list[Gallery]:
        """Returns a gallery for each finding of these kinds, the worst clusters first."""
        by_id = {record.id: record for record in self._records}
        galleries = []
        for finding in findings:
            if finding.kind not in kinds:
                continue
            clusters = [[by_id[id_] for id_ in cluster] for cluster in finding.clusters]
            clusters.sort(key=lambda cluster: -len(_warnings(cluster)))
            shown = [
                Cluster([self._tile(r) for r in _spread(c)], len(c), _warnings(c))
                for c in clusters[:_CLUSTERS]
            ]
            galleries.append(Gallery(finding.kind, finding.sentence, shown, len(clusters)))
        return galleries

    def far_off(self, features: Features) -> Gallery | None:
        """Returns, for each class, those farthest from its mean; None if there is no class."""
        labels = np.array([record.label for record in self._records])
        each = max(1, min(_FAR, _FAR_IN_ALL // len(self._classes)))
        members: dict[int, list[Tile]] = {}
        for position, ratio in embedding.far_off(features, labels, each):
            tile = self._tile(self._records[position], f"{ratio:.1f} times")
            members.setdefault(int(labels[position]), []).append(tile)
        clusters = [Cluster(tiles, len(tiles)) for tiles in members.values()]
        sentence = (
            f"Farthest from the mean of their own class in {features.about}: "
            "how many times the usual distance"
        )
        return Gallery("far", sentence, clusters, len(clusters)) if clusters else None

    def _tile(self, record: Record, note: str = "") -> Tile:
        image = data_uri(sprites.picture(record, _SIDE))
        return Tile(image, record.id, self._classes[record.label], record.split, note)


def _spread(cluster: Sequence[Record]) -> list[Record]:
    """Some of a cluster: the first of each label and split, and then others."""
    first = {(record.label, record.split): record for record in reversed(cluster)}
    chosen = {record.id: record for record in (*first.values(), *cluster)}
    return list(chosen.values())[:_TILES]


def _warnings(cluster: Sequence[Record]) -> list[str]:
    splits = sorted({record.split for record in cluster}, key=SPLITS.index)
    labels = {record.label for record in cluster}
    across = [f"in {' and '.join(splits)}"] if len(splits) > 1 else []
    return across + ([f"under {len(labels)} labels"] if len(labels) > 1 else [])
