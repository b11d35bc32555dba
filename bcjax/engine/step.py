"""The pure step functions: one trains, one predicts.

Everything that happens to a picture after it is decoded happens here, inside one compiled program:
gather, conversion to float, augmentation, normalisation, network, loss, gradient, optimizer, and
the running averages.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, Float, Int32, Key, UInt8, UInt32

from bcjax.augment import mix
from bcjax.augment.policy import NO_AUGMENTATION, Policy
from bcjax.engine import averages, losses
from bcjax.engine.averages import Ages
from bcjax.engine.dispatch import Batch, Hyperparameters, StoredArrays, scan
from bcjax.engine.optimizer import global_norm
from bcjax.engine.state import State, Variables
from bcjax.engine.trainable import NOTHING_FROZEN, Frozen, join
from bcjax.runtime import jax_settings

# What a training step returns, in this order: sums over its examples, and the gradient's norm.
METRICS = ("loss", "correct", "examples", "grad_norm")

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the training step works, apart from the network and the optimizer.

    Attributes:
      mean: Mean of each channel of pictures in 0..1, which is subtracted. A single number makes
        the pictures grey.
      std: Standard deviation of each channel, by which pictures are divided.
      policy: The augmentation policy, which may also mix pictures.
      dtype: The dtype of pictures while they are augmented.
      loss: The loss, where it is not the focal loss.
      focal: Gamma of the focal loss; None: it is `loss` instead.
      label_smoothing: The share of the target spread over all classes, in [0, 1).
      accumulate: Micro-batches whose gradients are averaged in one step.
      ema: Decay of the averages of parameters and batch statistics; 0: no averages.
      correct_ema: Whether those averages are corrected for their start.
      correct_statistics: Whether batch norm's running statistics are; not where the network starts
        from statistics that it was given.
      l1: Factor of the sum of |w| over the classifier's kernels, which is added to the loss.
      l2: Factor of the sum of w^2 over the same kernels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    policy: Policy = NO_AUGMENTATION
    dtype: str = "float32"
    loss: losses.Loss = optax.softmax_cross_entropy
    focal: float | None = None
    label_smoothing: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    correct_ema: bool = True
    correct_statistics: bool = True
    l1: float = 0.0
    l2: float = 0.0


def normalise(
    images: Float[Array, "B H W 3"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "B H W C"]:
    """Normalises pictures in 0..1; a network of one channel gets their luma (ITU-R BT.601)."""
    if len(mean) == 1:
        images = images @ jnp.asarray(_LUMA, jnp.float32)[:, None]
    return (images - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def step_key(seed: UInt32[Array, ""] | int, step: Int32[Array, ""] | int) -> Key[Array, ""]:
    """Returns the key from which everything random in a step is derived."""
    return jax.random.fold_in(jax.random.key(seed), step)


def keys_of(key: Key[Array, ""]) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """Returns the keys of a step's augmentation and of its dropout."""
    augment_key, dropout_key = jax.random.split(key)
    return augment_key, dropout_key


def micro_key(key: Key[Array, ""], part: Int32[Array, ""] | int) -> Key[Array, ""]:
    """Returns the key of one micro-batch of a step."""
    return jax.random.fold_in(key, part)


def to_float(pixels: UInt8[Array, "B H W C"], dtype: str) -> Float[Array, "B H W C"]:
    """Converts decoded pictures to floats in 0..1."""
    return (pixels.astype(jnp.float32) / 255).astype(dtype)


def gather(batch: Batch, stored: StoredArrays) -> Batch:
    """Returns the batch with the stored arrays' rows at its `index`, if there are any."""
    return batch | {name: array[batch["index"]] for name, array in stored.items()}


