"""Flags: from a command line to absl flags and a config, with mistakes in one sentence each.

Each command module has `define(flag_values, argv)`, `run(flag_values, positional)` and a docstring
that is its help. Flags live on a `FlagValues` of the command's own, so a command shows only its own
flags and none of absl's global ones.
"""

import inspect
from collections.abc import Collection
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.runtime.errors import UserError

PREFIX = "config."


def parse(
    command: ModuleType, name: str, argv: list[str]
) -> tuple[flags.FlagValues, list[str]] | None:
    """Returns the command's flags and its positional arguments; None if help was asked and printed.

    Raises:
      UserError: For an unknown flag, a missing value, or a value of the wrong type.
    """
    values = flags.FlagValues()
    asks_help = any(a in ("-h", "--help", "-help") for a in argv)
    check_keys(argv)
    try:
        command.define(values, [name] if asks_help else [name, *argv])
        if asks_help:
            print(_help(command, name, values))
            return None
        positional = values([name, *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        hint = configs.nearest(error.flagname, _own(values))
        raise UserError(f"bcjax {name} has no flag --{error.flagname}{hint}") from error
    except flags.Error as error:
        last = str(error).strip().splitlines()[-1].rstrip(".")
        raise UserError(f"{last}.") from error
    # Libraries that read absl's global flags (grain's workers) only need them parsed, not set.
    flags.FLAGS.mark_as_parsed()
    return values, positional


def _help(command: ModuleType, name: str, values: flags.FlagValues) -> str:
    lines = [inspect.getdoc(command) or "", "", "flags:"]
    for flag in _own(values):
        entry = values[flag]
        shown = "" if entry.default in (None, "", False) else f" (default: {entry.default})"
        lines.append(f"  --{flag}: {entry.help}{shown}")
    return f"bcjax {name}: " + "\n".join(lines)


def _own(values: flags.FlagValues) -> list[str]:
    """Returns the names of a command's flags, but for those of the keys of the config."""
    return [name for name in values if not name.startswith(PREFIX)]


class _Parser(flags.ArgumentParser):
    """Reads the value of one key."""

    def __init__(self, key: str):
        self._key = key

    def parse(self, argument: str) -> Any:
        return configs.parse(self._key, argument)


def define_config(values: flags.FlagValues) -> None:
    """Defines `--config=NAME[:VARIANT]` and `--config.KEY=VALUE` for each key of the table."""
    flags.DEFINE_string(
        "config",
        None,
        "A config by name (bcjax configs lists them), the path of a config file, or a network's "
        "name; --config.KEY=VALUE changes a key.",
        flag_values=values,
    )
    for name, key in configs.KEYS.items():
        flag: flags.Flag = flags.Flag(_Parser(name), None, PREFIX + name, None, key.meaning)
        flag.boolean = key.kind.python is bool  # the name alone is enough to set it
        flags.DEFINE_flag(flag, values)


def config_file(values: flags.FlagValues) -> str:
    """Returns the path in `--config=PATH[:VARIANT]`."""
    return (values.config or "").partition(":")[0]


def config_overrides(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the values that `--config.KEY=VALUE` gives, by key."""
    return {key: flag.value for key in configs.KEYS if (flag := values[PREFIX + key]).present}


def config_arguments(values: flags.FlagValues) -> list[str]:
    """Returns the flags that describe the same config to another process."""
    given = {key: "none" if v is None else v for key, v in config_overrides(values).items()}
    file = [] if values.config is None else [f"--config={values.config}"]
    return [*file, *(f"--{PREFIX}{key}={value}" for key, value in given.items())]


def read_config(values: flags.FlagValues, *, needed: bool = True) -> ConfigDict:
    """Returns the config that the command line describes, checked.

    Args:
      values: The parsed flags.
      needed: Whether a file must be given; else the keys without one change the defaults.

    Raises:
      UserError: If the file cannot be read or gives no whole config, or a value is out of range.
    """
    if values.config is not None:
        return configs.get(values.config, config_overrides(values), networks=_networks)
    if needed:
        raise UserError("Give a config, such as --config=elu_cnn: bcjax configs lists them.")
    return configs.check(configs.replaced(configs.default(), config_overrides(values)))


def _networks() -> Collection[str]:
    # Here, because flax takes a second to import: only for a name that is no config's.
    from bcjax.models import MODELS

    return MODELS


def check_keys(argv: list[str]) -> None:
    """Refuses `--config.KEY` for a key that is not in the table, naming the nearest.

    Raises:
      UserError: Naming the key.
    """
    for argument in argv:
        if argument.startswith("--" + PREFIX):
            configs.check_key(argument.removeprefix("--" + PREFIX).partition("=")[0])
