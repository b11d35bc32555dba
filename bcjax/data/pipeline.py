"""Feeds the loop: batches loaded ahead of the step, in order, by grain's threads or processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import grain

T = TypeVar("T")
Loaded = TypeVar("Loaded")


def ahead(
    items: Sequence[T],
    load: Callable[[T], Loaded],
    *,
    prefetch: int,
    threads: int | None = None,
    workers: int = 0,
) -> Iterator[Loaded]:
    """Yields `load(item)` for each item, in order, while later ones are loaded in the background.

    Args:
      items: What to load.
      load: Called in background threads, or in worker processes (then it must be picklable).
      prefetch: How many results are held ready at most.
      threads: Loading threads; None: one for each core.
      workers: Worker processes; 0: none. Starting them takes seconds.
    """
    dataset = grain.MapDataset.source(items).map(load)
    options = grain.ReadOptions(
        num_threads=min(threads or os.cpu_count() or 1, prefetch), prefetch_buffer_size=prefetch
    )
    stream = dataset.to_iter_dataset(options)
    if workers:
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    iterator = iter(stream)
    try:
        yield from iterator
    finally:
        iterator.close()
