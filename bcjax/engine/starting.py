"""Starts a run from weights: the config's `model.weights`."""

from collections.abc import Sequence
from pathlib import Path

import jax
from flax import traverse_util
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.engine.importing import SETTINGS, Imported, read
from bcjax.engine.state import State, Variables
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def decide(config: ConfigDict, workdir: Path, classes: Sequence[str]) -> Imported | None:
    """Writes into the config what its weights decide about network and pictures.

    A run that is resumed takes that from its own saved config; the weights are not needed again.

    Args:
      config: To be completed; `model.weights` names the weights, if any.
      workdir: Of the run.
      classes: Of the run's pictures.

    Returns:
      The weights; None if there are none, or the run was begun before.

    Raises:
      UserError: If they cannot be read or are not those of the network.
    """
    if not config.model.weights:
        return None
    config.model.weights = str(Path(config.model.weights).absolute())  # found from any folder
    if RunDir(workdir).exists():
        imported, said = None, configs.load(workdir)
    else:
        imported = _read(config, classes)
        said = imported.config
    for name in SETTINGS.values():
        branch, leaf = name.split(".")
        config[branch][leaf] = config[branch][leaf] or said[branch][leaf]
    return imported


def begin(
    state: State, config: ConfigDict, classes: Sequence[str], imported: Imported | None
) -> State:
    """Returns the state of step 0 with the weights in the place of what chance put there.

    Args:
      state: Of step 0.
      config: From `decide`.
      classes: Of the run's pictures.
      imported: From `decide`; None: read now, if the config names weights.

    Raises:
      UserError: As `decide`.
    """
    if not config.model.weights:
        return state
    new = (imported or _read(config, classes)).variables
    return state.replace(
        params=_placed(state.params, new["params"]),
        batch_stats=_placed(state.batch_stats, new["batch_stats"]),
        ema={part: _placed(tree, new[part]) for part, tree in state.ema.items()},
    )


def _read(config: ConfigDict, classes: Sequence[str]) -> Imported:
    imported = read(Path(config.model.weights), config, len(classes))
    if imported.classes and imported.classes != tuple(classes):
        raise UserError(
            f"{config.model.weights} tells {', '.join(imported.classes[:3])}, ... apart, not "
            f"{', '.join(classes[:3])}, ...: drop its classifier (model.weights_head=drop), or "
            "set data.classes."
        )
    return imported


def _placed(tree: Variables, new: Variables) -> Variables:
    """Puts arrays where those of the same path are, on the same devices."""
    flat = traverse_util.flatten_dict(tree)
    for path, array in traverse_util.flatten_dict(new).items():
        place = flat[path].sharding
        flat[path] = jax.make_array_from_callback(array.shape, place, array.__getitem__)
    return traverse_util.unflatten_dict(flat)
