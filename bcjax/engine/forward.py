"""Answers each picture of a split once, whatever the batch size and the number of devices."""

import collections
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from bcjax.engine import dispatch
from bcjax.engine.dispatch import Batch, Pictures
from bcjax.engine.feed import Feed, whole_batches
from bcjax.engine.state import Variables
from bcjax.runtime import mesh as meshes

View = Callable[[Batch, Pictures], Batch]  # to a batch with another `image`, uint8 (B, H, W, 3)

_IN_FLIGHT = 2  # calls that the host may run ahead of the devices


def predictions(
    predict: Callable,
    variables: Variables,
    feed: Feed,
    mesh: Mesh,
    batch_size: int,
    view: View | None = None,
) -> tuple[Float[np.ndarray, "N C"], Int[np.ndarray, "N"]]:
    """Answers each picture of a split once, in its order.

    Args:
      predict: From `dispatch.compile_predict`.
      variables: Of the network.
      feed: The split.
      mesh: Whose devices share a batch.
      batch_size: Pictures at a time, rounded up to what the devices divide.
      view: What is answered in the place of the pictures.

    Returns:
      Logits, float32, and labels.
    """
    batch_size = whole_batches(mesh, min(batch_size, feed.examples))
    fetched: list[tuple[np.ndarray, np.ndarray]] = []
    in_flight: collections.deque[tuple[Any, np.ndarray]] = collections.deque()

    def fetch() -> None:
        answer, mask = in_flight.popleft()
        logits, labels = jax.device_get(answer)
        fetched.append((logits[mask], labels[mask]))

    for batches, mask in feed.once(batch_size, 1 if view else dispatch.per_call()):
        pictures = feed.pictures
        if view:
            one = {name: array[0] for name, array in batches.items()}
            seen = view(jax.device_put(one, meshes.batch_sharding(mesh)), pictures)
            call = {name: array[None] for name, array in seen.items()}
            batches, pictures = jax.device_put(call, meshes.batch_sharding(mesh, leading=1)), {}
        in_flight.append((predict(variables, batches, pictures), mask))
        if len(in_flight) > _IN_FLIGHT:  # so the devices compute while the host fetches
            fetch()
    while in_flight:
        fetch()
    logits, labels = zip(*fetched, strict=True)
    return np.concatenate(logits), np.concatenate(labels)
