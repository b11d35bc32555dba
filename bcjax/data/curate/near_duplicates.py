"""Pictures that are nearly the same: sent twice, re-encoded, resized, turned or mirrored.

A perceptual hash proposes pairs and a thumbnail decides. 64 bits cannot tell every cell in the
middle of a frame from every other; 16 x 16 pixels in colour can.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import scipy
from jaxtyping import Bool, Int64, UInt8, UInt64

_SIDE = 32  # pixels of the grey picture that is hashed
_KEPT = 8  # lowest frequencies, each way, that a hash holds
_FAINT = 1.0  # a wave of 1/16 of a grey level: the noise of a flat picture
_BRIGHTER = 24  # grey levels between the means of what may still be one picture
_ROUNDING = 0.01  # grey levels that sums of float32 may be wrong by, and far more
_MOST_RADIUS = 11
_AT_ONCE = 1 << 15  # hashes that are compared with others of their buckets together
_CROWD = 4096  # hashes of a bucket, above which other keys are cheaper than to compare them all
_DEALINGS = 64  # random ways to deal bits to keys, of which the best is taken
_COMPARED = 4096  # pairs of thumbnails, likewise

Pairs = Int64[np.ndarray, "M 2"]


class PictureHashes(NamedTuple):
    """What is kept of N pictures to find those that are nearly the same.

    Attributes:
      hashes: The `perceptual_hash` of each picture.
      thumbnails: Each picture in RGB, reduced by area.
    """

    hashes: UInt64[np.ndarray, "N"]
    thumbnails: UInt8[np.ndarray, "N 16 16 3"]


def perceptual_hash(pixels: UInt8[np.ndarray, "H W 3"]) -> np.uint64:
    """Returns the signs of the 8 x 8 lowest frequencies of the luma of an RGB picture.

    The pHash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
    (2010), thresholded at 0 in place of the median: a flip then changes the sign of the odd
    frequencies and a transposition swaps the axes, so `hashes_in_all_layouts` can turn the hash
    itself.
    """
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    waves = cv2.dct(luma)[:_KEPT, :_KEPT]
    waves[0, 0] = 0  # the mean, which is positive in every picture
    return _packed(waves[None] > _FAINT)[0]


def hashes_in_all_layouts(hashes: UInt64[np.ndarray, "N"]) -> UInt64[np.ndarray, "N 8"]:
    """Returns the hashes of the same pictures in 8 flips and quarter turns, unturned first."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8)).reshape(-1, _KEPT, _KEPT) > 0
    odd = np.arange(_KEPT) % 2 > 0
    flips = [np.zeros(64, bool).reshape(8, 8), odd[:, None] & np.ones(8, bool)]
    flips += [flips[1].T, flips[1] ^ flips[1].T]
    faces = (bits, bits.transpose(0, 2, 1))
    return np.stack([_packed(face ^ flip) for face in faces for flip in flips], 1)


class SimilarHashes(NamedTuple):
    """Which of N hashes are similar: searched for once, it also says so of any part of them.

    Attributes:
      kinds: A number for each hash, equal where two are equal in one of the 8 layouts.
      near: Kinds i < j that are within the radius in one of the 8 layouts, without repetition.
    """

    kinds: Int64[np.ndarray, "N"]
    near: Pairs

    def of(self, chosen: Bool[np.ndarray, "N"]) -> "SimilarHashes":
        """Returns the same of the hashes that are `chosen` alone."""
        return SimilarHashes(self.kinds[chosen], self.near)

    def pairs(self, positions: Int64[np.ndarray, "n"]) -> Pairs:
        """Returns the pairs among the hashes at `positions`, in ascending order.

        Each is paired with the first of its kind, and the firsts of two kinds that are near with
        each other: 1,000 blank pictures give 999 pairs, not half a million.
        """
        present, first, inverse = np.unique(
            self.kinds[positions], return_index=True, return_inverse=True
        )
        again = np.setdiff1d(np.arange(len(positions)), first)
        equal = np.stack([first[inverse[again]], again], 1)
        first_of = np.full(max(self.kinds.max(initial=-1), self.near.max(initial=-1)) + 1, -1)
        first_of[present] = first
        near = first_of[self.near]
        near = np.sort(near[(near >= 0).all(1)], axis=1)
        return positions[np.unique(np.concatenate([equal, near]), axis=0)]


def find_near_duplicates(
    pictures: PictureHashes, *, radius: int = 7, tolerance: float = 5.0
) -> Pairs:
    """Returns pairs of pictures with similar hashes whose thumbnails agree in some layout.

    Args:
      pictures: Their hashes and thumbnails.
      radius: Bits, of 64, in which the hashes may differ.
      tolerance: As for `agreeing_pairs`.

    Returns:
      As `pairs_within_radius`.
    """
    return agreeing_pairs(similar_hashes(pictures.hashes, radius), pictures.thumbnails, tolerance)


