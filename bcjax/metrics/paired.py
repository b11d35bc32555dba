"""Whether one classifier is right more often than another, on the same pictures."""

from typing import Any

import numpy as np
from jaxtyping import Bool


def mcnemar(first: Bool[np.ndarray, " N"], second: Bool[np.ndarray, " N"]) -> dict[str, Any]:
    """The exact test of whether two classifiers are right equally often (McNemar 1947).

    Args:
      first: Whether it was right, for each of independent pictures.
      second: The other one, for the same pictures.

    Returns:
      `only_first` and `only_second`: pictures that one alone had right; `p_value`, two-sided: how
      likely they would part so unevenly by the toss of a coin.
    """
    from scipy.stats import binomtest  # here, for it takes a second to import

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    p_value = float(binomtest(only_first, apart).pvalue) if apart else 1.0
    return {"only_first": only_first, "only_second": only_second, "p_value": p_value}
