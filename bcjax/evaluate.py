"""The evaluation loop: each example exactly once, and the same numbers wherever it is called."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from bcjax import metrics
from bcjax.feed import Feed, whole_batches
from bcjax.state import Variables

Result = dict[str, Any]


def predictions(
    predict: Callable, variables: Variables, feed: Feed, mesh: Mesh, batch_size: int
) -> tuple[Float[np.ndarray, "N C"], Int[np.ndarray, "N"]]:
    """Answers each picture of a split once, in its order.

    Args:
      predict: From `steps.compile_predict`.
      variables: Of the network.
      feed: The split.
      mesh: Whose devices share a batch.
      batch_size: Pictures at a time, rounded up to what the devices divide.

    Returns:
      Logits, float32, and labels.
    """
    logits, labels = [], []
    for batch, mask in feed.once(whole_batches(mesh, batch_size)):
        answer = jax.device_get(predict(variables, batch, feed.pictures))
        logits.append(answer[0][mask])
        labels.append(answer[1][mask])
    return np.concatenate(logits), np.concatenate(labels)


def evaluate(
    predict: Callable,
    variables: Variables,
    feed: Feed,
    mesh: Mesh,
    *,
    classes: tuple[str, ...],
    batch_size: int,
    resamples: int,
) -> Result:
    """Measures a network on a split; see `metrics.evaluate` for what is in the result."""
    logits, labels = predictions(predict, variables, feed, mesh, batch_size)
    return metrics.evaluate(softmax(logits), labels, classes, resamples=resamples)


def softmax(logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Probabilities, float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def headline(result: Result) -> dict[str, float]:
    """Returns {"accuracy": 0.97, ...}: the values alone, those that are defined."""
    figures = result["metrics"].items()
    return {name: figure["value"] for name, figure in figures if figure["value"] is not None}


def write(result: Result, workdir: Path, split: str) -> Path:
    """Writes `eval/<split>.json`, atomically, and returns its path."""
    path = workdir / "eval" / f"{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(partial, path)
    return path