def agreeing_pairs(
    similar: SimilarHashes, thumbnails: UInt8[np.ndarray, "N 16 16 3"], tolerance: float = 5.0
) -> Pairs:
    """Returns pairs of pictures with similar hashes whose thumbnails agree in some layout.

    Args:
      similar: Which of their hashes are similar.
      thumbnails: As in `PictureHashes`.
      tolerance: Largest mean absolute difference of the thumbnails, in grey levels after their
        means are subtracted, of the same picture. JPEG of quality 30 makes 3; the most similar two
        of 13,670 different cells are 8 apart.

    Returns:
      As `pairs_within_radius`.
    """
    pairs_found, left = [np.empty((0, 2), np.int64)], np.arange(len(thumbnails))
    while len(left):
        pairs = similar.pairs(left)
        same = np.zeros(len(pairs), bool)
        for start in range(0, len(pairs), _COMPARED):
            block = slice(start, start + _COMPARED)
            one, other = pairs[block].T
            same[block] = _thumbnails_agree(thumbnails[one], thumbnails[other], tolerance)
        pairs_found.append(pairs[same])
        # Of equal hashes only the first was compared; another of them may have its own copies.
        one, other = pairs[~same].T
        left = np.sort(other[similar.kinds[one] == similar.kinds[other]])
    return np.unique(np.concatenate(pairs_found), axis=0)


def pairs_within_radius(hashes: UInt64[np.ndarray, "N"], radius: int) -> Pairs:
    """Returns pairs of hashes within `radius` bits in one of the 8 layouts.

    Args:
      hashes: The hashes of N pictures.
      radius: As for `similar_hashes`.

    Returns:
      Rows i < j, in order, as `SimilarHashes.pairs` says; `connected_labels` links them.

    Raises:
      ValueError: If `radius` is out of range.
    """
    return similar_hashes(hashes, radius).pairs(np.arange(len(hashes)))


def similar_hashes(hashes: UInt64[np.ndarray, "N"], radius: int = 7) -> SimilarHashes:
    """Finds all hashes within `radius` bits in one of the 8 layouts; not all pairs are compared.

    Of two hashes that differ in r bits, one half differs in r // 2 or fewer, and a covering family
    of keys (Pagh, "CoveringLSH", TOIS 2018) holds one key of that half in which they are equal: for
    r = 7, 15 keys of 16 to 18 bits for each half. N hashes are sorted by the key 30 times, and
    those with equal keys are compared, in the layout of each that makes its key least: were bits
    fair coins, 1 in 500 of all pairs.

    Where thousands share a key, those are sorted by the family of the whole hash instead, 255 keys
    of 32 bits.

    Args:
      hashes: The hashes of N pictures.
      radius: 0 to 11; a layout's own rounding costs a bit or two.

    Raises:
      ValueError: If `radius` is out of range.
    """
    if not 0 <= radius <= _MOST_RADIUS:
        raise ValueError(f"radius is {radius}, and must be 0 to {_MOST_RADIUS}")
    canonical, kinds = np.unique(hashes_in_all_layouts(hashes).min(1), return_inverse=True)
    turned = np.ascontiguousarray(hashes_in_all_layouts(canonical).T)
    near = np.concatenate([np.empty((0, 2), np.int64), *_search(turned, radius)])
    return SimilarHashes(kinds, np.unique(near, axis=0))


def connected_labels(count: int, pairs: Pairs) -> Int64[np.ndarray, "N"]:
    """Returns a number for each of `count` pictures, equal where pairs link them.

    The numbers are 0, 1, ... in the order in which they appear.
    """
    graph = scipy.sparse.coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (count, count))
    labels = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    return labels.astype(np.int64)


def _search(turned: np.ndarray, radius: int) -> Iterator[np.ndarray]:
    """Yields blocks of pairs (M, 2), i < j, of distinct hashes `turned` (8, n), some twice."""
    left = np.arange(turned.shape[1])
    for parts, most in ((2, _CROWD), (1, len(left))):
        keys, layouts = _keys(radius, parts), turned[:, left]
        crowded = np.zeros(len(left), bool)
        for nth, key in enumerate(keys):
            rows, hashes, held = _sorted_into_buckets(layouts, key)
            crowded[rows[np.repeat(held > most, held)]] = True
            for one, other in _bucket_mates(held, most):
                differing = hashes[one] ^ hashes[other]
                near = np.flatnonzero(np.bitwise_count(differing) <= radius)
                # Each pair once: not where an earlier key was equal too.
                near = near[(differing[near, None] & keys[:nth]).all(1)]
                pairs = np.stack([rows[one[near]], rows[other[near]]], 1)
                yield left[np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)]
        left = left[crowded]


