"""The pure step functions: one that trains, one that answers.

Everything that happens to a picture after it is decoded happens here, inside one compiled program:
gather, conversion, augmentation, normalisation, network, loss, gradient, optimizer, averages.
"""

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
from bcjax.engine import losses
from bcjax.engine.dispatch import Batch, Numbers, Pictures, scan
from bcjax.engine.frozen import NOTHING, Frozen, join
from bcjax.engine.state import State, Variables

# What a training step reports, in this order: sums over its examples, and the gradient's norm.
METRICS = ("loss", "correct", "examples", "grad_norm")

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the training step does, beside network and optimizer.

    Attributes:
      mean: Per-channel mean of pictures in 0..1, subtracted; one number: pictures turn grey.
      std: Per-channel deviation, divided by.
      policy: How pictures are augmented, and perhaps mixed.
      dtype: Of pictures while they are augmented.
      focal: Gamma of the focal loss; None: cross-entropy.
      label_smoothing: In [0, 1).
      accumulate: Micro-batches per step.
      ema: Decay of the averages; 0: none.
      l1: Times the sum of |w| over the classifier's kernels, added to the loss.
      l2: Times the sum of w^2, likewise.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    policy: Policy = NO_AUGMENTATION
    dtype: str = "float32"
    focal: float | None = None
    label_smoothing: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    l1: float = 0.0
    l2: float = 0.0


