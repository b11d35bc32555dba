"""What a classifier's probabilities are worth, each figure with its n and its interval."""

import collections
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95

# Elements of a block of resampling weights: 16 MB each of the few that live at a time.
_BLOCK = 2_000_000


def evaluate(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures predictions against the truth.

    A figure with an interval is `{"value", "n", "interval", "low", "high"}`: 95 %, Wilson's for
    proportions ("wilson"), else percentiles over resampled pictures ("bootstrap"; Efron and
    Tibshirani 1993, ch. 13). Without an interval, `interval` is None and `low` and `high` are
    absent. What is undefined is None, is left out of the macro averages, and is listed:

    - a class without pictures has no recall and no AUC, nor is there an AUC where all pictures
      are of one class; a class never predicted has no precision; one that neither occurs nor is
      predicted has no F1.

    Args:
      probabilities: In [0, 1], each row summing to 1 within 1e-3; any float dtype.
      labels: In [0, C).
      classes: C names, in the order of the columns.
      resamples: For the bootstrap; 0 leaves its intervals out.
      seed: Of the bootstrap.

    Returns:
      Plain Python values, ready for JSON (never NaN):

      - `n`, `classes`, `resamples`, `seed`
      - `metrics`: figures `accuracy`, `balanced_accuracy`, `macro_f1`, `macro_auc` (one class
        against the rest) and `log_loss` (nats; of probabilities not below 2.2e-16)
      - `per_class`: for each class its `name`, `n`, `precision`, `recall` (a figure), `f1`, `auc`
      - `confusion_matrix`: counts, `[true class][predicted class]`
      - `undefined`: for each of precision, recall, f1 and auc, the classes that have none

    Raises:
      ValueError: The arrays are not what is said above.
    """
    # Here, for it takes two seconds to import, and only evaluation needs it.
    from sklearn import metrics as sk

    probabilities, labels = _checked(probabilities, labels, classes)
    n, indices = len(labels), np.arange(len(classes))
    predicted = probabilities.argmax(1)
    # Float32 rows sum to 1 within rounding only; dividing all by it would part ties in the AUC.
    likelihood = probabilities[np.arange(n), labels] / probabilities.sum(axis=1)
    losses = -np.log(np.maximum(likelihood, np.finfo(np.float64).eps))
    confusion = sk.confusion_matrix(labels, predicted, labels=indices)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=indices, zero_division=np.nan
    )
    auc = np.array(
        [
            sk.roc_auc_score(labels == c, probabilities[:, c]) if 0 < support[c] < n else np.nan
            for c in indices
        ]
    )
    values = {
        "balanced_accuracy": _macro(recall),
        "macro_f1": _macro(f1),
        "macro_auc": _macro(auc),
        "log_loss": losses.mean(),
    }
    draws = _bootstrap(probabilities, losses, labels, predicted, resamples, seed)

    per_class = [
        {
            "name": name,
            "n": int(support[c]),
            "precision": _plain(precision[c]),
            "recall": _proportion(int(confusion[c, c]), int(support[c])),
            "f1": _plain(f1[c]),
            "auc": _plain(auc[c]),
        }
        for c, name in enumerate(classes)
    ]
    by_name = {"precision": precision, "recall": recall, "f1": f1, "auc": auc}
    return {
        "n": n,
        "classes": list(classes),
        "resamples": resamples,
        "seed": seed,
        "metrics": {
            "accuracy": _proportion(int(np.trace(confusion)), n),
            **{name: _figure(value, n, draws.get(name)) for name, value in values.items()},
        },
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
        "undefined": {
            metric: [name for name, value in zip(classes, found, strict=True) if np.isnan(value)]
            for metric, found in by_name.items()
        },
    }


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion of `n` > 0 trials (Wilson, JASA 1927)."""
    z = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # It holds p and lies in [0, 1] by its algebra, though not by its rounding.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def _checked(probabilities, labels, classes) -> tuple[np.ndarray, np.ndarray]:
    """The arrays, as float64 and intp."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if len(classes) < 2:
        raise ValueError(f"Evaluation needs two classes or more; got {list(classes)}.")
    if labels.ndim != 1 or probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"Probabilities of shape {probabilities.shape} and labels of shape {labels.shape} do "
            f"not fit (N, {len(classes)}) and (N,)."
        )
    if not len(labels):
        raise ValueError("There is nothing to evaluate: no labels.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Labels must be integers; got {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(
            f"Labels must lie in [0, {len(classes)}); got {labels.min()} to {labels.max()}."
        )
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise ValueError("Probabilities must be finite and not negative.")
    sums = probabilities.sum(axis=1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(f"Probabilities must sum to 1; row {worst} sums to {sums[worst]:.4g}.")
    return probabilities, labels.astype(np.intp)


def _figure(value: float, n: int, draws: Float[np.ndarray, " R"] | None = None) -> dict[str, Any]:
    figure: dict[str, Any] = {"value": _plain(value), "n": n, "interval": None}
    if draws is not None and not np.isnan(draws).all():
        tail = (1 - LEVEL) / 2
        low, high = np.nanquantile(draws, (tail, 1 - tail))
        figure |= {"interval": "bootstrap", "low": float(low), "high": float(high)}
    return figure


def _proportion(successes: int, n: int) -> dict[str, Any] | None:
    if not n:
        return None
    low, high = wilson(successes, n)
    return {"value": successes / n, "n": n, "interval": "wilson", "low": low, "high": high}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _macro(per_class: Float[np.ndarray, "... C"]) -> Float[np.ndarray, "..."]:
    """The mean over the classes that are defined (not NaN); NaN where none is."""
    defined = ~np.isnan(per_class)
    with np.errstate(invalid="ignore"):
        return np.where(defined, per_class, 0).sum(-1) / defined.sum(-1)


def _bootstrap(
    probabilities, losses, labels, predicted, resamples: int, seed: int
) -> dict[str, Float[np.ndarray, " R"]]:
    """Each headline metric on `resamples` samples of the pictures with replacement."""
    n, c = probabilities.shape
    correct = labels == predicted
    blocks: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    for weights in _weights(n, resamples, seed):
        # Never c * c numbers for each sample: a network of ImageNet has a thousand classes.
        true, guessed, hits = (
            np.stack([np.bincount(of, w, minlength=c) for w in each.T])
            for of, each in (
                (labels, weights),
                (predicted, weights),
                (labels[correct], weights[correct]),
            )
        )
        with np.errstate(invalid="ignore"):
            recall, f1 = hits / true, 2 * hits / (true + guessed)
        auc = np.full_like(recall, np.nan)
        for k in np.unique(labels):
            auc[:, k] = _auc(probabilities[:, k], labels == k, weights)
        blocks["balanced_accuracy"].append(_macro(recall))
        blocks["macro_f1"].append(_macro(f1))
        blocks["macro_auc"].append(_macro(auc))
        blocks["log_loss"].append(losses @ weights / n)
    return {name: np.concatenate(parts) for name, parts in blocks.items()}


def _weights(n: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "N r"]]:
    """How often each sample draws each picture, in blocks."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // n)
    for start in range(0, resamples, size):
        # One sample after another, so that the size of the blocks changes nothing.
        samples = [
            np.bincount(rng.integers(n, size=n), minlength=n)
            for _ in range(min(size, resamples - start))
        ]
        # Pictures first: `_auc` then gathers and sums whole rows.
        yield np.stack(samples, axis=1).astype(np.float64)


def _auc(
    scores: Float[np.ndarray, " N"],
    positive: np.ndarray,
    weights: Float[np.ndarray, "N r"],
) -> Float[np.ndarray, " r"]:
    """Area under the ROC curve, for each column of weights.

    It is the share of (positive, negative) pairs in the right order, a tie counting one half
    (Mann and Whitney 1947); NaN where there is no pair.
    """
    positives, negatives = np.flatnonzero(positive), np.flatnonzero(~positive)
    negatives = negatives[scores[negatives].argsort()]
    below = np.zeros((len(negatives) + 1, weights.shape[1]))
    weights[negatives].cumsum(axis=0, out=below[1:])
    strictly = below[np.searchsorted(scores[negatives], scores[positives], "left")]
    or_tied = below[np.searchsorted(scores[negatives], scores[positives], "right")]
    gained = weights[positives]
    with np.errstate(invalid="ignore"):
        return (gained * (strictly + or_tied)).sum(0) / (2 * gained.sum(0) * below[-1])
