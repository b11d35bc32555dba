"""Changes to a config that a file of the user's names by key: {"optim.lr": 3e-4, ...}."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.augment import policy
from bcjax.config import ranges
from bcjax.engine import network
from bcjax.engine import optimizer as optimizers
from bcjax.runtime.errors import UserError

Changes = Mapping[str, Any]

_WRITTEN = {bool: "true or false", int: "a whole number", float: "a number", tuple: "a list"}
_LONG = 1 << 30  # steps: no schedule is refused for being longer than the run


def changed(config: ConfigDict, changes: Changes) -> ConfigDict:
    """Returns a copy of a config with these keys changed, each value in its range.

    Raises:
      UserError: Naming the key that is unknown, with the nearest, or its value.
    """
    copy = config.copy_and_resolve_references()
    for key, value in changes.items():
        copy.update_from_flattened_dict({key: converted(key, value)})
    return ranges.check(copy)


def converted(key: str, value: Any) -> Any:
    """Returns the value as the type that the config key has.

    YAML takes 1e-3 (without a point) for text, and knows lists, not tuples.

    Raises:
      UserError: If there is no such key, or it has another type.
    """
    known = configs.flatten(configs.default())
    if key not in known:
        raise UserError(f"There is no config key {key!r}{configs.nearest(key, list(known))}")
    kind = type(known[key])
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(value)
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is not kind:
        raise UserError(f"config.{key} is {value!r}: write {_WRITTEN.get(kind, 'text')}.")
    return value


def check(config: ConfigDict) -> ConfigDict:
    """Refuses what training would refuse before it looks at the pictures.

    Raises:
      UserError: Naming the value, and the nearest that is known.
    """
    if config.train.members > 1:
        raise UserError(
            f"config.train.members is {config.train.members}: leave it at 1, for each trial is one "
            "run."
        )
    policy.build(config.augment.ops)
    optimizers.create(config.optim, total_steps=_LONG, warmup_steps=0)
    network.build(config, classes=2)
    return config


def read_yaml(path: Path, holding: str) -> dict[str, Any]:
    """Reads a YAML file that names things.

    Args:
      path: The file.
      holding: What it should name, for the error message.

    Raises:
      UserError: If there is none, or it is something else.
    """
    try:
        page = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"There is no file {path}: write {holding} to it.") from error
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path} is no YAML ({said}): mend it.") from error
    if not isinstance(page, dict) or not page:
        raise UserError(f"{path} names nothing: write {holding}, a line for each.")
    return page