def _sorted_into_buckets(turned: np.ndarray, key: np.uint64) -> tuple[np.ndarray, ...]:
    """Sorts hashes (8, n) by the least that `key` is of their layouts.

    Returns:
      Their positions and their hashes in that layout, (m,), sorted, and how many of them in turn
      have the same key. A hash is there once for each layout that makes its key least: which of
      them is near another is not known.
    """
    bits = turned & key
    least = bits.min(0)
    layouts, rows = np.nonzero(bits == least)
    least = least[rows]
    order = np.argsort(least)
    starts = np.flatnonzero(np.diff(least[order], prepend=least[order[:1]] + np.uint64(1)))
    held = np.diff(starts, append=len(order))
    rows = rows[order]
    return rows, turned[layouts[order], rows], held


def _bucket_mates(held: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields positions and others of the same bucket, each two of them once, in blocks.

    Args:
      held: How many positions in turn each bucket holds.
      most: Buckets that hold more are left out.
    """
    end = np.repeat(np.where(held > most, 0, np.cumsum(held)), held)
    for start in range(0, len(end), _AT_ONCE):
        one = np.arange(start, min(start + _AT_ONCE, len(end)))
        for step in itertools.count(1):
            one = one[one + step < end[one]]
            if not len(one):
                break
            yield one, one + step


@functools.cache
def _keys(radius: int, parts: int) -> UInt64[np.ndarray, "K"]:
    """Returns the bits of each key, of which hashes within `radius` bits have one in common.

    The bits are dealt to `parts`, of which one differs in radius_p bits or fewer if the sum of
    radius_p + 1 is radius + 1. In each part every bit is given a vector of radius_p + 1 dimensions
    over the field of two elements. Some vector v > 0 is orthogonal to those of the bits that
    differ, which are too few to span the space: the key of v is the bits whose vectors are not
    orthogonal to v, and none of these differs.

    A key holds the bits (u, v) and (v, u) or neither, so that it is the same bits in all layouts.
    """
    twins = [(u * _KEPT + v, v * _KEPT + u) for u in range(_KEPT) for v in range(u)]
    # Low frequencies first, so that each part has coarse and fine ones. Bit 0 is the same in all.
    twins = sorted(twins, key=lambda bits: sum(divmod(bits[0], _KEPT)))
    single = [(u * (_KEPT + 1),) for u in reversed(range(_KEPT))]
    units = [np.bitwise_or.reduce([np.uint64(1) << np.uint64(63 - b) for b in bits])
             for bits in (*twins, *single)]  # fmt: skip
    keys = []
    for part in range(parts):
        dimensions = (radius + 1 + part) // parts
        own, vectors = np.array(units[part::parts]), np.arange(1, 1 << dimensions)
        parity = np.bitwise_count(vectors[:, None] & vectors) % 2 > 0

        def dealt(seed: int, own=own, parity=parity) -> np.ndarray:
            order = np.random.default_rng(seed).permutation(len(parity))
            given = parity[:, np.resize(order, len(own))]
            return np.bitwise_or.reduce(np.where(given, own, np.uint64(0)), axis=1)

        # The shortest key has the fullest buckets.
        if dimensions:
            keys.append(max(map(dealt, range(_DEALINGS)), key=lambda k: np.bitwise_count(k).min()))
    return np.concatenate(keys)


def _packed(bits: np.ndarray) -> np.ndarray:
    """Packs bool (N, 8, 8) into uint64 (N,)."""
    return np.packbits(bits.reshape(-1, 64), axis=1).view(">u8")[:, 0].astype(np.uint64)


def _thumbnails_agree(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns bool (M,): whether thumbnails agree in one of 8 layouts, apart from brightness."""
    # Means of 4 x 4 pixels are no further apart than the pixels are on average, and are a tenth of
    # the work: of drawn cells with similar hashes, they tell all but 1 in 100 apart.
    means = [t.reshape(-1, 4, 4, 4, 4, 3).mean((2, 4), np.float32) for t in (one, other)]
    same = _agree(means[0], means[1], tolerance + _ROUNDING, _BRIGHTER + _ROUNDING)
    same[same] = _agree(one[same], other[same], tolerance, _BRIGHTER)
    return same


def _agree(one: np.ndarray, other: np.ndarray, tolerance: float, brighter: float) -> np.ndarray:
    one, other = one.astype(np.float32), other.astype(np.float32)
    means = one.mean((1, 2), keepdims=True), other.mean((1, 2), keepdims=True)
    one, other = one - means[0], other - means[1]
    sides = (other, other.transpose(0, 2, 1, 3))
    turned = [side[:, ::y, ::x] for side in sides for y in (1, -1) for x in (1, -1)]
    apart = np.min([np.abs(one - side).mean((1, 2, 3)) for side in turned], axis=0)
    return (apart <= tolerance) & (np.abs(means[0] - means[1]).max((1, 2, 3)) <= brighter)
