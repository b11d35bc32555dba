"""Which pictures are augmented copies of one original, found without the original.

Pictures with the same kinds of landmarks are compared: landmarks of the one are matched to those of
the other and of its mirror image, an affine map is fitted, and where that map brings the one onto
the other so that their grey values agree, both came from the same original.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from sklearn.neighbors import NearestNeighbors

from bcjax.data.curate.near_duplicates import Pairs, connected_labels

_SIDE = 120  # the shorter side of the picture in which landmarks are sought; SIFT doubles it
_LONGEST = 4  # the longer side is at most so many times _SIDE
_MOST = 160  # landmarks kept, strongest first
_FILL = 24  # a pixel this dark is not the slide but the black frame of a moved picture
_WORDS = 512
_RATIO = 0.8  # Lowe's: how much nearer the nearest descriptor must be than the next
_FEWEST = 12  # landmarks that must agree on one affine map
_SLACK = 0.9  # pixels, of 60 on the shorter side, by which a landmark may miss its place
_STRETCH = 2.0  # how much longer or shorter the map may make a line
_OVERLAP = 0.2  # share of the smaller picture that the other must cover
_CORRELATION = 0.8  # of the grey values where both overlap
_DELEGATES = 6  # pictures of a large group that are compared with those of others

# The mirror image of a 4 x 4 x 8 SIFT descriptor: rows the other way up, angles negated.
_MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()

Images = Sequence[UInt8[np.ndarray, "H W 3"]]
Labels = Int64[np.ndarray, "N"]


class Landmarks(NamedTuple):
    """The landmarks of a picture, 25 KB.

    Coordinates are x, y in pixels of `grey`, whose centres have whole numbers.

    Attributes:
      points: Where at most 160 landmarks are, strongest first.
      descriptors: RootSIFT descriptors, of length 255.
      grey: The grey picture, its shorter side 60 pixels.
      inside: True where it is neither black fill nor next to it.
    """

    points: Float32[np.ndarray, "K 2"]
    descriptors: UInt8[np.ndarray, "K 128"]
    grey: UInt8[np.ndarray, "h w"]
    inside: Bool[np.ndarray, "h w"]


class CopyGroups(NamedTuple):
    """Two groupings of pictures, each as a number per picture: 0, 1, ... as groups appear.

    Attributes:
      originals: Groups of copies of one original. Another photograph of the same cells may be
        among them, since two small copies do not show such a difference.
      places: The same groups, joined where two show one place on a slide.
    """

    originals: Labels
    places: Labels


def group_copies(pictures: Images, *, threads: int | None = None) -> Labels:
    """Returns the groups that no split may divide: `CopyGroups.places`.

    A cell in two photographs is as much a leak as one photograph twice.
    """
    return find_copies(pictures, threads=threads).places


def find_copies(pictures: Images, *, neighbours: int = 5, threads: int | None = None) -> CopyGroups:
    """Groups pictures that were made from one original by moving it about.

    Turned by any angle, sheared, shifted, scaled to a half or a double, mirrored, brightened,
    re-encoded, framed in black: such copies are recognised. Cut-outs that share less than a fifth,
    and pictures too blank or too dark to have landmarks, are not grouped.

    Each picture is compared with the `neighbours` most similar to it in `visual_words`: all with
    their most similar first, and only those that are not yet in one group. Where a group is so
    large that its members are most similar to each other, a few of them are then compared with
    those of other such groups. So N pictures cost N times the landmarks (about 12 ms on one core)
    and at most `neighbours` N comparisons (about 1 ms), of which grouping saves most; the search
    for the most similar is one matrix product of all with all, 512 numbers each: seconds for
    10,000 pictures, minutes for 100,000. 25 KB are kept of each picture.

    Args:
      pictures: RGB, of any sizes. `__getitem__` may decode: it is called once for each index, by
        several threads.
      neighbours: Number of pictures that each is compared with.
      threads: None for a few more than there are cores.
    """
    count = len(pictures)
    with ThreadPoolExecutor(threads) as pool:
        marks = list(pool.map(lambda index: find_landmarks(pictures[index]), range(count)))

        def linked(members: Int64[np.ndarray, "n"], nearest: int, links: Pairs) -> Pairs:
            """Returns `links`, and those found among some pictures."""
            labels = connected_labels(count, links)
            for pairs in _candidate_pairs(words[members], nearest):
                pairs = members[pairs]
                pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
                same = pool.map(lambda pair: same_original(marks[pair[0]], marks[pair[1]]), pairs)
                links = np.concatenate([links, pairs[np.fromiter(same, bool, len(pairs))]])
                labels = connected_labels(count, links)
            return links

        words = visual_words(marks)
        links = linked(np.arange(count), neighbours, np.empty((0, 2), np.int64))
        originals = connected_labels(count, links)
        links = linked(_delegates(originals, neighbours), 3 * _DELEGATES, links)
    return CopyGroups(originals, connected_labels(count, links))


def same_original(one: Landmarks, other: Landmarks) -> bool:
    """Returns whether an affine map, mirroring or not, brings one picture onto the other."""
    for sign, descriptors in ((1, other.descriptors), (-1, mirror_descriptors(other.descriptors))):
        affine = _fit_affine(one, other.points, descriptors)
        if affine is not None and np.linalg.det(affine[:, :2]) * sign > 0:
            return _grey_values_agree(one, other, affine)
    return False


def _delegates(labels: Labels, neighbours: int) -> Int64[np.ndarray, "n"]:
    """Returns a few members of each group so large that it may hold all neighbours of a member."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    large = [group for group in groups if len(group) > neighbours]
    chosen = [group[np.linspace(0, len(group) - 1, _DELEGATES, dtype=int)] for group in large]
    return np.sort(np.concatenate([*chosen, np.empty(0, np.int64)])).astype(np.int64)


