"""Records with what was measured of them: what findings, groups and leaks are told from."""

import dataclasses
from collections.abc import Callable, Collection, Sequence

import numpy as np
from jaxtyping import Bool, Int

from bcjax.data.curate import near
from bcjax.data.curate.measure import Measures
from bcjax.data.records import Record

_BLANK = 2.0  # standard deviation of the luma; an empty field of a smear has 4 and more
Cluster = Int[np.ndarray, "n"]  # positions


@dataclasses.dataclass(frozen=True)
class Pictures:
    """N pictures that can be decoded.

    Attributes:
      records: Of these pictures.
      measures: Of these pictures.
      near: Positions of pairs that are nearly the same, whether or not their pixels are equal.
    """

    records: Sequence[Record]
    measures: Measures
    near: Int[np.ndarray, "P 2"]

    def __len__(self) -> int:
        return len(self.records)

    def without(self, removed: Collection[str]) -> "Pictures":
        """Those whose ids are not `removed`."""
        left = [i for i, record in enumerate(self.records) if record.id not in removed]
        if len(left) == len(self):
            return self
        return looked_at([self.records[i] for i in left], self.measures[np.array(left, int)])

    def changed(self, change: Callable[[Record], Record]) -> "Pictures":
        """The same pictures, with something else said of them."""
        return dataclasses.replace(self, records=[change(record) for record in self.records])

    @property
    def blank(self) -> Bool[np.ndarray, "N"]:
        """Which are of one colour; their likeness means nothing."""
        return self.measures.std < _BLANK

    def equal(self) -> list[Cluster]:
        """Clusters, two and more, of equal pixels."""
        return clusters(np.unique(self.measures.pixel_sha256, return_inverse=True)[1])

    def alike(self) -> list[Cluster]:
        """Clusters, two and more, linked by being nearly the same, and not all equal."""
        linked = clusters(near.clusters(len(self), self.near))
        return [c for c in linked if len(set(self.measures.pixel_sha256[c])) > 1]


def looked_at(records: Sequence[Record], measures: Measures) -> Pictures:
    """Pictures with their near duplicates; `near` says how the search grows."""
    pictures = Pictures(records, measures, np.empty((0, 2), np.int64))
    telling = np.flatnonzero(~pictures.blank)
    prints = near.Prints(measures.perceptual[telling], measures.thumbnail[telling])
    return dataclasses.replace(pictures, near=telling[near.near_duplicates(prints)])


def clusters(member: Int[np.ndarray, "N"]) -> list[Cluster]:
    """The positions of equal numbers, in clusters of two and more, in order."""
    order = np.argsort(member, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])
