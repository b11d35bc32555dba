"""Which pictures are augmented copies of one original, found without the original.

Pictures with the same kinds of landmarks are tried on each other: landmarks of the one are matched
to those of the other and of its mirror image, an affine map is fitted, and where this lays the one
on the other so that their grey values agree, both came from the same original.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from sklearn.neighbors import NearestNeighbors

from bcjax.data.curate.landmarks import Landmarks, landmarks, mirrored, words
from bcjax.data.curate.near import clusters

_RATIO = 0.8  # Lowe's: how much nearer the nearest descriptor must be than the next
_FEWEST = 8  # landmarks that must agree on one affine map
_SLACK = 0.015  # of the shorter side, by which a landmark may miss its place on that map
_STRETCH = 2.0  # how much longer or shorter that map may make a line
_OVERLAP = 0.3  # of the smaller picture, that the other must cover
_CORRELATION = 0.8  # of the grey values there


def group_copies(
    pictures: Sequence[UInt8[np.ndarray, "H W 3"]],
    *,
    neighbours: int = 10,
    threads: int | None = None,
) -> Int64[np.ndarray, "N"]:
    """Groups pictures that were made from one original by moving it about.

    Turned by any angle, sheared, shifted, scaled to a half or a double, mirrored, brightened,
    re-encoded, framed in black: all these are seen through. Two photographs of one place on a
    slide are grouped as well, for they show the same cells. Cut-outs that share less than a third,
    and pictures too blank to have landmarks, are not.

    Each picture is tried on the `neighbours` likest to it in `words`, the likest of all pictures
    first and only while the two are not yet in one group. So N pictures cost N times the landmarks
    (about 12 ms on one core) and at most `neighbours` N trials (about 1 ms), most of which grouping
    saves; the search for the likest is one matrix product of all with all, 512 numbers each:
    seconds for 10,000 pictures and minutes for 100,000. 25 KB are kept of each.

    Args:
      pictures: RGB, of any sizes. `__getitem__` may decode: it is asked for each index once, by
        several threads.
      neighbours: On how many each is tried.
      threads: None for a few more than there are cores.

    Returns:
      A label for each picture, the same within a group: 0, 1, ... in order of first appearance.
    """
    count = len(pictures)
    links = np.empty((0, 2), np.int64)
    labels = np.arange(count)
    with ThreadPoolExecutor(threads) as pool:
        marks = list(pool.map(lambda index: landmarks(pictures[index]), range(count)))

        def same(pair: np.ndarray) -> bool:
            return same_original(marks[pair[0]], marks[pair[1]])

        for pairs in _candidates(words(marks), neighbours):
            pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
            found = np.fromiter(pool.map(same, pairs), bool, len(pairs))
            links = np.concatenate([links, pairs[found]])
            labels = clusters(count, links)
    return labels


def same_original(one: Landmarks, other: Landmarks) -> bool:
    """Whether an affine map, mirroring or not, lays one picture on the other."""
    mirror = mirrored(other.unit)
    return any(
        laid is not None and _agree(one, other, laid)
        for laid in (_laid(one, other, other.unit, 1), _laid(one, other, mirror, -1))
    )


def _candidates(
    likeness: Float32[np.ndarray, "N D"], neighbours: int
) -> Iterator[Int64[np.ndarray, "M 2"]]:
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
    one: Landmarks, other: Landmarks, descriptors: Float32[np.ndarray, "K 128"], handed: int
) -> Float[np.ndarray, "2 3"] | None:
    """The affine map from `one` to `other` on which enough landmarks agree, if there is one."""
    if min(len(one.points), len(descriptors)) < _FEWEST:
        return None
    cosine = one.unit @ descriptors.T
    second, first = np.partition(cosine, -2, axis=1)[:, -2:].T
    sure = 1 - first < _RATIO**2 * (1 - second)
    if sure.sum() < _FEWEST:
        return None
    laid, agreed = cv2.estimateAffine2D(
        one.points[sure], other.points[cosine.argmax(1)[sure]], ransacReprojThreshold=_SLACK
    )
    if laid is None or agreed.sum() < _FEWEST:
        return None
    longest, shortest = np.linalg.svd(laid[:, :2], compute_uv=False)
    plain = shortest > 1 / _STRETCH and longest < _STRETCH
    return laid if plain and np.linalg.det(laid[:, :2]) * handed > 0 else None


def _agree(one: Landmarks, other: Landmarks, laid: Float[np.ndarray, "2 3"]) -> bool:
    """Whether the grey values of `one`, laid on `other`, correlate where the two overlap."""
    here, there = min(one.grey.shape), min(other.grey.shape)
    # From pixel centres of the one to pixel centres of the other, through units of their sides.
    pixels = np.concatenate([laid[:, :2] * there / here, laid[:, 2:] * there], axis=1)
    pixels[:, 2] += pixels[:, :2].sum(1) / 2 - 0.5
    size = other.grey.shape[::-1]
    moved = cv2.warpAffine(one.grey, pixels, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(one.inside.astype(np.uint8), pixels, size, flags=cv2.INTER_NEAREST)
    both = other.inside & (covered > 0)
    if both.sum() < _OVERLAP * min(one.inside.sum(), other.inside.sum()):
        return False
    values = np.stack([moved[both], other.grey[both]]).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    cross, squares = values[0] @ values[1], (values**2).sum(1)
    return bool(cross > _CORRELATION * np.sqrt(squares.prod()))
