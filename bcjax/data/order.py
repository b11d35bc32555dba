"""The order of the pictures: a stream of index batches that depends on the seed alone.

Step k's batch can be asked for directly, so a run that starts again at step k needs no state of
the stream: its position is the step. Every host computes the same global batch and loads only its
own rows, so the order is the same on any number of hosts.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from bcjax.data.sampling import Sampling, shuffled


class Order:
    """Index batches for training: reshuffled each epoch, each picture once per epoch, no remainder.

    Epochs run on without a seam: the batch at an epoch's end is filled with the next one's
    beginning, so no picture is ever dropped. With a `sampling` an epoch is what that says.

    A whole epoch is shuffled at once: grain's own shuffle costs 60 us per index, which a device
    store at 28 px would wait for.
    """

    def __init__(self, examples: int, batch_size: int, seed: int, sampling: Sampling | None = None):
        self.sampling = sampling
        self.examples = sampling.examples if sampling else examples  # in an epoch
        self.batch_size = batch_size
        self.seed = seed

    def __call__(self, step: int) -> Int32[np.ndarray, "B"]:
        """Returns the positions of step `step`'s pictures (the first step is 0)."""
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.examples)
            part = _shuffled(self.examples, self.seed, epoch)[offset : offset + stop - start]
            start += len(part)
            parts.append(self.sampling.epoch(self.seed, epoch)[part] if self.sampling else part)
        return np.concatenate(parts)


_shuffled = functools.lru_cache(maxsize=4)(shuffled)


class EvalBatch(NamedTuple):
    """One batch that covers part of a split; padding has mask False and repeats picture 0."""

    positions: Int32[np.ndarray, "B"]
    mask: Bool[np.ndarray, "B"]


def once(examples: int, batch_size: int) -> list[EvalBatch]:
    """Returns batches that cover each picture exactly once, in order, the last one padded."""
    batches = []
    for start in range(0, examples, batch_size):
        index = np.arange(start, start + batch_size, dtype=np.int32)
        mask = index < examples
        batches.append(EvalBatch(np.where(mask, index, 0).astype(np.int32), mask))
    return batches
