"""The config tree: made from the table, written to a run's folder, read again, compared."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from bcjax.config.table import (
    BEFORE_THE_KEY,
    CAME_LATER,
    KEYS,
    OLD_KEYS,
    OLD_NETWORKS,
    OLD_NOT_SET,
)
from bcjax.config.values import convert
from bcjax.runtime import files, plugins
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def default() -> ConfigDict:
    """Returns the complete tree with its defaults, locked."""
    tree = ConfigDict()
    for name, key in KEYS.items():
        *branches, last = name.split(".")
        place = tree
        for branch in branches:
            if branch not in place:
                place[branch] = ConfigDict()
            place = place[branch]
        # A placeholder is None until it is set, and takes values of its type alone.
        if key.optional:
            place[last] = config_dict.placeholder(key.kind.python)
        elif key.kind.alone:  # a number or a tuple: which of them may be is checked later
            place[last] = config_dict.FieldReference(key.default, field_type=object)
        else:
            place[last] = key.default
    return tree.lock()


def flatten(tree: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """Returns {"optim.lr": 0.001, ...}, sorted by key."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping | ConfigDict):
            leaves |= {f"{key}.{k}": v for k, v in flatten(value).items()}
        else:
            leaves[key] = value
    return dict(sorted(leaves.items()))


def replaced(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy of a config with other values of some keys.

    Args:
      config: It stays as it is.
      changes: Values by key, such as {"optim.lr": 3e-4}.

    Raises:
      UserError: If there is no such key, or a value is of the wrong kind.
    """
    new = copy.deepcopy(config)
    for key, value in changes.items():
        new.update_from_flattened_dict({key: convert(key, value)})
    return new


def save(config: ConfigDict, path: Path) -> None:
    """Writes the tree as sorted JSON, atomically."""
    files.write_json(path, config.to_dict(), sort_keys=True, default=list)


def from_dict(tree: Mapping[str, Any]) -> ConfigDict:
    """Rebuilds a config from its JSON form: keys that it lacks keep their defaults.

    A tree that an earlier version wrote is translated: keys have their new names, what meant "not
    set" is None, and what has another default since, or another layout, keeps the one that it had.

    Raises:
      UserError: For a key that this version does not know.
    """
    leaves = BEFORE_THE_KEY | flatten(tree)
    if OLD_KEYS.keys() & leaves.keys():
        for key, value in leaves.items():
            value = tuple(value) if isinstance(value, list) else value
            if key in OLD_NOT_SET and value == OLD_NOT_SET[key]:
                leaves[key] = None
        leaves = {OLD_KEYS.get(key, key): value for key, value in leaves.items()}
    if CAME_LATER not in leaves:
        for key, value in OLD_NETWORKS.get(leaves.get("model.name", ""), {}).items():
            leaves[key] = value if leaves.get(key) is None else leaves[key]
    for key in leaves:
        if key not in KEYS:
            raise UserError(f"The saved config has a key {key!r} that this bcjax does not know.")
    return replaced(default(), leaves)


def load(workdir: Path) -> ConfigDict:
    """Reads the config that the run in `workdir` was trained with, and imports its `imports`.

    Raises:
      UserError: If no run was started there, or a module that it imports is gone.
    """
    run = RunDir(workdir)
    run.check_exists()
    page = files.read_json(run.config, "put it back from a copy, or give another workdir")
    # A network that was published without its run has Hugging Face's keys around its config.
    config = from_dict(page["bcjax"]["config"] if "bcjax" in page else page)
    plugins.load(config.imports)
    return config


def differences(saved: ConfigDict, requested: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Returns the values there and here of each key that may not change freely on resume."""
    there, here = flatten(saved), flatten(requested)
    return {
        key: (there[key], here[key])
        for key in there
        if there[key] != here[key] and not KEYS[key].may_change
    }


def describe(differences: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Returns 'optim.lr (0.001 there, 0.003 here)' for each of these differences."""
    return [f"{key} ({there!r} there, {here!r} here)" for key, (there, here) in differences.items()]
