"""A model that sees only colours: where it scores high, training pictures are in the test set.

Colours tell some cells apart (an eosinophil is orange), but a histogram holds no shape. Augmented
copies of a picture (turned, mirrored, shifted) share its histogram, so a forest on histograms
recognises them as a network does, and scores what the network would score by memory alone.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from bcjax.data.curate.datasheet import Canary
from bcjax.data.records import Record

_TREES = 100
_MOST = 3000  # pictures to fit the forest to, and to score it on
_FOLDS = 5
_MARGIN = 0.10  # by which a split's score may exceed the grouped one
_SIGMAS = 3.0
_CEILING = 0.97  # more than colours can tell about cells, with _SEVERAL classes
_SEVERAL = 4
_CLASSES = 100  # that are looked at; each leaf of the forest holds a number for each of them


def score_canary(
    records: Sequence[Record],
    histograms: Float32[np.ndarray, "N C"],
    units: Sequence[object],
    *,
    seed: int,
    threads: int | None = None,
) -> Canary | None:
    """Scores a random forest on colour histograms on the split, and in cross-validation.

    A split is suspicious if the forest scores 10 points, and 3 standard errors, more on it than in
    a cross-validation that keeps together what is known to belong together: the split divides
    copies, or train is unlike the rest. Where copies are not known, both scores are too high; so a
    score of 97 % with four classes or more is suspicious too. Of honest sets PBC, one laboratory's
    best-coloured, gives 90 %; `bccd4`, split at random, gives 98 % and more.

    Of more than 100 classes, 100 that are chosen at random are looked at, with all their pictures:
    a forest's memory grows with the classes times the pictures, and of pictures that are sampled
    from 1,000 classes few would still have their copy beside them. 1,000 classes of 10 pictures
    took 2.7 GB.

    Args:
      records: N pictures, each with its split.
      histograms: Their colour histograms.
      units: A key for each picture, equal for those that belong together.
      seed: Seed of the sample and of the forest.
      threads: Threads of the forest; None: one for each core.

    Returns:
      The score; None if there is neither a test nor a val split of the classes that are looked at.
    """
    splits = np.array([record.split for record in records])
    labels = np.array([record.label for record in records])
    split = next((name for name in ("test", "val") if (splits == name).any()), None)
    if split is None or not (splits == "train").any():
        return None
    rng = np.random.default_rng(seed)
    seen = _of_some_classes(labels, rng)
    train = _sample(np.flatnonzero(seen & (splits == "train")), rng)
    scored = _sample(np.flatnonzero(seen & (splits == split)), rng)
    if not (len(train) and len(scored)):  # a split that the source gives may lack these classes
        return None

    def accuracy(fit: np.ndarray, on: np.ndarray) -> float:
        forest = RandomForestClassifier(_TREES, n_jobs=threads or -1, random_state=seed)
        return forest.fit(histograms[fit], labels[fit]).score(histograms[on], labels[on])

    on_split = accuracy(train, scored)
    _, group = np.unique([repr(units[i]) for i in train], return_inverse=True)
    grouped = _grouped_accuracy(train, labels[train], group, accuracy, seed)
    classes, known = (len(np.unique(each)) for each in (labels[seen], labels))
    among = f", {classes} of {known:,} classes" if classes < known else ""
    return _verdict(split, on_split, len(scored), grouped, len(train), classes, among)


def _of_some_classes(
    labels: Int[np.ndarray, "N"], rng: np.random.Generator
) -> Bool[np.ndarray, "N"]:
    """Returns which pictures are of the classes that are looked at: of all, if they are few."""
    classes = np.unique(labels)
    if len(classes) <= _CLASSES:
        return np.ones(len(labels), bool)
    return np.isin(labels, rng.choice(classes, _CLASSES, replace=False))


def _sample(positions: Int[np.ndarray, "n"], rng: np.random.Generator) -> Int[np.ndarray, "m"]:
    if len(positions) <= _MOST:
        return positions
    return np.sort(rng.choice(positions, _MOST, replace=False))


def _grouped_accuracy(train, labels, group, accuracy, seed: int) -> float | None:
    """Returns the accuracy over all folds; None if a class has fewer groups than folds."""
    if min(len(set(group[labels == label])) for label in set(labels.tolist())) < _FOLDS:
        return None
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    right = [
        len(on) * accuracy(train[fit], train[on]) for fit, on in folds.split(train, labels, group)
    ]
    return sum(right) / len(train)


def _verdict(
    split: str,
    on_split: float,
    n: int,
    grouped: float | None,
    grouped_n: int,
    classes: int,
    among: str,
) -> Canary:
    suspicious = classes >= _SEVERAL and on_split >= _CEILING
    against = ""
    if grouped is not None:
        error = math.sqrt(on_split * (1 - on_split) / n + grouped * (1 - grouped) / grouped_n)
        suspicious |= on_split - grouped > max(_MARGIN, _SIGMAS * error)
        against = f", {grouped:.1%} by groups within train (n = {grouped_n:,})"
    scores = f"{on_split:.1%} of {split} right (n = {n:,}{among}){against}"
    sentence = f"Colours alone get {scores}: " + (
        "more than colours can tell. Train probably holds copies of these pictures; group by what "
        "belongs together (data.group_by) and carve new splits (data.resplit)."
        if suspicious
        else "no sign of copies on both sides."
    )
    return Canary(split, on_split, n, grouped, grouped_n, suspicious, sentence)
