"""Lines of the log that say how far a long task is, every few seconds."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

log = logging.getLogger("bcjax")

Item = TypeVar("Item")

SECONDS = 5.0  # between two lines


def told(
    items: Iterable[Item], total: int, done: str, count: Callable[[Item], int] = lambda _: 1
) -> Iterator[Item]:
    """Yields the items, and says how many are done: "pictures: 4,096 of 10,000 measured".

    What takes less than `SECONDS` is not told of.

    Args:
      items: What is worked through as it is drawn.
      total: Pictures in all.
      done: What has been done to them, such as "measured".
      count: How many pictures an item stands for.
    """
    so_far, said = 0, time.monotonic()
    began = said
    for item in items:
        yield item
        so_far += count(item)
        now = time.monotonic()
        if now - said >= SECONDS:
            said = now
            rate = so_far / (now - began)
            counts = f"{so_far:,} of {total:,}"
            log.info("pictures: %s %s, %s pictures/s", counts, done, f"{rate:,.0f}")