def train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    recipe: Recipe,
    frozen: Frozen = NOTHING_FROZEN,
    waited: Frozen = NOTHING_FROZEN,
) -> Callable[[State, Batch, StoredArrays, Hyperparameters], tuple[State, Float[Array, "metrics"]]]:
    """Returns the pure function of one optimizer step.

    The function is `(state, batch, stored, values) -> (state, metrics)`; the metrics are those of
    `METRICS`, float32. Randomness depends on (seed, step, index) alone, and so not on the topology,
    the store or the number of restarts.

    Where the batch holds features instead of pictures (see `predict_step`), only the classifier
    runs.

    Args:
      model: The network.
      optimizer: The optimizer of the parameters that train.
      recipe: Everything else.
      frozen: The parameters that do not train. Nothing is computed for their gradients; they, their
        batch statistics and their averages stay the same, bit for bit.
      waited: What was frozen in the phase before: its averages begin with this phase.
    """
    loss_of = mean_loss(model, recipe, frozen, waited)

    @jax_settings.fixed()
    def step(
        state: State, batch: Batch, stored: StoredArrays, values: Hyperparameters
    ) -> tuple[State, Array]:
        key = step_key(values.seed, state.step)
        ages = (state.step, state.step - state.began)
        trains, fixed = frozen.divide(state.params)
        fixed_arguments = {"stored": stored, "values": values}
        gradient = functools.partial(
            jax.grad(loss_of, has_aux=True), trains, fixed, **fixed_arguments
        )
        if recipe.accumulate == 1:
            grads, (batch_stats, sums) = gradient(state.batch_stats, key, batch, ages=ages)
        else:
            start = (state.batch_stats, jax.tree.map(jnp.zeros_like, trains), jnp.zeros(3))
            parts = recipe.accumulate
            grads, batch_stats, sums = _accumulated(gradient, start, key, batch, parts, ages)
        state = apply_gradients(state, optimizer, grads, batch_stats, frozen, values.lr_scale)
        if recipe.ema:
            with jax.named_scope("optimizer"):
                if recipe.correct_ema:
                    ema = averages.updated(state.ema, state.variables, recipe.ema, ages, waited)
                else:
                    ema = optax.incremental_update(state.variables, state.ema, 1 - recipe.ema)
                state = state.replace(ema=frozen.where(state.ema, ema))
        return state, jnp.append(sums, global_norm(grads))

    return step


def mean_loss(
    model: nn.Module,
    recipe: Recipe,
    frozen: Frozen = NOTHING_FROZEN,
    waited: Frozen = NOTHING_FROZEN,
) -> Callable[..., tuple[Array, tuple[Variables, Array]]]:
    """Returns the pure function that a training step differentiates.

    The function is `(trains, fixed, batch_stats, key, batch, stored, values, ages) -> (loss,
    (batch_stats, sums))`: the mean loss of a batch, which is augmented, with the penalty; the new
    batch statistics; and the first three of `METRICS`. `ages` and `waited` are those of
    `averages.statistics_from_their_start`.
    """
    policy = recipe.policy
    loss: Callable[..., Array] = functools.partial(
        losses.of_targets, recipe.loss, label_smoothing=recipe.label_smoothing
    )
    if recipe.focal is not None:
        loss = functools.partial(losses.focal, gamma=recipe.focal)

    @jax_settings.fixed()
    def loss_of(
        trains: Variables, fixed: Variables, batch_stats: Variables, key: Key[Array, ""],
        batch: Batch, stored: StoredArrays, values: Hyperparameters, ages: Ages,
    ) -> tuple[Array, tuple[Variables, Array]]:  # fmt: skip
        augment_key, dropout_key = keys_of(key)
        batch = gather(batch, stored)
        labels = targets = batch["label"]
        if "features" in batch:
            inputs, method = batch["features"], "classify"
        else:
            with jax.named_scope("augmentation"):
                images = to_float(batch["image"], recipe.dtype)
                images, share = policy(augment_key, images, batch["index"], values.augment)
                inputs, method = normalise(images, recipe.mean, recipe.std), "__call__"
        statistics: contextlib.AbstractContextManager = contextlib.nullcontext()
        if recipe.correct_statistics:
            statistics = averages.statistics_from_their_start(ages, waited)
        with frozen.in_inference(), statistics:
            logits, updated = model.apply(
                {"params": join(trains, fixed), "batch_stats": batch_stats},
                inputs,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": dropout_key},
                method=method,
            )
        if policy.mixes:
            targets = mix.soft_labels(labels, share, logits.shape[-1])
        each = loss(logits, targets, class_weights=values.class_weights)
        correct = (logits.argmax(-1) == labels).sum().astype(jnp.float32)
        sums = jnp.stack([each.sum(), correct, jnp.float32(len(each))])
        penalty = _penalty(trains, recipe) if recipe.l1 or recipe.l2 else 0.0
        return each.mean() + penalty, (updated.get("batch_stats", batch_stats), sums)

    return loss_of


