"""The pure step functions: one that trains, one that answers.

Everything that happens to a picture after it is decoded happens here, inside one compiled program:
gather, conversion, augmentation, normalisation, network, loss, gradient, optimizer, averages.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int32, Key, UInt8

from bcjax import losses
from bcjax import mesh as meshes
from bcjax.augment import dihedral
from bcjax.state import State, Variables

Batch = dict[str, Array]  # index int32, and mask bool, image uint8, label int32 where they are
Pictures = dict[str, Array]  # the device store: image uint8 (N, H, W, C), label int32 (N,); or {}

# What a training step reports, in this order: sums over its examples, and the gradient's norm.
METRICS = ("loss", "correct", "examples", "grad_norm")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the training step does, beside network and optimizer.

    Attributes:
      mean: Per-channel mean of pictures in 0..1, subtracted.
      std: Per-channel deviation, divided by.
      seed: Of augmentation and dropout.
      flip: Mirror pictures at random.
      turn: Turn pictures by quarter turns at random.
      label_smoothing: In [0, 1).
      class_weights: Weight of each class in the loss, (classes,); None: all 1.
      accumulate: Micro-batches per step.
      ema: Decay of the averages; 0: none.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int = 0
    flip: bool = False
    turn: bool = False
    label_smoothing: float = 0.0
    class_weights: np.ndarray | None = None
    accumulate: int = 1
    ema: float = 0.0


def normalise(
    images: Float[Array, "B H W C"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "B H W C"]:
    """Pictures in 0..1 to what the network was made for."""
    return (images - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def gather(batch: Batch, pictures: Pictures) -> tuple[UInt8[Array, "B H W C"], Int32[Array, "B"]]:
    """Returns pictures and labels: those of the device store at `index`, else the batch's own."""
    if pictures:
        return pictures["image"][batch["index"]], pictures["label"][batch["index"]]
    return batch["image"], batch["label"]


def augment(
    key: Key[Array, ""],
    images: Float[Array, "B H W C"],
    index: Int32[Array, "B"],
    recipe: Recipe,
) -> Float[Array, "B H W C"]:
    """Augments each picture with a key of its own, from the step's key and the picture's index."""

    def one(index: Int32[Array, ""], image: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
        flip, turn = jax.random.split(jax.random.fold_in(key, index))
        image = dihedral.flip(flip, image) if recipe.flip else image
        return dihedral.turn(turn, image) if recipe.turn else image

    return jax.vmap(one)(index, images)


def train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, recipe: Recipe
) -> Callable[[State, Batch, Pictures], tuple[State, Float[Array, "metrics"]]]:
    """Returns the pure function of one optimizer step, `(state, batch, pictures) -> (state, sums)`.

    The sums are those of `METRICS`, float32. Randomness comes from (seed, step, index) alone, so
    it does not depend on the topology, the store or how often the run was restarted.
    """
    weights = None if recipe.class_weights is None else jnp.asarray(recipe.class_weights)

    def loss_of(
        params: Variables, batch_stats: Variables, key: Key[Array, ""], batch: Batch,
        pictures: Pictures,
    ) -> tuple[Array, tuple[Variables, Array]]:  # fmt: skip
        augment_key, dropout_key = jax.random.split(key)
        pixels, labels = gather(batch, pictures)
        images = augment(augment_key, pixels.astype(jnp.float32) / 255, batch["index"], recipe)
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            normalise(images, recipe.mean, recipe.std),
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        each = losses.cross_entropy(
            logits, labels, label_smoothing=recipe.label_smoothing, class_weights=weights
        )
        correct = (logits.argmax(-1) == labels).sum().astype(jnp.float32)
        sums = jnp.stack([each.sum(), correct, jnp.float32(len(each))])
        return each.mean(), (updated.get("batch_stats", batch_stats), sums)

    gradient_of = jax.grad(loss_of, has_aux=True)

    def step(state: State, batch: Batch, pictures: Pictures) -> tuple[State, Array]:
        key = jax.random.fold_in(jax.random.key(recipe.seed), state.step)
        if recipe.accumulate == 1:
            grads, (batch_stats, sums) = gradient_of(
                state.params, state.batch_stats, key, batch, pictures
            )
        else:
            grads, batch_stats, sums = _accumulated(
                gradient_of, state, key, batch, pictures, recipe.accumulate
            )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda u: u * state.patience.lr_scale, updates)
        params = optax.apply_updates(state.params, updates)
        ema = {"params": params, "batch_stats": batch_stats} if recipe.ema else {}
        state = state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema=optax.incremental_update(ema, state.ema, 1 - recipe.ema),
        )
        return state, jnp.append(sums, optax.tree.norm(grads))

    return step


