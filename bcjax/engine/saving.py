"""Writes imported weights as the folder of a run at step 0, which every command takes."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.engine import checkpoint, network, patience
from bcjax.engine.importing import Imported
from bcjax.engine.state import State, Variables
from bcjax.models import initialisers
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def write(imported: Imported, workdir: Path, classes: Sequence[str]) -> None:
    """Writes config.json, weights.json and the checkpoint of step 0.

    A classifier that was dropped begins anew, at random.

    Args:
      imported: From `importing.read`.
      workdir: The folder to make.
      classes: Names of the logits, in order.

    Raises:
      UserError: If the folder holds something already.
    """
    check_free(workdir)
    config = imported.config.copy_and_resolve_references()
    network.resolve(config)
    config.data.classes = tuple(classes)
    model = network.build(config, len(classes))
    side, channels = config.data.image_size, config.model.channels
    new = _classifier(model, np.zeros((1, side, side, channels), np.float32), config.seed)
    params = traverse_util.flatten_dict(new) | traverse_util.flatten_dict(
        imported.variables["params"]
    )
    variables = imported.variables | {"params": traverse_util.unflatten_dict(params)}
    workdir.mkdir(parents=True, exist_ok=True)
    record(imported, workdir)
    write_run(config, variables, classes, workdir)


def write_run(
    config: ConfigDict, variables: Variables, classes: Sequence[str], workdir: Path
) -> None:
    """Writes the checkpoint of step 0 and config.json, into a folder that is there.

    Args:
      config: Resolved; it keeps no averages (`optim.ema`).
      variables: Of its network.
      classes: Names of the logits, in order.
      workdir: The folder.
    """
    zero = jnp.zeros((), jnp.int32)
    state = State(
        step=zero,
        phase=zero,
        began=zero,
        params=jax.tree.map(jnp.asarray, variables["params"]),
        batch_stats=jax.tree.map(jnp.asarray, variables["batch_stats"]),
        opt_state=(),
        ema={},
        patience=jax.tree.map(jnp.asarray, patience.init("max")),
    )
    checkpoints = checkpoint.Checkpoints(workdir, keep=1, metric=config.checkpoint.best)
    checkpoints.save(state, checkpoint.about_page(config, classes, None))
    checkpoints.close()
    configs.save(config, RunDir(workdir).config)  # last: without it, there is no run


def check_free(workdir: Path) -> None:
    """Raises UserError if a folder holds something."""
    if workdir.exists() and (workdir.is_file() or any(workdir.iterdir())):
        raise UserError(f"{workdir} is not empty: give another folder, or delete it.")


def record(imported: Imported, workdir: Path) -> None:
    """Writes weights.json: where the weights of a run are from, and what was done to them."""
    page = imported.origin | {"input_size": imported.input_size, "notes": list(imported.notes)}
    files.write_json(RunDir(workdir).weights, page)


def _classifier(model: nn.Module, pictures: np.ndarray, seed: int) -> Variables:
    """Makes the parameters of a new classifier, {"head": ...}."""

    def init() -> Variables:
        key = jax.random.key(seed)
        features, _ = model.init_with_output(key, pictures, train=False, method="features")
        return initialisers.variables(
            model, key, jnp.zeros_like(features), train=False, method="classify"
        )["params"]

    # The features' shape alone is used, so that the compiler leaves out what computes them.
    return jax.jit(init)()