def _candidate_pairs(words: Float32[np.ndarray, "N D"], neighbours: int) -> Iterator[Pairs]:
    """Yields pairs, each once: all with their most similar, then with their second, ..."""
    count = len(words)
    nearest = min(neighbours, count - 1)
    if nearest < 1:
        return
    index = NearestNeighbors(n_neighbors=nearest).fit(words)
    compared = np.empty(0, np.int64)
    for similar in index.kneighbors(return_distance=False).T:
        pairs = np.sort(np.stack([np.arange(count), similar], axis=1), axis=1)
        keys = np.setdiff1d(pairs @ np.array([count, 1]), compared)
        compared = np.union1d(compared, keys)
        yield np.stack(np.divmod(keys, count), axis=1)


def _fit_affine(
    one: Landmarks, points: Float32[np.ndarray, "K 2"], descriptors: UInt8[np.ndarray, "K 128"]
) -> Float[np.ndarray, "2 3"] | None:
    """Returns the affine map from `one` to `points` on which enough landmarks agree, if any."""
    if min(len(one.points), len(points)) < _FEWEST:
        return None
    squares, nearest = cv2.batchDistance(
        one.descriptors, descriptors, dtype=cv2.CV_32S, normType=cv2.NORM_L2SQR, K=2
    )
    sure = squares[:, 0] < _RATIO**2 * squares[:, 1]
    if sure.sum() < _FEWEST:
        return None
    affine, agreed = cv2.estimateAffine2D(
        one.points[sure], points[nearest[sure, 0]], ransacReprojThreshold=_SLACK
    )
    if affine is None or agreed.sum() < _FEWEST:
        return None
    longest, shortest = np.linalg.svd(affine[:, :2], compute_uv=False)
    return affine if shortest > 1 / _STRETCH and longest < _STRETCH else None


