"""Batch norm's statistics, computed again for weights that are not the result of a training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.loader import order_of, whole_batches
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.plan import Call
from bcjax.engine.state import Variables
from bcjax.engine.step import gather, normalise
from bcjax.evaluation.evaluator import Evaluator
from bcjax.models.norm import Norm
from bcjax.runtime import mesh as meshes

# 1,000 to 10,000 pictures are enough: Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021,
# arXiv:2105.07576, section 3.
PICTURES = 10_000
_AT_LEAST = 32  # pictures in a batch, where the run was trained with one at a time


class BatchStatistics:
    """Computes mean and variance of the inputs of each batch norm, over training pictures.

    As in Wu and Johnson's PreciseBN, the weights are fixed and the pictures come in the order and
    batches of training, but without augmentation. Each layer normalises by its own batch; dropout
    and drop path are off. Statistics that are the same in all ingredients were frozen, and stay.
    """

    def __init__(self, workdir: Path, trained: RestoredNetwork, ingredients: Sequence[Variables]):
        """Opens the training pictures, if there are statistics to compute.

        Args:
          workdir: The folder of the run whose training pictures are used.
          trained: The network.
          ingredients: The networks' variables, from which the new weights are made.
        """
        each = [traverse_util.flatten_dict(one["batch_stats"], sep="/") for one in ingredients]
        self._moved = frozenset(
            path.rpartition("/")[0]
            for path, leaf in each[0].items()
            if not all(np.array_equal(leaf, other[path]) for other in each)
        )
        if self._moved:
            pictures = Evaluator(workdir, split="train")
            config, self._mesh, self._feed = pictures.config, pictures.mesh, pictures.feed
            size = config.train.batch_size
            # One picture tells a batch norm nothing about how pictures differ.
            size = size if size > 1 else min(_AT_LEAST, pictures.prepared.size("train"))
            config.train.batch_size = whole_batches(self._mesh, size)
            self._order = order_of(config, pictures.prepared)
            self._moments = self._compiled(trained)

    def __call__(self, variables: Variables) -> Variables:
        """Returns the variables with the statistics that belong to their parameters."""
        if not self._moved:
            return variables
        placed = meshes.replicate(self._mesh, variables)
        batches = max(1, min(PICTURES, self._order.examples) // self._order.batch_size)
        calls = [Call(step, 1) for step in range(batches)]
        sums: dict[str, np.ndarray] = {}
        for batch in self._feed.training(calls, self._order):
            moments = jax.device_get(self._moments(placed, batch, self._feed.stored))
            for path, moment in traverse_util.flatten_dict(moments, sep="/").items():
                sums[path] = sums.get(path, 0.0) + moment.astype(np.float64)
        fresh = traverse_util.flatten_dict(variables["batch_stats"], sep="/")
        for path in self._moved:
            mean, square = sums[f"{path}/mean"] / batches, sums[f"{path}/square"] / batches
            fresh[f"{path}/mean"] = mean.astype(np.float32)
            fresh[f"{path}/var"] = np.maximum(square - mean**2, 0).astype(np.float32)
        return variables | {"batch_stats": traverse_util.unflatten_dict(fresh, sep="/")}

    def _compiled(
        self, trained: RestoredNetwork
    ) -> Callable[[Variables, Batch, StoredArrays], Any]:
        settings = trained.config.model

        @jax.jit
        def moments(variables: Variables, batches: Batch, pictures: StoredArrays) -> Variables:
            gathered = gather({name: array[0] for name, array in batches.items()}, pictures)
            images = normalise(
                gathered["image"].astype(jnp.float32) / 255, settings.mean, settings.std
            )
            with nn.intercept_methods(self._call):
                _, updated = trained.model.apply(
                    variables, images, train=False, mutable=["batch_stats", "moments"]
                )
            return updated["moments"]

        return moments

    def _call(self, call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        module = context.module
        if not isinstance(module, Norm) or "/".join(module.path) not in self._moved:
            return call(*args, **kwargs)
        inputs = args[0].astype(jnp.float32)
        positions = range(inputs.ndim - 1)
        module.put_variable("moments", "mean", inputs.mean(positions))
        module.put_variable("moments", "square", jnp.square(inputs).mean(positions))
        return call(args[0], train=True)
