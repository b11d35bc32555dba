"""Which pictures are augmented copies of one original, found without the original.

Pictures with the same kinds of landmarks are tried on each other: landmarks of the one are matched
to those of the other and of its mirror image, an affine map is fitted, and where this lays the one
on the other so that their grey values agree, both came from the same original.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from sklearn.neighbors import NearestNeighbors

from bcjax.data.curate.landmarks import Landmarks, landmarks, mirrored, words
from bcjax.data.curate.near import Pairs, clusters

_RATIO = 0.8  # Lowe's: how much nearer the nearest descriptor must be than the next
_FEWEST = 12  # landmarks that must agree on one affine map
_SLACK = 0.9  # pixels, of 60 on the shorter side, by which a landmark may miss its place on it
_STRETCH = 2.0  # how much longer or shorter that map may make a line
_OVERLAP = 0.2  # of the smaller picture, that the other must cover
_CORRELATION = 0.8  # of the grey values there
_DELEGATES = 6  # of a large group, tried on those of others

Pictures = Sequence[UInt8[np.ndarray, "H W 3"]]
Labels = Int64[np.ndarray, "N"]


class Copies(NamedTuple):
    """Two groupings: a label for each picture, the same within a group, 0, 1, ... as they appear.

    Attributes:
      originals: Copies of one original, nearly: another photograph of the same cells may be among
        them, for two small copies tell no such difference.
      places: The same, joined where two show one place on a slide.
    """

    originals: Labels
    places: Labels


def group_copies(pictures: Pictures, *, threads: int | None = None) -> Labels:
    """The groups that no split may divide: `Copies.places`.

    A cell in two photographs is as good a leak as one photograph twice.
    """
    return find_copies(pictures, threads=threads).places


def find_copies(pictures: Pictures, *, neighbours: int = 5, threads: int | None = None) -> Copies:
    """Groups pictures that were made from one original by moving it about.

    Turned by any angle, sheared, shifted, scaled to a half or a double, mirrored, brightened,
    re-encoded, framed in black: all these are seen through. Cut-outs that share less than a fifth,
    and pictures too blank or too dark to have landmarks, are not grouped.

    Each picture is tried on the `neighbours` likest to it in `words`: all on their likest first,
    and only those that are not yet in one group. Where a group is so large that its members are
    each other's likest, a few of them are then tried on those of other such groups. So N pictures
    cost N times the landmarks (about 12 ms on one core) and at most `neighbours` N trials (about
    1 ms), of which grouping saves most; the search for the likest is one matrix product of all with
    all, 512 numbers each: seconds for 10,000 pictures, minutes for 100,000. 25 KB are kept of each.

    Args:
      pictures: RGB, of any sizes. `__getitem__` may decode: it is asked for each index once, by
        several threads.
      neighbours: On how many each is tried.
      threads: None for a few more than there are cores.
    """
    count = len(pictures)
    with ThreadPoolExecutor(threads) as pool:
        marks = list(pool.map(lambda index: landmarks(pictures[index]), range(count)))

        def linked(members: Int64[np.ndarray, "n"], nearest: int, links: Pairs) -> Pairs:
            """`links`, and those found among some pictures."""
            labels = clusters(count, links)
            for pairs in _candidates(likeness[members], nearest):
                pairs = members[pairs]
                pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
                same = pool.map(lambda pair: same_original(marks[pair[0]], marks[pair[1]]), pairs)
                links = np.concatenate([links, pairs[np.fromiter(same, bool, len(pairs))]])
                labels = clusters(count, links)
            return links

        likeness = words(marks)
        links = linked(np.arange(count), neighbours, np.empty((0, 2), np.int64))
        originals = clusters(count, links)
        links = linked(_delegates(originals, neighbours), 3 * _DELEGATES, links)
    return Copies(originals, clusters(count, links))


def same_original(one: Landmarks, other: Landmarks) -> bool:
    """Whether an affine map, mirroring or not, lays one picture on the other."""
    for handed, descriptors in ((1, other.descriptors), (-1, mirrored(other.descriptors))):
        laid = _laid(one, other.points, descriptors)
        if laid is not None and np.linalg.det(laid[:, :2]) * handed > 0:
            return _agree(one, other, laid)
    return False


def _delegates(labels: Labels, neighbours: int) -> Int64[np.ndarray, "n"]:
    """A few members of each group in which a member's neighbours may all be its own."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    large = [group for group in groups if len(group) > neighbours]
    chosen = [group[np.linspace(0, len(group) - 1, _DELEGATES, dtype=int)] for group in large]
    return np.sort(np.concatenate([*chosen, np.empty(0, np.int64)])).astype(np.int64)


def _candidates(likeness: Float32[np.ndarray, "N D"], neighbours: int) -> Iterator[Pairs]:
    """Pairs, each once: all pictures with their likest, then with their second likest, ..."""
    count = len(likeness)
    nearest = min(neighbours, count - 1)
    if nearest < 1:
        return
    index = NearestNeighbors(n_neighbors=nearest).fit(likeness)
    tried = np.empty(0, np.int64)
    for likest in index.kneighbors(return_distance=False).T:
        pairs = np.sort(np.stack([np.arange(count), likest], axis=1), axis=1)
        keys = np.setdiff1d(pairs @ np.array([count, 1]), tried)
        tried = np.union1d(tried, keys)
        yield np.stack(np.divmod(keys, count), axis=1)


def _laid(
    one: Landmarks, points: Float32[np.ndarray, "K 2"], descriptors: UInt8[np.ndarray, "K 128"]
) -> Float[np.ndarray, "2 3"] | None:
    """The affine map from `one` to others on which enough landmarks agree, if there is one."""
    if min(len(one.points), len(points)) < _FEWEST:
        return None
    squares, nearest = cv2.batchDistance(
        one.descriptors, descriptors, dtype=cv2.CV_32S, normType=cv2.NORM_L2SQR, K=2
    )
    sure = squares[:, 0] < _RATIO**2 * squares[:, 1]
    if sure.sum() < _FEWEST:
        return None
    laid, agreed = cv2.estimateAffine2D(
        one.points[sure], points[nearest[sure, 0]], ransacReprojThreshold=_SLACK
    )
    if laid is None or agreed.sum() < _FEWEST:
        return None
    longest, shortest = np.linalg.svd(laid[:, :2], compute_uv=False)
    return laid if shortest > 1 / _STRETCH and longest < _STRETCH else None


def _agree(one: Landmarks, other: Landmarks, laid: Float[np.ndarray, "2 3"]) -> bool:
    """Whether the grey values of `one`, laid on `other`, correlate where the two overlap."""
    size = other.grey.shape[::-1]
    moved = cv2.warpAffine(one.grey, laid, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(one.inside.astype(np.uint8), laid, size, flags=cv2.INTER_NEAREST)
    both = other.inside & (covered > 0)
    if both.sum() < _OVERLAP * min(one.inside.sum(), other.inside.sum()):
        return False
    values = np.stack([moved[both], other.grey[both]]).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    cross, squares = values[0] @ values[1], (values**2).sum(1)
    return bool(cross > _CORRELATION * np.sqrt(squares.prod()))