def normalise(
    images: Float[Array, "B H W 3"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "B H W C"]:
    """Pictures in 0..1 to what the network was made for: their luma if that is one channel."""
    if len(mean) == 1:
        images = images @ jnp.asarray(_LUMA, jnp.float32)[:, None]
    return (images - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def step_key(seed: UInt32[Array, ""] | int, step: Int32[Array, ""] | int) -> Key[Array, ""]:
    """The key of all that is random in a step."""
    return jax.random.fold_in(jax.random.key(seed), step)


def keys_of(key: Key[Array, ""]) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """The keys of a step's augmentation and of its dropout."""
    augment_key, dropout_key = jax.random.split(key)
    return augment_key, dropout_key


def micro_key(key: Key[Array, ""], part: Int32[Array, ""] | int) -> Key[Array, ""]:
    """The step's key for one of its micro-batches."""
    return jax.random.fold_in(key, part)


def to_float(pixels: UInt8[Array, "B H W C"], dtype: str) -> Float[Array, "B H W C"]:
    """Decoded pictures in 0..1."""
    return (pixels.astype(jnp.float32) / 255).astype(dtype)


def gather(batch: Batch, pictures: Pictures) -> Batch:
    """Returns the batch with what the device store, if there is one, holds at its `index`."""
    return batch | {name: array[batch["index"]] for name, array in pictures.items()}


def train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    recipe: Recipe,
    frozen: Frozen = NOTHING,
) -> Callable[[State, Batch, Pictures, Numbers], tuple[State, Float[Array, "metrics"]]]:
    """Returns the pure function of one optimizer step.

    It is `(state, batch, pictures, numbers) -> (state, sums)`. The sums are those of `METRICS`,
    float32. Randomness comes from (seed, step, index) alone, so it does not depend on the topology,
    the store or how often the run was restarted.

    Where the pictures are features (see `features_step`), the classifier alone runs.

    Args:
      model: The network.
      optimizer: Of what is not frozen.
      recipe: The rest.
      frozen: What does not train. Nothing is computed for its gradient; it, its statistics and its
        averages stay as they are, bit for bit.
    """
    policy = recipe.policy
    if recipe.focal is None:
        loss = functools.partial(losses.cross_entropy, label_smoothing=recipe.label_smoothing)
    else:
        loss = functools.partial(losses.focal, gamma=recipe.focal)

    def loss_of(
        trains: Variables, fixed: Variables, batch_stats: Variables, key: Key[Array, ""],
        batch: Batch, pictures: Pictures, numbers: Numbers,
    ) -> tuple[Array, tuple[Variables, Array]]:  # fmt: skip
        augment_key, dropout_key = keys_of(key)
        shown = gather(batch, pictures)
        labels = targets = shown["label"]
        if "features" in shown:
            inputs, method = shown["features"], "classify"
        else:
            with jax.named_scope("augmentation"):
                images = to_float(shown["image"], recipe.dtype)
                images, share = policy(augment_key, images, batch["index"], numbers.augment)
                inputs, method = normalise(images, recipe.mean, recipe.std), "__call__"
        with frozen.in_inference():
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
        each = loss(logits, targets, class_weights=numbers.class_weights)
        correct = (logits.argmax(-1) == labels).sum().astype(jnp.float32)
        sums = jnp.stack([each.sum(), correct, jnp.float32(len(each))])
        penalty = _penalty(trains, recipe) if recipe.l1 or recipe.l2 else 0.0
        return each.mean() + penalty, (updated.get("batch_stats", batch_stats), sums)

    def step(
        state: State, batch: Batch, pictures: Pictures, numbers: Numbers
    ) -> tuple[State, Array]:
        key = step_key(numbers.seed, state.step)
        trains, fixed = frozen.divide(state.params)
        beside = {"pictures": pictures, "numbers": numbers}
        gradient = functools.partial(jax.grad(loss_of, has_aux=True), trains, fixed, **beside)
        if recipe.accumulate == 1:
            grads, (batch_stats, sums) = gradient(state.batch_stats, key, batch)
        else:
            start = (state.batch_stats, jax.tree.map(jnp.zeros_like, trains), jnp.zeros(3))
            grads, batch_stats, sums = _accumulated(gradient, start, key, batch, recipe.accumulate)
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(grads, state.opt_state, trains)
            scale = state.patience.lr_scale * numbers.rate
            updates = jax.tree.map(lambda u: u * scale, updates)
            trains = optax.apply_updates(trains, updates)
        state = state.replace(
            step=state.step + 1,
            params=join(trains, fixed),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        if recipe.ema:
            with jax.named_scope("optimizer"):
                ema = optax.incremental_update(state.variables, state.ema, 1 - recipe.ema)
                state = state.replace(ema=frozen.where(state.ema, ema))
        return state, jnp.append(sums, optax.tree.norm(grads))

    return step


def _penalty(params: Variables, recipe: Recipe) -> Float[Array, ""]:
    """Keras's L1L2 of the classifier's kernels, as far as they are among `params`."""
    head = traverse_util.flatten_dict(params.get("head", {}))
    kernels = [leaf for path, leaf in head.items() if path[-1] == "kernel"]
    each = [recipe.l1 * jnp.abs(k).sum() + recipe.l2 * jnp.square(k).sum() for k in kernels]
    return sum(each, start=jnp.float32(0))


def _accumulated(
    gradient: Callable, start: tuple, key: Key[Array, ""], batch: Batch, parts: int
) -> tuple[Any, Variables, Array]:  # fmt: skip
    """Averages the gradients of `parts` micro-batches; batch norm's statistics follow in turn."""

    # Micro-batch i takes rows i, i + parts, ...: contiguous rows would leave devices idle.
    def divide(array: Array) -> Array:
        return array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)

    def body(carry: tuple, micro: tuple) -> tuple[tuple, None]:
        batch_stats, grads, sums = carry
        part, micro_batch = micro
        new, (batch_stats, more) = gradient(batch_stats, micro_key(key, part), micro_batch)
        return (batch_stats, jax.tree.map(jnp.add, grads, new), sums + more), None

    (batch_stats, grads, sums), _ = scan(
        body, start, (jnp.arange(parts), jax.tree.map(divide, batch))
    )
    return jax.tree.map(lambda g: g / parts, grads), batch_stats, sums


def infer(
    model: nn.Module,
    variables: Variables,
    pixels: UInt8[Array, "B H W C"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    method: str = "__call__",
) -> Float[Array, "B classes"]:
    """Logits of decoded pictures, as they are; or what another method of the network returns."""
    images = normalise(pixels.astype(jnp.float32) / 255, mean, std)
    return cast(Array, model.apply(variables, images, train=False, method=method))


def predict_step(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[Variables, Batch, Pictures], tuple[Array, Array]]:
    """Returns the pure function of evaluation: (variables, batch, pictures) -> (logits, labels)."""

    def step(variables: Variables, batch: Batch, pictures: Pictures) -> tuple[Array, Array]:
        shown = gather(batch, pictures)
        if "features" in shown:
            logits = model.apply(variables, shown["features"], train=False, method="classify")
        else:
            logits = infer(model, variables, shown["image"], mean, std)
        return cast(Array, logits), shown["label"]

    return step


def features_step(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[Variables, Batch, Pictures], tuple[Array, Array]]:
    """Returns (variables, batch, pictures) -> (features, labels): what the classifier reads."""

    def step(variables: Variables, batch: Batch, pictures: Pictures) -> tuple[Array, Array]:
        shown = gather(batch, pictures)
        features = infer(model, variables, shown["image"], mean, std, method="features")
        return features.astype(jnp.float32), shown["label"]

    return step
