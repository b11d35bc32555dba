"""States to be saved, each of whose leaves tells its step."""

import jax
import numpy as np

from bcjax import config as configs
from bcjax.engine import checkpoint, patience
from bcjax.engine.state import State
from bcjax.runtime import mesh as meshes

MESH = meshes.create()


def make_state(step):
    """A state whose every leaf is of its step, values that arithmetic would not keep among them."""
    rng = np.random.default_rng(step)
    odd = np.float32([np.nan, -np.inf, -0.0, 1e-45])
    kernel = rng.normal(size=(64, 64)).astype(np.float32)
    return meshes.replicate(
        MESH,
        State(
            step=np.int32(step),
            phase=np.int32(0),
            began=np.int32(0),
            params={"dense": {"kernel": kernel, "bias": odd[2:]}},
            batch_stats={"norm": {"mean": kernel[0]}},
            opt_state=({"mu": -kernel, "odd": odd, "count": np.int32(step)},),
            ema={"params": kernel / 2, "batch_stats": kernel[1]},
            patience=patience.init("accuracy"),
        ),
    )


ABSTRACT = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), make_state(0)
)


def page(**evaluation):
    return checkpoint.about_page(configs.default(), ["a", "b"], evaluation or None)


def save(checkpoints, *steps, **evaluation):
    for step in steps:
        checkpoints.save(make_state(step), page(**evaluation))
    checkpoints.wait()
