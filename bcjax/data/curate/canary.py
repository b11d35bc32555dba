"""A model that sees only colours: where it does well, the split shows it what it has seen.

Colours tell some cells apart (an eosinophil is orange), but a histogram holds no shape. Augmented
copies of a picture (turned, mirrored, shifted) share its histogram, so a forest on histograms
finds them as a network does, and scores what the network would score by memory alone.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from bcjax.data.records import Record

_TREES = 100
_MOST = 3000  # pictures that the forest is fitted to, and scored on
_FOLDS = 5
_MARGIN = 0.10  # of a split's score above the grouped one that is more than chance and habit
_SIGMAS = 3.0
_CEILING = 0.97  # more than colours can tell of cells, with _SEVERAL classes
_SEVERAL = 4


@dataclasses.dataclass(frozen=True)
class Canary:
    """What colours alone score.

    Attributes:
      split: Which split was scored, "test" or else "val".
      accuracy: On that split, fitted to train.
      n: Pictures of that split that were scored.
      grouped: Accuracy in cross-validation of train, with what belongs together on one side of
        each fold; None where there are too few groups.
      grouped_n: Pictures behind it.
      suspicious: Whether the split's score is more than colours can know; see `score`.
      sentence: Plainly.
    """

    split: str
    accuracy: float
    n: int
    grouped: float | None
    grouped_n: int
    suspicious: bool
    sentence: str


def score(
    records: Sequence[Record],
    histograms: Float32[np.ndarray, "N C"],
    units: Sequence[object],
    *,
    seed: int,
    threads: int | None = None,
) -> Canary | None:
    """Scores a random forest on colour histograms on the split, and against itself.

    Suspicious is a split on which it scores, by more than 3 standard errors, 10 points more than
    in a cross-validation that keeps together what is known to belong together: copies that the
    split divides, or a train that is unlike the rest. Where the copies are not known, the two
    scores are too good alike; so suspicious is also 97 % with four classes or more: of honest sets
    PBC, one laboratory's best-coloured, gives 90 %, and `bccd4`, split at random, 98 % and more.

    Args:
      records: Of N pictures, each with its split.
      histograms: Of these pictures.
      units: What belongs together, an equal key for each.
      seed: Of the sample and of the forest.
      threads: None: one for each core.

    Returns:
      None without a test and a val split.
    """
    splits = np.array([record.split for record in records])
    labels = np.array([record.label for record in records])
    split = next((name for name in ("test", "val") if (splits == name).any()), None)
    if split is None or not (splits == "train").any():
        return None
    rng = np.random.default_rng(seed)
    train = _sample(np.flatnonzero(splits == "train"), rng)
    held = _sample(np.flatnonzero(splits == split), rng)

    def accuracy(fit: np.ndarray, on: np.ndarray) -> float:
        forest = RandomForestClassifier(_TREES, n_jobs=threads or -1, random_state=seed)
        return forest.fit(histograms[fit], labels[fit]).score(histograms[on], labels[on])

    ours = accuracy(train, held)
    _, group = np.unique([repr(units[i]) for i in train], return_inverse=True)
    grouped = _grouped(train, labels[train], group, accuracy, seed)
    classes = len(set(labels.tolist()))
    return _verdict(split, ours, len(held), grouped, len(train), classes)


def _sample(positions: Int[np.ndarray, "n"], rng: np.random.Generator) -> Int[np.ndarray, "m"]:
    if len(positions) <= _MOST:
        return positions
    return np.sort(rng.choice(positions, _MOST, replace=False))


def _grouped(train, labels, group, accuracy, seed: int) -> float | None:
    """Accuracy over all folds; None if a class has fewer groups than there are folds."""
    if min(len(set(group[labels == label])) for label in set(labels.tolist())) < _FOLDS:
        return None
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    right = [
        len(on) * accuracy(train[fit], train[on]) for fit, on in folds.split(train, labels, group)
    ]
    return sum(right) / len(train)


def _verdict(
    split: str, ours: float, n: int, grouped: float | None, grouped_n: int, classes: int
) -> Canary:
    suspicious = classes >= _SEVERAL and ours >= _CEILING
    against = ""
    if grouped is not None:
        error = math.sqrt(ours * (1 - ours) / n + grouped * (1 - grouped) / grouped_n)
        suspicious |= ours - grouped > max(_MARGIN, _SIGMAS * error)
        against = f", {grouped:.1%} by groups within train (n = {grouped_n:,})"
    sentence = f"Colours alone get {ours:.1%} of {split} right (n = {n:,}){against}: " + (
        "more than colours can tell. Copies or kin of these pictures are likely in train; "
        "group by what belongs together (data.group_by) and carve anew (data.resplit)."
        if suspicious
        else "no sign of copies on both sides."
    )
    return Canary(split, ours, n, grouped, grouped_n, suspicious, sentence)
