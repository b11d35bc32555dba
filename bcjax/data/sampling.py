"""How often an epoch shows the pictures of each class, and shuffling that stays what it is."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from bcjax.config import nearest
from bcjax.runtime.errors import UserError


def shuffled(examples: int, seed: int, epoch: int, stream: int = 0) -> Int32[np.ndarray, "N"]:
    """A permutation that depends on its arguments alone, in any version of numpy."""
    # Sorting raw Philox words: numpy promises those bits for good, not `Generator.permutation`.
    key = np.array([seed, epoch], np.uint64)
    words = np.random.Philox(key=key, counter=[0, 0, 0, stream]).random_raw(examples)
    return np.argsort(words, kind="stable").astype(np.int32)


class Sampling:
    """An epoch with a given number of pictures of each class.

    The pictures of a class are shown in turn, and all of them once before one of them again, over
    the ends of epochs too: no picture falls behind, whatever the numbers. Each epoch can be asked
    for directly.

    Attributes:
      examples: Pictures in an epoch.
      shown: Of each class, in label order.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray, shown: Sequence[int]):
        """Takes the labels by position, and how many pictures of each class an epoch shows."""
        labels = np.asarray(labels)
        self.shown = tuple(int(count) for count in shown)
        self.examples = sum(self.shown)
        self._of_class = [np.flatnonzero(labels == c).astype(np.int32) for c in range(len(shown))]
        self._last: tuple[tuple[int, int], np.ndarray] | None = None

    def epoch(self, seed: int, epoch: int) -> Int32[np.ndarray, "N"]:
        """The positions that an epoch shows, class by class: still to be shuffled."""
        if self._last is None or self._last[0] != (seed, epoch):
            each = [self._drawn(label, seed, epoch) for label in range(len(self.shown))]
            self._last = ((seed, epoch), np.concatenate(each))
        return self._last[1]

    def _drawn(self, label: int, seed: int, epoch: int) -> Int32[np.ndarray, "n"]:
        own, count = self._of_class[label], self.shown[label]
        start, stop = epoch * count, (epoch + 1) * count
        parts = [own[:0]]
        while start < stop:
            turn, offset = divmod(start, len(own))
            part = shuffled(len(own), seed, turn, label + 1)[offset : offset + stop - start]
            parts.append(own[part])
            start += len(part)
        return np.concatenate(parts)


def plan(
    kind: str, repeat: Sequence[str], counts: Sequence[int], classes: Sequence[str]
) -> tuple[int, ...] | None:
    """Returns how many pictures of each class an epoch shows; None: each picture once.

    Args:
      kind: "natural": as many as there are; "balanced": the same number of each class, and
        together as many as there are pictures.
      repeat: "CLASS=FACTOR", by which the number is multiplied; 2.5 is fine.
      counts: Training pictures of each class.
      classes: Their names.

    Raises:
      UserError: For a class that there is not or that has no picture, or a factor that is no
        positive number.
    """
    if kind == "natural" and not repeat:
        return None
    share, rest = divmod(sum(counts), len(counts))
    shown = list(counts) if kind == "natural" else [share + (c < rest) for c in range(len(counts))]
    for text in repeat:
        name, _, factor = text.rpartition("=")
        if not re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", factor) or not float(factor):
            raise UserError(f"config.train.repeat has {text!r}: write CLASS=FACTOR, such as 2.5.")
        if name.strip() not in classes:
            raise UserError(
                f"config.train.repeat has {text!r}, but there is no class {name.strip()!r}"
                f"{nearest(name.strip(), list(classes))}"
            )
        label = list(classes).index(name.strip())
        shown[label] = max(1, round(shown[label] * float(factor)))
    for count, number, name in zip(counts, shown, classes, strict=True):
        if number and not count:
            raise UserError(
                f"Class {name!r} has no training picture to show {number} times: add some, drop "
                "the class, or set train.sampling to 'natural'."
            )
    return tuple(shown)
