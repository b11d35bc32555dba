"""Made-up probabilities, with labels that they often meet."""

import numpy as np

NAMES = ["basophil", "eosinophil", "lymphocyte", "monocyte"]


def made_up(n, *, classes=4, skill=1.5, seed=0, decimals=None):
    """Probabilities and labels; rounding to few decimals makes ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if decimals is not None:
        probabilities[:, 1:] = (probabilities[:, 1:] - 0.5 * 10**-decimals).round(decimals).clip(0)
        probabilities[:, 0] = 1 - probabilities[:, 1:].sum(1)
        probabilities = probabilities.round(decimals)
    return probabilities, labels
