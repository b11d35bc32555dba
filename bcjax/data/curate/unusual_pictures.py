"""How unlike all others each picture looks: which are everyday photographs among cells.

A picture is compared with all others, whatever their labels: a cell of a rare class still looks
like a cell. Nothing is learned, no network is needed, and the thumbnails that find near duplicates
are enough. Measured with 40 everyday photographs among 300 cells of each of eight sets from four
laboratories: 37 or more are found, and no more than 1.4 % of the cells are accused. To look at
10,000 pictures takes a second or two of one core.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from bcjax.data.curate.measured_pictures import Measures, Positions

_FEWEST = 20  # pictures among which one may be unusual
_RANKS = (2, 3)  # of the third nearest, from 0, without the picture itself and with it
_LEAST = 1e-6  # squared distance of equal pictures
_COMPARED = 500  # pictures that each is compared with
_BLOCK = 1000  # pictures whose pixels and distances are held in memory
_AT_ONCE = 2  # views, each of which takes 800 bytes for a picture
_UNUSUAL = 0.7  # logarithm of how many times the usual distance: twice
_UNUSUAL_LAYOUT = 0.15  # likewise; 80 % to 90 % of the cells of another laboratory have less

Thumbnails = UInt8[np.ndarray, "N 16 16 3"]

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
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        views = list(pool.map(lambda view: log_distances(view(measures.thumbnail, first)), _VIEWS))
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
    mean = features.mean(0)  # near zero, squares lose less to rounding
    some = np.random.default_rng(0).permutation(len(features))[:_COMPARED]
    others, own = features[some] - mean, np.isin(np.arange(len(features)), some)
    lengths = (others**2).sum(1)
    squares = np.concatenate([
        np.partition(lengths - 2 * block @ others.T, _RANKS, axis=1)[:, _RANKS]
        + (block**2).sum(1, keepdims=True)
        for block in (each - mean for each in np.array_split(features, -(-len(features) // _BLOCK)))
    ])  # fmt: skip
    # The nearest of those that are compared with themselves is the picture itself.
    third = np.sqrt(np.maximum(np.where(own, squares[:, 1], squares[:, 0]), _LEAST))
    return np.log(third / np.median(third))


def _distribution(thumbnails: Thumbnails, first: Positions) -> Float[np.ndarray, "n 21"]:
    everywhere = np.arange(len(thumbnails))  # copies count in what is usual
    features = _in_blocks(
        lambda lab: np.concatenate([_quantiles(lab), _deviations(lab)], axis=1),
        thumbnails,
        everywhere,
    )
    return _scaled(features)[first]


def _chroma(thumbnails: Thumbnails, first: Positions) -> Float[np.ndarray, "n 144"]:
    return _in_blocks(_chroma_histogram, thumbnails, first)


def _layout(thumbnails: Thumbnails, first: Positions) -> Float[np.ndarray, "n 192"]:
    return _in_blocks(lambda lab: _reduced(lab).reshape(len(lab), -1), thumbnails, first)


def _shape(thumbnails: Thumbnails, first: Positions) -> Float[np.ndarray, "n 192"]:
    def shape(lab: Float[np.ndarray, "b P 3"]) -> Float[np.ndarray, "b 192"]:
        layout = _reduced(lab)
        centred = layout - layout.mean((1, 2), keepdims=True)
        centred /= centred.std((1, 2, 3), keepdims=True) + 3  # of a flat one, noise would be left
        return centred.reshape(len(lab), -1)

    return _in_blocks(shape, thumbnails, first)


_VIEWS = (_distribution, _chroma, _layout, _shape)


def _in_blocks(
    features: Callable[[Float[np.ndarray, "b P 3"]], Float[np.ndarray, "b C"]],
    thumbnails: Thumbnails,
    positions: Positions,
) -> Float[np.ndarray, "n C"]:
    """Returns features of pixels in L*a*b*, of which one block is in memory at a time."""
    starts = range(0, len(positions), _BLOCK)
    blocks = (_lab(thumbnails[positions[start : start + _BLOCK]]) for start in starts)
    return np.concatenate([features(lab.reshape(len(lab), -1, 3)) for lab in blocks])


def _reduced(lab: Float[np.ndarray, "b P 3"]) -> Float[np.ndarray, "b 8 8 3"]:
    return lab.reshape(len(lab), 8, 2, 8, 2, 3).mean((2, 4))


def _lab(rgb: Thumbnails) -> Float[np.ndarray, "N 16 16 3"]:
    """Returns CIE L*a*b*: L in 0..100, differences in about as large as a person sees them."""
    flat = rgb.reshape(1, -1, 3).astype(np.float32) / 255
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(rgb.shape)


def _quantiles(pixels: Float[np.ndarray, "N P 3"]) -> Float[np.ndarray, "N 15"]:
    ranks = np.round((pixels.shape[1] - 1) * np.array((0.05, 0.25, 0.5, 0.75, 0.95))).astype(int)
    return np.sort(pixels, axis=1)[:, ranks].reshape(len(pixels), -1)


def _deviations(pixels: Float[np.ndarray, "N P 3"]) -> Float[np.ndarray, "N 6"]:
    """Returns the signed roots of the covariances between L, a and b."""
    centred = pixels - pixels.mean(1, keepdims=True)
    rows, columns = np.triu_indices(3)
    covariances = (centred.swapaxes(1, 2) @ centred)[:, rows, columns] / pixels.shape[1]
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
