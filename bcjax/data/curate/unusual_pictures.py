"""How unlike all others each picture looks: which are everyday photographs among cells.

A picture is compared with all others, whatever their labels: a cell of a rare class still looks
like a cell. Nothing is learned, no network is needed, and the thumbnails that find near duplicates
are enough. Measured with 40 everyday photographs among 300 cells of each of eight sets from four
laboratories: 37 or more are found, and no more than 1.4 % of the cells are accused. To look at
50,000 pictures takes two seconds on two cores.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from bcjax.data.curate.measured_pictures import Measures, Positions

_FEWEST = 20  # pictures among which one may be unusual
_LEAST = 1e-6  # squared distance of equal pictures
_COMPARED = 500  # pictures that each is compared with
_BLOCK = 1000  # pictures whose pixels and distances are held in memory
_AT_ONCE = 2  # blocks that threads look at together
_UNUSUAL = 0.7  # logarithm of how many times the usual distance: twice
_UNUSUAL_LAYOUT = 0.15  # likewise; 80 % to 90 % of the cells of another laboratory have less

Lab = Float[np.ndarray, "b 16 16 3"]

_CHROMA_BINS = 12
_CHROMA_RANGE = ((-60, 84), (-72, 72))  # of a and b: stains, and almost all other colours


def unusual_pictures(measures: Measures) -> Positions:
    """Returns the positions of pictures that look unlike all others, the most unusual first.

    Two things are asked of them. They lie far from their neighbours on average over four views: the
    distribution of lightness and colours, the histogram of chroma, the layout, and the layout
    whatever the colours. And they do so in the last view by itself, as cells of another stain or
    laboratory do not.
    """
    _, first, number = np.unique(measures.pixel_sha256, return_index=True, return_inverse=True)
    if len(first) < _FEWEST:  # copies of one picture count once
        return np.empty(0, np.int64)
    thumbnails = measures.thumbnail
    some = _compared(len(first))
    others = [_Others(view) for view in _views(_lab(thumbnails[first[some]]))]

    def of_block(positions: Positions) -> list[np.ndarray]:
        lab = _lab(thumbnails[positions])
        near = [other.nearest(view) for other, view in zip(others, _views(lab), strict=True)]
        return [_distribution(lab), *near]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # Copies count in what is usual.
        copies = np.setdiff1d(np.arange(len(measures)), first)
        of_copies = [_distribution(_lab(thumbnails[block])) for block in _blocks(copies)]
        columns = zip(*pool.map(of_block, _blocks(first)), strict=True)
        distribution, *near = map(np.concatenate, columns)
    distribution = _scaled(np.concatenate([distribution, *of_copies]))[: len(first)]
    views = [log_distances(distribution), *(_logarithms(each, some) for each in near)]
    score = np.mean(views, axis=0)
    unusual: Bool[np.ndarray, "N"] = (score > _UNUSUAL) & (views[-1] > _UNUSUAL_LAYOUT)
    found = np.flatnonzero(unusual[number])
    return found[np.argsort(-score[number][found], kind="stable")]


def log_distances(features: Float[np.ndarray, "N C"]) -> Float64[np.ndarray, "N"]:
    """Returns how far each picture lies from its third nearest, against the usual distance.

    Args:
      features: Numbers that are similar for pictures that are. Where there are many pictures, each
        is compared with some of the others alone.

    Returns:
      The logarithm of that distance over its median: 0 is usual, and 0.7 twice as far.
    """
    some = _compared(len(features))
    others = _Others(features[some])
    return _logarithms(np.concatenate([others.nearest(b) for b in _blocks(features)]), some)


def _compared(count: int) -> Positions:
    """Returns the positions of the pictures with which each is compared."""
    return np.random.default_rng(0).permutation(count)[:_COMPARED]


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


class _Others:
    """The pictures with which each is compared, by their features."""

    def __init__(self, features: Float[np.ndarray, "M C"]):
        self._mean = features.mean(0)  # near zero, squares lose less to rounding
        self._features = features - self._mean
        self._lengths = (self._features**2).sum(1)

    def nearest(self, features: Float[np.ndarray, "b C"]) -> Float[np.ndarray, "b 2"]:
        """Returns the squared distances of the third and the fourth nearest."""
        block = features - self._mean
        squares = self._lengths - 2 * block @ self._features.T
        least = np.partition(squares, 3, axis=1)
        near = np.stack([least[:, :3].max(1), least[:, 3]], 1)
        return near + (block**2).sum(1, keepdims=True)


def _logarithms(nearest: Float[np.ndarray, "N 2"], compared: Positions) -> Float64[np.ndarray, "N"]:
    """Returns `log_distances` of the squares that `_Others.nearest` gives."""
    third = nearest[:, 0].copy()
    third[compared] = nearest[compared, 1]  # the nearest of these is the picture itself
    third = np.sqrt(np.maximum(third, _LEAST))
    return np.log(third / np.median(third))


def _distribution(lab: Lab) -> Float[np.ndarray, "b 21"]:
    """Returns the distribution of lightness and colours."""
    pixels = lab.reshape(len(lab), -1, 3)
    return np.concatenate([_quantiles(pixels), _deviations(pixels)], axis=1)


def _views(lab: Lab) -> tuple[Float[np.ndarray, "b C"], ...]:
    """Returns the histogram of chroma, the layout, and the layout whatever the colours."""
    rows = lab[:, ::2] + lab[:, 1::2]
    layout = (rows[:, :, ::2] + rows[:, :, 1::2]) / 4
    centred = layout - layout.mean((1, 2), keepdims=True)
    centred /= centred.std((1, 2, 3), keepdims=True) + 3  # of a flat one, noise would be left
    chroma = _chroma_histogram(lab.reshape(len(lab), -1, 3))
    return chroma, layout.reshape(len(lab), -1), centred.reshape(len(lab), -1)


def _lab(rgb: UInt8[np.ndarray, "b 16 16 3"]) -> Lab:
    """Returns CIE L*a*b*: L in 0..100, differences in about as large as a person sees them."""
    flat = rgb.reshape(1, -1, 3).astype(np.float32) / 255
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(rgb.shape)


def _quantiles(pixels: Float[np.ndarray, "N P 3"]) -> Float[np.ndarray, "N 15"]:
    ranks = np.round((pixels.shape[1] - 1) * np.array((0.05, 0.25, 0.5, 0.75, 0.95))).astype(int)
    return np.sort(pixels, axis=1)[:, ranks].reshape(len(pixels), -1)


def _deviations(pixels: Float[np.ndarray, "N P 3"]) -> Float[np.ndarray, "N 6"]:
    """Returns the signed roots of the covariances between L, a and b."""
    planes = np.ascontiguousarray(pixels.swapaxes(1, 2))  # ten times as fast
    planes -= planes.mean(2, keepdims=True)
    pairs = zip(*np.triu_indices(3), strict=True)
    covariances = np.stack([(planes[:, i] * planes[:, j]).mean(1) for i, j in pairs], 1)
    return np.sign(covariances) * np.sqrt(np.abs(covariances))


def _chroma_histogram(pixels: Float[np.ndarray, "N P 3"]) -> Float[np.ndarray, "N 144"]:
    """Returns the roots of the histograms of (a, b), whose distance is Hellinger's."""
    low, high = np.transpose(_CHROMA_RANGE)
    cells = ((pixels[..., 1:] - low) / (high - low) * _CHROMA_BINS).astype(int)
    a, b = np.moveaxis(cells.clip(0, _CHROMA_BINS - 1), -1, 0)
    bins = _CHROMA_BINS**2
    keys = np.arange(len(pixels))[:, None] * bins + a * _CHROMA_BINS + b
    counts = np.bincount(keys.ravel(), minlength=len(pixels) * bins).reshape(-1, bins)
    return np.sqrt(counts / pixels.shape[1], dtype=np.float32)


def _scaled(values: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Returns values over their usual deviation, which outliers change little."""
    centred = values - np.median(values, axis=0)
    usual = 1.4826 * np.median(np.abs(centred), axis=0)
    return centred / (usual + 0.1 * centred.std(0) + 1e-6)
