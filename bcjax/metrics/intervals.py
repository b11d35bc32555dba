"""How sure a figure is: Wilson's intervals, and the bootstrap over pictures or groups of them."""

import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from bcjax.metrics.predictions import Measure, Weights

LEVEL = 0.95

# Elements of a block of resampling weights: 2 MB each, so that the few that live at a time stay in
# the processor's cache.
_BLOCK = 250_000


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion of `n` > 0 trials (Wilson, JASA 1927)."""
    z = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # It holds p and lies in [0, 1] by its algebra, though not by its rounding.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def units(groups: Sequence[str] | None, n: int) -> Int[np.ndarray, " N"]:
    """Returns what is resampled together: a number from 0 for each picture.

    Args:
      groups: Of each picture, "" for one that stands alone; None: all stand alone.
      n: Pictures.

    Raises:
      ValueError: There are not n groups.
    """
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"There are {len(groups)} groups for {n} pictures.")
    # A picture that stands alone is named by its position, which no string equals.
    names = [name or position for position, name in enumerate(groups)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.intp)


def bootstrap(
    measure: Measure, units: Int[np.ndarray, " N"], resamples: int, seed: int
) -> dict[str, Float[np.ndarray, "... R"]]:
    """Returns each metric on samples of the units with replacement; none of a single unit."""
    if units.max() == 0 or not resamples:
        return {}
    blocks = [measure(weights) for weights in _weights(units, resamples, seed)]
    return {name: np.concatenate([b[name] for b in blocks], axis=-1) for name in blocks[0]}


def _weights(units: Int[np.ndarray, " N"], resamples: int, seed: int) -> Iterator[Weights]:
    """How often each sample draws each picture, in blocks."""
    rng = np.random.default_rng(seed)
    count, size = int(units.max()) + 1, max(1, _BLOCK // len(units))
    for start in range(0, resamples, size):
        # One sample after another, so that the size of the blocks changes nothing.
        samples = [
            np.bincount(rng.integers(count, size=count), minlength=count)
            for _ in range(min(size, resamples - start))
        ]
        # Pictures first: sums over them then add whole rows.
        yield np.stack(samples, axis=1).astype(np.float64)[units]


def percentiles(draws: Float[np.ndarray, " R"]) -> tuple[float, float] | None:
    """The 95 % interval that draws of a metric give; None where none is defined (not NaN)."""
    if np.isnan(draws).all():
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(draws, (tail, 1 - tail))
    return float(low), float(high)


def give_or_take(value: float, noise: Float[np.ndarray, " R"]) -> tuple[float, float]:
    """The interval that noise leaves around a value: as far as it reaches in 95 % of draws."""
    reach = float(np.quantile(noise, LEVEL))
    return value - reach, value + reach