def _accumulated(
    gradient_of: Callable, state: State, key: Key[Array, ""], batch: Batch, pictures: Pictures,
    parts: int,
) -> tuple[Any, Variables, Array]:  # fmt: skip
    """Averages the gradients of `parts` micro-batches; batch norm's statistics follow in turn."""

    # Micro-batch i takes rows i, i + parts, ...: contiguous rows would leave devices idle.
    def divide(array: Array) -> Array:
        return array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)

    def body(carry: tuple, micro: tuple) -> tuple[tuple, None]:
        batch_stats, grads, sums = carry
        part, micro_batch = micro
        micro_key = jax.random.fold_in(key, part)
        new, (batch_stats, more) = gradient_of(
            state.params, batch_stats, micro_key, micro_batch, pictures
        )
        return (batch_stats, jax.tree.map(jnp.add, grads, new), sums + more), None

    start = (state.batch_stats, jax.tree.map(jnp.zeros_like, state.params), jnp.zeros(3))
    (batch_stats, grads, sums), _ = _scan(
        body, start, (jnp.arange(parts), jax.tree.map(divide, batch))
    )
    return jax.tree.map(lambda g: g / parts, grads), batch_stats, sums


def several(step: Callable) -> Callable[[State, Batch, Pictures], tuple[State, Array]]:
    """Returns `step` scanned over a leading axis of the batch: several steps in one dispatch."""

    def call(state: State, batches: Batch, pictures: Pictures) -> tuple[State, Array]:
        return _scan(lambda s, b: step(s, b, pictures), state, batches)

    return call


def _scan(body: Callable, carry: Any, xs: Any) -> tuple[Any, Any]:
    """`lax.scan`, written out on the CPU.

    XLA compiles a convolution inside a loop for the CPU to code that is 15 times slower than the
    same convolution outside of one (measured); `unroll=True` leaves the loop.
    """
    if jax.default_backend() != "cpu":
        return lax.scan(body, carry, xs)
    outputs = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        carry, output = body(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


def compile_train(call: Callable, mesh: Mesh, abstract: State) -> Callable:
    """Jits `several(step)`: the state is donated and stays where it is, metrics go everywhere."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    compiled = jax.jit(
        call,
        donate_argnums=0,
        in_shardings=(shardings, meshes.batch_sharding(mesh, leading=1), meshes.replicated(mesh)),
        out_shardings=(shardings, meshes.replicated(mesh)),
    )
    return _in_turn(compiled, mesh) if jax.default_backend() == "cpu" else compiled


def _in_turn(call: Callable, mesh: Mesh) -> Callable[[State, Batch, Pictures], tuple[State, Array]]:
    """Dispatches the steps of a call one by one, on the CPU, where that costs nothing.

    XLA would fuse operations of neighbouring steps, so that the last bits of a run depended on how
    many steps a call has; and as written out by `_scan`, they would take that much longer to
    compile.
    """

    def divide(batches: Batch) -> list[Batch]:
        steps = len(batches["index"])
        return [{name: a[i : i + 1] for name, a in batches.items()} for i in range(steps)]

    split = jax.jit(divide, out_shardings=meshes.batch_sharding(mesh, leading=1))
    join = jax.jit(jnp.concatenate, out_shardings=meshes.replicated(mesh))

    def turns(state: State, batches: Batch, pictures: Pictures) -> tuple[State, Array]:
        rows = []
        for batch in split(batches):
            state, row = call(state, batch, pictures)
            rows.append(row)
        return state, join(rows)

    return turns


def infer(
    model: nn.Module,
    variables: Variables,
    pixels: UInt8[Array, "B H W C"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Float[Array, "B classes"]:
    """Logits of decoded pictures, as they are."""
    images = normalise(pixels.astype(jnp.float32) / 255, mean, std)
    return cast(Array, model.apply(variables, images, train=False))


def predict_step(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[Variables, Batch, Pictures], tuple[Array, Array]]:
    """Returns the pure function of evaluation: (variables, batch, pictures) -> (logits, labels)."""

    def step(variables: Variables, batch: Batch, pictures: Pictures) -> tuple[Array, Array]:
        pixels, labels = gather(batch, pictures)
        return infer(model, variables, pixels, mean, std), labels

    return step


def compile_predict(step: Callable, mesh: Mesh) -> Callable:
    """Jits `predict_step`; every process gets all logits and labels."""
    return jax.jit(
        step,
        in_shardings=(None, meshes.batch_sharding(mesh), meshes.replicated(mesh)),
        out_shardings=meshes.replicated(mesh),
    )
