"""A network that compiles in a blink, its training step, and pictures to train it on."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh

from bcjax import config as configs
from bcjax.augment import policy
from bcjax.engine import dispatch
from bcjax.engine import state as states
from bcjax.engine.dispatch import Hyperparameters
from bcjax.engine.state import State
from bcjax.engine.step import Recipe, train_step
from bcjax.engine.trainable import NOTHING_FROZEN, Frozen
from bcjax.runtime import mesh as meshes

CLASSES = 3
SIZE = 8
RECIPE = Recipe(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
NUMBERS = Hyperparameters()


class Network(nn.Module):
    classes: int = CLASSES
    norm: bool = True
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3), dtype=self.dtype)(images)
        if self.norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x)
        x = nn.relu(x).mean(axis=(1, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, dtype=jnp.float32)(x)


@dataclasses.dataclass(frozen=True)
class Trainer:
    """`init` and `call` are compiled; `step` is the pure function behind `call`."""

    optimizer: optax.GradientTransformation
    abstract: State
    init: Callable[[], State]
    step: Callable
    call: Callable


def trainer(
    mesh: Mesh,
    model: nn.Module,
    *,
    optimizer: optax.GradientTransformation | None = None,
    fsdp_min_size: int = 1 << 30,
    frozen: Frozen = NOTHING_FROZEN,
    waited: Frozen = NOTHING_FROZEN,
    ops: tuple[str, ...] = (),
    numbers: Hyperparameters = NUMBERS,
    **recipe,
) -> Trainer:
    optimizer = optimizer or optax.adam(1e-2)
    recipe = dataclasses.replace(RECIPE, policy=policy.build(ops), **recipe)
    config = configs.replaced(
        configs.default(), {"data.image_size": SIZE, "optim.ema": float(recipe.ema)}
    )
    bare = states.initializer(model, config)

    def init(seed: int) -> State:
        return states.begin(bare(seed), 0, optimizer, config.checkpoint.best, frozen)

    abstract = states.shapes(lambda: init(0), mesh, fsdp_min_size)
    step = train_step(model, optimizer, recipe, frozen, waited)
    call = dispatch.TrainCall(dispatch.several(step), mesh, abstract)
    start = states.compile_init(init, abstract)
    given = dispatch.place(mesh, numbers._replace(augment=recipe.policy.numbers))
    return Trainer(optimizer, abstract, lambda: start(0), step, lambda *batch: call(*batch, given))


def pictures(examples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Pictures and labels as a store holds them."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (examples, SIZE, SIZE, 3), np.uint8),
        "label": rng.integers(0, CLASSES, examples, np.int32),
    }


def batches(steps: int, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Batches of several steps: (steps, size, ...), each picture with its index."""
    store = pictures(steps * size, seed)
    flat = {"index": np.arange(steps * size, dtype=np.int32), **store}
    return {name: array.reshape(steps, size, *array.shape[1:]) for name, array in flat.items()}


def placed(mesh: Mesh, host: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Batches (steps, B, ...) on the devices."""
    size = host["index"].shape[1]
    return meshes.place(mesh, host, meshes.host_rows(mesh, size), size, leading=1)


def same_bits(one, other) -> bool:
    """Whether two trees of arrays are the same, bit for bit."""
    leaves, others = (jax.tree.map(np.asarray, jax.tree.leaves(tree)) for tree in (one, other))
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(leaves, others, strict=True)
    )
