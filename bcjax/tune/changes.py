"""Changes to a config that a file of the user's names by key: {"optim.lr": 3e-4, ...}."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.augment import policy
from bcjax.engine import network
from bcjax.engine import optimizer as optimizers
from bcjax.runtime.errors import UserError

Changes = Mapping[str, Any]

_LONG = 1 << 30  # steps: no schedule is refused for being longer than the run


def changed(config: ConfigDict, changes: Changes) -> ConfigDict:
    """Returns a copy of a config with these keys changed, each value in its range.

    Raises:
      UserError: Naming the key that is unknown, with the nearest, or its value.
    """
    return configs.check(configs.replaced(config, changes))


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
