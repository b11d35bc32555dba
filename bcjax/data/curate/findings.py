"""What is remarkable about a set of pictures: copies, contradictions, and what is no cell."""

import dataclasses

import numpy as np
from jaxtyping import Bool

from bcjax.data.curate.pictures import Cluster, Pictures

# What `data.drop` may name: the kinds that have a plain mend.
DROPPABLE = ("conflicts", "copies", "duplicates", "blank", "tiny", "odd", "grey")

_TINY = 16  # pixels of the shorter side, on which no nucleus has a shape
_GREY = 2.0  # mean distance between channels; the palest stain has 10 and more
_ODD_ASPECT = 1.5  # times the usual one, or that part of it
_ODD_AREA = 4.0  # likewise
_ODD_SIGMAS = 5.0  # as far as sizes differ anyway


@dataclasses.dataclass(frozen=True)
class Finding:
    """Pictures of which something is to be known.

    Attributes:
      kind: "near" or one of `DROPPABLE`.
      clusters: Their ids: those that are alike together, or each by itself.
      sentence: What was found, plainly.
    """

    kind: str
    clusters: tuple[tuple[str, ...], ...]
    sentence: str


def find(pictures: Pictures, *, max_copies: int) -> list[Finding]:
    """Says what is remarkable, one finding for each kind that there is.

    A picture may be in several: 200 copies under 8 labels are both conflicts and copies.

    Args:
      pictures: All of them.
      max_copies: More exact copies than this are no cell.
    """
    label = np.array([record.label for record in pictures.records])
    measures = pictures.measures
    equal = pictures.equal()
    agreeing = [c for c in equal if len(set(label[c])) == 1]
    tiny = np.minimum(measures.width, measures.height) < _TINY
    grey = ~pictures.blank & (measures.colour < _GREY)
    if 2 * grey.sum() > len(grey):  # grey among grey is nothing to tell
        grey[:] = False
    found = [
        ("conflicts", [c for c in equal if len(set(label[c])) > 1], "there under several labels"),
        (
            "copies",
            [c for c in equal if len(c) > max_copies],
            f"there more than {max_copies} times: no cell is",
        ),
        ("duplicates", [c for c in agreeing if len(c) <= max_copies], "there several times"),
        ("near", pictures.alike(), "there several times, with small differences"),
        ("blank", _singly(pictures.blank), "of one colour"),
        ("tiny", _singly(tiny), f"less than {_TINY} pixels wide or high"),
        ("odd", _singly(_odd(pictures) & ~tiny), "of a size or shape far from the others'"),
        ("grey", _singly(grey), "grey among coloured ones"),
    ]
    return [
        Finding(
            kind,
            tuple(tuple(pictures.records[i].id for i in cluster) for cluster in clusters),
            f"{len(clusters):,} {'pictures are' if len(clusters) > 1 else 'picture is'} {what}",
        )
        for kind, clusters, what in found
        if clusters
    ]


def _singly(mask: Bool[np.ndarray, "N"]) -> list[Cluster]:
    return list(np.flatnonzero(mask)[:, None])


def _odd(pictures: Pictures) -> Bool[np.ndarray, "N"]:
    width, height = np.log(pictures.measures.width), np.log(pictures.measures.height)
    return _far(width - height, _ODD_ASPECT) | _far(width + height, _ODD_AREA)


def _far(logarithm: np.ndarray, factor: float) -> Bool[np.ndarray, "N"]:
    """Where a quantity is `factor` times the median, and far outside its usual spread."""
    distance = np.abs(logarithm - np.median(logarithm))
    sigma = 1.4826 * np.median(distance)  # of normal data, whatever the outliers are
    return distance > max(np.log(factor), _ODD_SIGMAS * sigma)
