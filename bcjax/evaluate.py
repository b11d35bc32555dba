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

from bcjax import config as configs
from bcjax import dispatch, metrics, network, steps
from bcjax import mesh as meshes
from bcjax.data import prepare
from bcjax.data.entry import entry_of
from bcjax.data.prepared import Prepared
from bcjax.data.store import choose, open_store
from bcjax.errors import UserError
from bcjax.feed import Feed, whole_batches
from bcjax.state import Variables

Result = dict[str, Any]


def predictions(
    predict: Callable, variables: Variables, feed: Feed, mesh: Mesh, batch_size: int
) -> tuple[Float[np.ndarray, "N C"], Int[np.ndarray, "N"]]:
    """Answers each picture of a split once, in its order.

    Args:
      predict: From `dispatch.compile_predict`.
      variables: Of the network.
      feed: The split.
      mesh: Whose devices share a batch.
      batch_size: Pictures at a time, rounded up to what the devices divide.

    Returns:
      Logits, float32, and labels.
    """
    batch_size = min(batch_size, feed.examples)
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
    """Measures a network on a split; see `metrics.evaluate` for what is in the result.

    Raises:
      UserError: If an answer is not finite.
    """
    logits, labels = predictions(predict, variables, feed, mesh, batch_size)
    if not np.isfinite(logits).all():
        raise UserError(
            "The network's answers are not finite, for its training diverged: lower "
            "config.optim.lr or set config.optim.clip_norm=1.0; earlier checkpoints are kept."
        )
    return metrics.evaluate(softmax(logits), labels, classes, resamples=resamples)


def softmax(logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Probabilities, float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def headline(result: Result) -> dict[str, float]:
    """Returns {"accuracy": 0.97, ...}: the values alone, those that are defined."""
    figures = result["metrics"].items()
    return {name: figure["value"] for name, figure in figures if figure["value"] is not None}


class Evaluator:
    """Evaluates checkpoints of a run, rebuilt from its workdir, on one split.

    Attributes:
      split: What is evaluated: "train", "val", "test", or "all" pictures of other data.
    """

    def __init__(self, workdir: Path, *, split: str, source: str = "", batch_size: int = 0):
        """Reads the run's config and opens the pictures.

        Args:
          workdir: The run's folder.
          split: Of the pictures.
          source: Other pictures than the run's own, of its classes, all or some. Where they have
            no splits, all are evaluated.
          batch_size: Pictures at a time; 0: as the run did.

        Raises:
          UserError: If there is no run, or no such split.
        """
        self.workdir = workdir
        config = configs.load(workdir)
        if source:
            config.data.source = source
            config.data.val_fraction = config.data.test_fraction = 0.0  # nothing is held back
        self._config = config
        self._batch_size = batch_size or config.eval.batch_size or config.train.batch_size
        self._mesh = meshes.create()
        prepared = prepare.ensure(config.data, complete=not source)
        self._examples = split
        if source and list(prepared.counts) == ["train"]:
            self._examples, split = "train", "all"
        elif not prepared.size(split):
            raise UserError(f"{prepared.path} has no {split} split: it has {prepared.named()}.")
        self.split = split
        needed = prepared.size(self._examples) * config.data.image_size**2 * 3
        kind, _ = choose(config.data.store, needed, meshes.device_memory())
        data = config.data
        store = open_store(prepared, self._examples, kind, entry_of(data), data.threads)
        self._feed = Feed(store, data, self._mesh)
        # Of other data the splits were not trained on.
        self._warned = {} if source else warned(prepared)
        self._predict: Callable | None = None

    def steps(self) -> list[int]:
        """Returns the steps whose checkpoints are there now."""
        return network.open_checkpoints(self.workdir, self._config).steps()

    def __call__(self, which: str) -> Result:
        """Evaluates "best", "latest" or a step.

        Raises:
          UserError: If there is no such checkpoint.
        """
        trained = network.load(self.workdir, which, self._mesh)
        if self._predict is None:  # compiled once, whatever number of checkpoints follows
            model = self._config.model
            step = steps.predict_step(trained.model, model.mean, model.std)
            self._predict = dispatch.compile_predict(step, self._mesh)
        result = evaluate(
            self._predict,
            trained.variables,
            self._feed,
            self._mesh,
            classes=trained.classes,
            batch_size=self._batch_size,
            resamples=self._config.eval.resamples,
        )
        about = {"split": self.split, "checkpoint": trained.step}
        return about | {"source": self._config.data.source} | self._warned | result


def warned(prepared: Prepared) -> dict[str, str]:
    """Returns {"leaks": what the splits leak}, for every result of theirs to carry; or {}."""
    return {"leaks": prepared.leaks} if prepared.leaks else {}


def write(result: Result, workdir: Path, name: str) -> Path:
    """Writes `eval/<name>.json`, atomically, and returns its path."""
    path = workdir / "eval" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(partial, path)
    return path
