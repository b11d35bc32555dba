"""`--config=FILE` and `--config.KEY=VALUE` on the command line."""

from typing import Any

from absl import flags
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.runtime.errors import UserError

PREFIX = "config."


class _Parser(flags.ArgumentParser):
    """Reads the value of one key."""

    def __init__(self, key: str):
        self._key = key

    def parse(self, argument: str) -> Any:
        return configs.parse(self._key, argument)


def define(values: flags.FlagValues) -> None:
    """Defines `--config=FILE[:VARIANT]` and `--config.KEY=VALUE` for each key of the table."""
    flags.DEFINE_string(
        "config",
        None,
        "A config file, such as configs/elu_cnn.py; --config.KEY=VALUE changes a key.",
        flag_values=values,
    )
    for name, key in configs.KEYS.items():
        flag: flags.Flag = flags.Flag(_Parser(name), None, PREFIX + name, None, key.meaning)
        flag.boolean = key.type is bool  # the name alone is enough to set it
        flags.DEFINE_flag(flag, values)


def filename(values: flags.FlagValues) -> str:
    """Returns the path in `--config=PATH[:VARIANT]`."""
    return (values.config or "").partition(":")[0]


def overrides(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the values that `--config.KEY=VALUE` gives, by key."""
    return {key: flag.value for key in configs.KEYS if (flag := values[PREFIX + key]).present}


def arguments(values: flags.FlagValues) -> list[str]:
    """Returns the flags that describe the same config to another process."""
    given = {key: "none" if v is None else v for key, v in overrides(values).items()}
    file = [] if values.config is None else [f"--config={values.config}"]
    return [*file, *(f"--{PREFIX}{key}={value}" for key, value in given.items())]


def read(values: flags.FlagValues, *, needed: bool = True) -> ConfigDict:
    """Returns the config that the command line describes, checked.

    Args:
      values: The parsed flags.
      needed: Whether a file must be given; else the keys without one change the defaults.

    Raises:
      UserError: If the file cannot be read or gives no whole config, or a value is out of range.
    """
    if values.config is not None:
        return configs.get(values.config, overrides(values), networks=())
    if needed:
        raise UserError("Give a config file, such as --config=configs/elu_cnn.py.")
    return configs.check(configs.replaced(configs.default(), overrides(values)))


def check_keys(argv: list[str]) -> None:
    """Refuses `--config.KEY` for a key that is not in the table, naming the nearest.

    Raises:
      UserError: Naming the key.
    """
    for argument in argv:
        if argument.startswith("--" + PREFIX):
            configs.check_key(argument.removeprefix("--" + PREFIX).partition("=")[0])
