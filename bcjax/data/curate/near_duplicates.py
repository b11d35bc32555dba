"""Pictures that are nearly the same: sent twice, re-encoded, resized, turned or mirrored.

A perceptual hash proposes pairs and a thumbnail decides. 64 bits cannot tell every cell in the
middle of a frame from every other; 16 x 16 pixels in colour can.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Int64, UInt8, UInt64
from scipy import sparse

_SIDE = 32  # pixels of the grey picture that is hashed
_KEPT = 8  # lowest frequencies, each way, that a hash holds
_FAINT = 1.0  # a wave of 1/16 of a grey level: the noise of a flat picture
_BRIGHTER = 24  # grey levels between the means of what may still be one picture
_BANDS = 4
_BAND_BITS = 64 // _BANDS
_AT_ONCE = 1 << 22  # candidates held in memory together
_COMPARED = 4096  # thumbnails, likewise

Pairs = Int64[np.ndarray, "M 2"]

_U, _V = np.divmod(np.arange(64), _KEPT)
# Frequencies are dealt to the bands in turn, low ones first: each band sees coarse and fine.
_BAND_OF_BITS = np.lexsort((_U, _U + _V)).reshape(-1, _BANDS).T


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


def find_near_duplicates(
    pictures: PictureHashes, *, radius: int = 7, tolerance: float = 5.0
) -> Pairs:
    """Returns pairs of pictures with similar hashes whose thumbnails agree in some layout.

    Args:
      pictures: Their hashes and thumbnails.
      radius: Bits, of 64, in which the hashes may differ.
      tolerance: Largest mean absolute difference of the thumbnails, in grey levels after their
        means are subtracted, of the same picture. JPEG of quality 30 makes 3; the most similar two
        of 13,670 different cells are 8 apart.

    Returns:
      As `pairs_within_radius`.
    """
    kinds = _canonical(pictures.hashes)
    pairs_found, left = [], np.arange(len(kinds))
    while len(left):
        pairs = left[pairs_within_radius(pictures.hashes[left], radius)]
        same = np.zeros(len(pairs), bool)
        for start in range(0, len(pairs), _COMPARED):
            block = slice(start, start + _COMPARED)
            one, other = pairs[block].T
            same[block] = _thumbnails_agree(
                pictures.thumbnails[one], pictures.thumbnails[other], tolerance
            )
        pairs_found.append(pairs[same])
        # Of equal hashes only the first was compared; another of them may have its own copies.
        one, other = pairs[~same].T
        left = np.sort(other[kinds[one] == kinds[other]])
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs_found]), axis=0)


def pairs_within_radius(hashes: UInt64[np.ndarray, "N"], radius: int) -> Pairs:
    """Returns pairs of hashes within `radius` bits in one of the 8 layouts.

    Not all pairs are compared.

    Multi-index hashing (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index
    Hashing", CVPR 2012): of two hashes within r bits, one of their 4 bands of 16 bits differs in at
    most r // 4. Those are looked up in tables, and nothing within the radius is missed. N hashes
    cost N lookups per table and layout and, were bits fair coins, 544 / 65,536 N candidates each
    at a radius of 4 to 7: 1 in 120 of all pairs.

    Equal hashes are collapsed first, and each is paired with the first of its kind alone: 1,000
    blank pictures give 999 pairs, not half a million.

    Args:
      hashes: The hashes of N pictures.
      radius: 0 to 11; a layout's own rounding costs a bit or two.

    Returns:
      Rows i < j, in order; `connected_labels` links them.

    Raises:
      ValueError: If `radius` is out of range.
    """
    if not 0 <= radius < 3 * _BANDS:
        raise ValueError(f"radius is {radius}, and must be 0 to {3 * _BANDS - 1}")
    _, first, kind = np.unique(_canonical(hashes), return_index=True, return_inverse=True)
    again = np.setdiff1d(np.arange(len(hashes)), first)
    equal = np.stack([first[kind[again]], again], 1)
    near = [first[pair] for pair in _search(hashes_in_all_layouts(hashes[first]), radius)]
    return np.unique(np.sort(np.concatenate([equal, *near]), axis=1), axis=0)


def connected_labels(count: int, pairs: Pairs) -> Int64[np.ndarray, "N"]:
    """Returns a number for each of `count` pictures, equal where pairs link them.

    The numbers are 0, 1, ... in the order in which they appear.
    """
    graph = sparse.coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (count, count))
    labels = sparse.csgraph.connected_components(graph, directed=False)[1]
    return labels.astype(np.int64)


def _canonical(hashes: np.ndarray) -> np.ndarray:
    """Returns uint64 (N,), the same for all layouts of a picture."""
    return hashes_in_all_layouts(hashes).min(1)


def _search(turned: np.ndarray, radius: int) -> Iterator[np.ndarray]:
    """Yields blocks of pairs (M, 2), i < j, of distinct hashes `turned` (n, 8), some twice."""
    keys = _bands(turned)
    changes = [
        np.uint16(sum(1 << bit for bit in changed))
        for size in range(radius // _BANDS + 1)
        for changed in itertools.combinations(range(_BAND_BITS), size)
    ]
    for band in range(_BANDS):
        order = np.argsort(keys[:, 0, band], kind="stable")
        held = np.bincount(keys[:, 0, band], minlength=1 << _BAND_BITS)
        start = np.cumsum(held) - held
        for layout, change in itertools.product(range(turned.shape[1]), changes):
            bucket = keys[:, layout, band] ^ change
            for left, right in _bucket_mates(order, start[bucket], held[bucket]):
                apart = np.bitwise_count(turned[left, layout] ^ turned[right, 0])
                keep = (left < right) & (apart <= radius)
                yield np.stack([left[keep], right[keep]], 1)


def _bucket_mates(
    order: np.ndarray, start: np.ndarray, held: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields each position with each in its bucket, `order[start : start + held]`, in blocks."""
    positions = np.flatnonzero(held)
    block = np.cumsum(held[positions]) // _AT_ONCE
    for some in np.split(positions, np.flatnonzero(np.diff(block)) + 1):
        left = np.repeat(some, held[some])
        within = np.arange(len(left)) - np.repeat(np.cumsum(held[some]) - held[some], held[some])
        yield left, order[np.repeat(start[some], held[some]) + within]


def _bands(hashes: np.ndarray) -> np.ndarray:
    """Deals the bits of uint64 (...) to four keys, uint16 (..., 4)."""
    bits = np.unpackbits(hashes.astype(">u8")[..., None].view(np.uint8), axis=-1)
    return np.packbits(bits[..., _BAND_OF_BITS], axis=-1).view(">u2")[..., 0].astype(np.uint16)


def _packed(bits: np.ndarray) -> np.ndarray:
    """Packs bool (N, 8, 8) into uint64 (N,)."""
    return np.packbits(bits.reshape(-1, 64), axis=1).view(">u8")[:, 0].astype(np.uint64)


def _thumbnails_agree(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns bool (M,): whether thumbnails agree in one of 8 layouts, apart from brightness."""
    one, other = one.astype(np.float32), other.astype(np.float32)
    means = one.mean((1, 2), keepdims=True), other.mean((1, 2), keepdims=True)
    one, other = one - means[0], other - means[1]
    sides = (other, other.transpose(0, 2, 1, 3))
    turned = [side[:, ::y, ::x] for side in sides for y in (1, -1) for x in (1, -1)]
    apart = np.min([np.abs(one - side).mean((1, 2, 3)) for side in turned], axis=0)
    return (apart <= tolerance) & (np.abs(means[0] - means[1]).max((1, 2, 3)) <= _BRIGHTER)
