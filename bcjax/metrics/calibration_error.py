"""How far the highest probability is from how often it is right."""

import numpy as np
from jaxtyping import Float, Int

from bcjax.metrics.predictions import Measure, Predictions, Weights, share, summing

BINS = 15

# Where a resample's noise is found, by the error that it blurs.
NOISE = {name: f"{name}_noise" for name in ("ece", "ace", "mce")}


def calibration_error(predictions: Predictions) -> Measure:
    """Expected, adaptive and maximum calibration error of the predicted class.

    Confidence and accuracy are compared bin by bin:

    - `ece`: bins of equal width, the mean gap weighted by pictures (Naeini et al. 2015; Guo et al.
      2017)
    - `ace`: bins of equal mass, the mean gap (Nguyen and O'Connor 2015; "adaptive ECE"). Equal
      confidences across a border are shared between its bins in proportion.
    - `mce`: the largest gap in the bins of equal width

    Noise makes each of them larger, a resample has more of it, and percentiles over resamples
    would miss the truth. So each comes with its noise (`NOISE`): the same error, of the gaps less
    those of the pictures themselves. By the triangle inequality the truth is no farther than that
    from the value.
    """
    gap = predictions.correct - predictions.confidence
    bins, places = bin_of(predictions.confidence), predictions.place.max() + 1
    gap_in_bin, count_in_bin = summing(bins, BINS, gap), summing(bins, BINS)
    gap_at, count_at = summing(predictions.place, places, gap), summing(predictions.place, places)
    borders = np.arange(BINS + 1) / BINS

    def gaps(weights: Weights) -> dict[str, Float[np.ndarray, "B R"]]:
        """Of each bin; for the means, times its share of the pictures."""
        n, wide, filled = weights.sum(axis=0), gap_in_bin @ weights, count_in_bin @ weights
        reached, total = (count_at @ weights).cumsum(axis=0), (gap_at @ weights).cumsum(axis=0)
        return {
            "ece": wide / n,
            "ace": np.diff(share(np.outer(borders, n), reached, total), axis=0) / n,
            "mce": wide / np.maximum(filled, 1),
        }

    own = gaps(np.ones((predictions.n, 1)))

    def measure(weights: Weights) -> dict[str, np.ndarray]:
        found = gaps(weights)
        noise = {NOISE[name]: each - own[name] for name, each in found.items()}
        return {
            name: np.abs(each).max(axis=0) if "mce" in name else np.abs(each).sum(axis=0)
            for name, each in (found | noise).items()
        }

    return measure


def bin_of(confidence: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """The bin of equal width that holds each confidence: (0, 1/15], (1/15, 2/15], ..."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")