def _grey_values_agree(one: Landmarks, other: Landmarks, affine: Float[np.ndarray, "2 3"]) -> bool:
    """Returns whether grey values of `one`, moved onto `other`, correlate where both overlap."""
    size = other.grey.shape[::-1]
    moved = cv2.warpAffine(one.grey, affine, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(one.inside.astype(np.uint8), affine, size, flags=cv2.INTER_NEAREST)
    both = other.inside & (covered > 0)
    if both.sum() < _OVERLAP * min(one.inside.sum(), other.inside.sum()):
        return False
    values = np.stack([moved[both], other.grey[both]]).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    cross, squares = values[0] @ values[1], (values**2).sum(1)
    return bool(cross > _CORRELATION * np.sqrt(squares.prod()))


def find_landmarks(pixels: UInt8[np.ndarray, "H W 3"]) -> Landmarks:
    """Finds the landmarks of an RGB picture, away from black fill.

    SIFT (Lowe, IJCV 2004) under the Hellinger kernel (Arandjelovic and Zisserman, "Three things
    everyone should know to improve object retrieval", CVPR 2012).
    """
    grey = _rescale(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), _SIDE)
    inside = (_rescale(pixels.max(2), _SIDE) > _FILL).astype(np.uint8)
    # A landmark describes its surroundings, and the edge of the fill belongs to the frame.
    clear = cv2.erode(inside, np.ones((9, 9), np.uint8))
    sift = cv2.SIFT.create(nfeatures=_MOST, contrastThreshold=0.01)
    keypoints, descriptors = sift.detectAndCompute(grey, clear)
    if not keypoints:
        descriptors = np.zeros((0, 128), np.float32)
    points = np.array([each.pt for each in keypoints], np.float32).reshape(-1, 2)
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return Landmarks(
        (points[:_MOST] - 0.5) / 2,
        np.round(255 * root[:_MOST]).astype(np.uint8),
        _halve(grey),
        _halve(clear) > 0,
    )


def mirror_descriptors(descriptors: np.ndarray) -> np.ndarray:
    """Returns the descriptors (K, 128) that the mirror image has at the same landmarks."""
    return descriptors[:, _MIRROR]


def visual_words(pictures: Sequence[Landmarks]) -> Float32[np.ndarray, "N 512"]:
    """Returns how often each picture has each of 512 kinds of landmark, mirrored or not.

    A bag of visual words (Sivic and Zisserman, ICCV 2003): square roots of counts, of length 1. The
    vocabulary is landmarks drawn at random with a fixed seed: k-means finds copies no better.
    """
    rng = np.random.default_rng(0)
    some = [pictures[i] for i in rng.permutation(len(pictures))[:_WORDS] if len(pictures[i].points)]
    counts = np.zeros((len(pictures), _WORDS), np.float32)
    if some:
        pool = _unmirrored(np.concatenate([picture.descriptors for picture in some]))
        vocabulary = pool[rng.permutation(len(pool))[:_WORDS]]
        offset = (vocabulary**2).sum(1) / 2
        for row, picture in zip(counts, pictures, strict=True):
            nearest = (_unmirrored(picture.descriptors) @ vocabulary.T - offset).argmax(1)
            row[:] = np.bincount(nearest, minlength=_WORDS)
    # The sum of the counts is the squared length of their roots.
    return np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))


def _unmirrored(descriptors: np.ndarray) -> np.ndarray:
    """Returns float32 (K, 256), the same for a landmark and for its mirror image."""
    unit = descriptors.astype(np.float32) / 255
    other = mirror_descriptors(unit)
    return np.concatenate([unit + other, np.abs(unit - other)], axis=1)


def _rescale(picture: np.ndarray, side: int) -> np.ndarray:
    """Resizes (H, W) so that its shorter side is `side`, less if it is very long."""
    scale = min(side / min(picture.shape), _LONGEST * side / max(picture.shape))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = [max(2, round(scale * each)) for each in picture.shape[::-1]]
    return cv2.resize(picture, size, interpolation=method)


def _halve(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