@jax_settings.fixed()
def apply_gradients(
    state: State,
    optimizer: optax.GradientTransformation,
    grads: Variables,
    batch_stats: Variables,
    frozen: Frozen = NOTHING_FROZEN,
    lr_scale: Float[Array, ""] | float = 1.0,
) -> State:
    """Returns the state after one step of the optimizer; the averages stay as they are.

    Args:
      state: The state before it.
      optimizer: The optimizer of the parameters that train.
      grads: The gradients of those parameters.
      batch_stats: The new batch statistics.
      frozen: The parameters that do not train.
      lr_scale: A factor on the learning rate, beside that of `state.patience`.
    """
    trains, fixed = frozen.divide(state.params)
    with jax.named_scope("optimizer"):
        updates, opt_state = optimizer.update(grads, state.opt_state, trains)
        scale = state.patience.lr_scale * lr_scale
        updates = jax.tree.map(lambda u: u * scale, updates)
        trains = optax.apply_updates(trains, updates)
    return state.replace(
        step=state.step + 1,
        params=join(trains, fixed),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )


def _penalty(params: Variables, recipe: Recipe) -> Float[Array, ""]:
    """Keras's L1L2 penalty of those of the classifier's kernels that are in `params`."""
    head = traverse_util.flatten_dict(params.get("head", {}))
    kernels = [leaf for path, leaf in head.items() if path[-1] == "kernel"]
    each = [recipe.l1 * jnp.abs(k).sum() + recipe.l2 * jnp.square(k).sum() for k in kernels]
    return sum(each, start=jnp.float32(0))


def _accumulated(
    gradient: Callable, start: tuple, key: Key[Array, ""], batch: Batch, parts: int, ages: Ages
) -> tuple[Any, Variables, Array]:  # fmt: skip
    """Averages the gradients of `parts` micro-batches, which update batch statistics in turn."""

    # Micro-batch i takes rows i, i + parts, ...: contiguous rows would leave devices idle.
    def divide(array: Array) -> Array:
        return array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)

    def body(carry: tuple, micro: tuple) -> tuple[tuple, None]:
        batch_stats, grads, sums = carry
        part, micro_batch = micro
        at = tuple(age * parts + part for age in ages)
        new, (batch_stats, more) = gradient(batch_stats, micro_key(key, part), micro_batch, ages=at)
        return (batch_stats, jax.tree.map(jnp.add, grads, new), sums + more), None

    (batch_stats, grads, sums), _ = scan(
        body, start, (jnp.arange(parts), jax.tree.map(divide, batch))
    )
    return jax.tree.map(lambda g: g / parts, grads), batch_stats, sums


@jax_settings.fixed()
def infer(
    model: nn.Module,
    variables: Variables,
    pixels: UInt8[Array, "B H W C"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    method: str = "__call__",
) -> Float[Array, "B classes"]:
    """Returns the logits of decoded pictures, or what another method of the network returns."""
    images = normalise(pixels.astype(jnp.float32) / 255, mean, std)
    return cast(Array, model.apply(variables, images, train=False, method=method))


def predict_step(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], method: str = "__call__"
) -> Callable[[Variables, Batch, StoredArrays], tuple[Array, Array]]:
    """Returns the pure function of evaluation: (variables, batch, stored) -> (logits, labels).

    With the method "features" it returns float32 features, the input of the classifier, instead of
    logits. Where the batch holds those instead of pictures, only the classifier runs.
    """

    @jax_settings.fixed()
    def step(variables: Variables, batch: Batch, stored: StoredArrays) -> tuple[Array, Array]:
        batch = gather(batch, stored)
        if "features" in batch:
            output = model.apply(variables, batch["features"], train=False, method="classify")
        else:
            output = infer(model, variables, batch["image"], mean, std, method)
        return cast(Array, output).astype(jnp.float32), batch["label"]

    return step
