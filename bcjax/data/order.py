"""The order of the pictures: a stream of index batches that depends on the seed alone.

Step k's batch can be asked for directly, so a run that starts again at step k needs no state of
the stream: its position is the step. Every host computes the same global batch and loads only its
own rows, so the order is the same on any number of hosts.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from bcjax.config import nearest
from bcjax.runtime.errors import UserError

_MOST_REPEATS = 1000  # of a picture in an epoch


def permutation(examples: int, seed: int, epoch: int, stream: int = 0) -> Int32[np.ndarray, "N"]:
    """Returns a permutation that depends on its arguments alone, in any version of numpy."""
    # Sorting raw Philox words: numpy promises those bits for good, not `Generator.permutation`.
    key = np.array([seed, epoch], np.uint64)
    words = np.random.Philox(key=key, counter=[0, 0, 0, stream]).random_raw(examples)
    return np.argsort(words, kind="stable").astype(np.int32)


class ClassSampling:
    """An epoch that shows a chosen number of pictures of each class.

    The pictures of a class are shown in turn: all of them once before one of them again, across
    the ends of epochs too. So no picture falls behind, whatever the numbers. Each epoch can be
    asked for directly.

    Attributes:
      examples: Pictures in an epoch.
      shown: Pictures of each class in an epoch, in label order.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray, shown: Sequence[int]):
        """Makes the sampling.

        Args:
          labels: Labels of the training pictures, by position.
          shown: Pictures of each class that an epoch shows.
        """
        labels = np.asarray(labels)
        self.shown = tuple(int(count) for count in shown)
        self.examples = sum(self.shown)
        self._of_class = [np.flatnonzero(labels == c).astype(np.int32) for c in range(len(shown))]
        self._last: tuple[tuple[int, int], np.ndarray] | None = None

    def epoch(self, seed: int, epoch: int) -> Int32[np.ndarray, "N"]:
        """Returns the positions that an epoch shows, class by class, not yet shuffled."""
        if self._last is None or self._last[0] != (seed, epoch):
            each = [self._draw(label, seed, epoch) for label in range(len(self.shown))]
            self._last = ((seed, epoch), np.concatenate(each))
        return self._last[1]

    def _draw(self, label: int, seed: int, epoch: int) -> Int32[np.ndarray, "n"]:
        own, count = self._of_class[label], self.shown[label]
        start, stop = epoch * count, (epoch + 1) * count
        parts = [own[:0]]
        while start < stop:
            turn, offset = divmod(start, len(own))
            part = permutation(len(own), seed, turn, label + 1)[offset : offset + stop - start]
            parts.append(own[part])
            start += len(part)
        return np.concatenate(parts)


class Order:
    """Index batches for training: reshuffled each epoch, each picture once per epoch, no remainder.

    Epochs follow each other without a gap: the batch at an epoch's end is filled with the beginning
    of the next one, so no picture is ever dropped. With a `sampling`, that says what an epoch is.
    Where the batch size changed at a step, the pictures go on where those before it ended.

    A whole epoch is shuffled at once: grain's own shuffle costs 60 us per index, which a device
    store at 28 px would have to wait for.
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        seed: int,
        sampling: ClassSampling | None = None,
        shown: tuple[int, ...] = (),
    ):
        self.sampling = sampling
        self.examples = sampling.examples if sampling else examples  # in an epoch
        self.batch_size = batch_size
        self.seed = seed
        self._shown = shown or (0, 0)  # the step of the change, and the pictures until then

    def position(self, step: int) -> int:
        """Returns how many pictures are shown before a step."""
        changed, pictures = self._shown
        if step < changed:
            return pictures * step // changed
        return pictures + (step - changed) * self.batch_size

    def __call__(self, step: int) -> Int32[np.ndarray, "B"]:
        """Returns the positions of step `step`'s pictures (the first step is 0)."""
        start = self.position(step)
        stop = start + self.batch_size
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.examples)
            part = _epoch_permutation(self.examples, self.seed, epoch)[
                offset : offset + stop - start
            ]
            start += len(part)
            parts.append(self.sampling.epoch(self.seed, epoch)[part] if self.sampling else part)
        return np.concatenate(parts)


_epoch_permutation = functools.lru_cache(maxsize=4)(permutation)


class EvalBatch(NamedTuple):
    """One batch that covers part of a split.

    Attributes:
      positions: Positions of the pictures; padding repeats picture 0.
      mask: False for padding.
    """

    positions: Int32[np.ndarray, "B"]
    mask: Bool[np.ndarray, "B"]


def evaluation_batches(examples: int, batch_size: int) -> list[EvalBatch]:
    """Returns batches that cover each picture exactly once, in order, the last one padded."""
    batches = []
    for start in range(0, examples, batch_size):
        index = np.arange(start, start + batch_size, dtype=np.int32)
        mask = index < examples
        batches.append(EvalBatch(np.where(mask, index, 0).astype(np.int32), mask))
    return batches


def shown_per_class(
    kind: str,
    epoch_size: int | None,
    repeat: Sequence[str],
    counts: Sequence[int],
    classes: Sequence[str],
) -> tuple[int, ...] | None:
    """Returns how many pictures of each class an epoch shows; None if each picture once.

    Args:
      kind: The config's `train.sampling`. "natural": each class by its share of the pictures.
        "balanced": the same number of each class.
      epoch_size: The config's `train.epoch_size`: the pictures in an epoch before `repeat`; None:
        as many as there are.
      repeat: The config's `train.repeat`: "CLASS=FACTOR" multiplies the number of a class, by 2.5
        for example.
      counts: Training pictures of each class.
      classes: Class names in label order.

    Raises:
      UserError: If a class is unknown or has no picture, or a factor is not a positive number.
    """
    if kind == "natural" and not repeat and epoch_size is None:
        return None
    weights = counts if kind == "natural" else [1] * len(counts)
    shown = _shares(sum(counts) if epoch_size is None else epoch_size, weights)
    for text in repeat:
        name, _, factor = text.rpartition("=")
        written = re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", factor)
        if not written or not 0 < float(factor) <= _MOST_REPEATS:
            raise UserError(
                f"config.train.repeat has {text!r}: write CLASS=FACTOR with a factor above 0 and "
                f"at most {_MOST_REPEATS}, such as 2.5."
            )
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


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Divides a whole number by weights; what is left over goes to the largest remainders."""
    parts = [divmod(total * weight, sum(weights)) for weight in weights]
    shares = [share for share, _ in parts]
    first = sorted(range(len(parts)), key=lambda c: -parts[c][1])
    for c in first[: total - sum(shares)]:
        shares[c] += 1
    return shares
