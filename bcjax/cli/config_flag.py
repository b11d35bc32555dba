"""`--config=FILE` and `--config.KEY=VALUE`: from the command line to a validated config."""

import os
import re
import traceback

from absl import flags
from ml_collections import ConfigDict, config_flags

from bcjax import config as configs
from bcjax.config import ranges
from bcjax.runtime.errors import UserError

_WRITTEN = {bool: "true or false", int: "a whole number", float: "a number", tuple: "(A, B)"}


def define(flag_values: flags.FlagValues, argv: list[str], *, needed: bool = True) -> None:
    """Defines `--config=FILE[:VARIANT]` and `--config.KEY=VALUE` on `flag_values`.

    Unless a file is `needed`, the keys without one change the defaults.
    """
    keys = any(argument.startswith("--config.") for argument in argv)
    file = any(argument.partition("=")[0] == "--config" for argument in argv)
    if keys and not file and not needed:
        config_flags.DEFINE_config_dict(
            "config", configs.default(), flag_values=flag_values, sys_argv=argv
        )
        return
    config_flags.DEFINE_config_file(
        "config",
        help_string="A config file, such as configs/elu_cnn.py; --config.KEY=VALUE changes a key.",
        flag_values=flag_values,
        sys_argv=argv,
    )


def filename(values: flags.FlagValues) -> str:
    """Returns the path in `--config=PATH[:VARIANT]`."""
    return config_flags.get_config_filename(values["config"])


def read(values: flags.FlagValues) -> ConfigDict:
    """Returns the config that the command line describes, validated.

    Raises:
      UserError: If the file cannot be read or gives no whole config, or a value is out of range.
    """
    config = values.config
    if config is None:
        raise UserError("Give a config file, such as --config=configs/elu_cnn.py.")
    try:
        whole = configs.flatten(config.lock()).keys() == configs.flatten(configs.default()).keys()
    except OSError as error:
        name = filename(values)
        raise UserError(f"There is no config file {name!r}: configs/ holds some.") from error
    except AttributeError:
        whole = False
    if not whole:
        raise UserError(
            f"get_config() in {filename(values)} does not return the config tree: let it start "
            "from bcjax.config.default()."
        )
    return ranges.check(config)


def check_keys(argv: list[str]) -> None:
    """Refuses `--config.KEY` for a key that is not in the tree, naming the nearest.

    Raises:
      UserError: Naming the key.
    """
    known = list(configs.flatten(configs.default()))
    branches = {key.rsplit(".", 1)[0] for key in known if "." in key}
    for argument in argv:
        if argument.startswith("--config."):
            key = argument.removeprefix("--config.").partition("=")[0]
            if key in branches:
                raise UserError(f"config.{key} is a branch, not a value: set a key below it.")
            if key not in known:
                raise UserError(f"There is no config key {key!r}{configs.nearest(key, known)}")


def fault_in_file(error: BaseException | None, argv: list[str]) -> str:
    """Returns which line of the config file in `argv` raised `error`, and what; "" if none did."""
    path = next((a.removeprefix("--config=") for a in argv if a.startswith("--config=")), "")
    path = path.partition(":")[0]
    same = (path, os.path.abspath(path))
    while error is not None:
        if isinstance(error, UserError):
            return str(error)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename in same]
        if isinstance(error, SyntaxError) and error.filename in same:
            lines.append(error.lineno)
        if lines:
            said = str(error).split(". ")[0].splitlines()[0].removeprefix("'")
            hint = re.search("Did you mean .*[?]", str(error))  # for a key that is not in the tree
            said += f". {hint[0]}" if hint else ""
            return f"{path}, line {lines[-1]}, is wrong ({type(error).__name__}: {said}): mend it."
        if isinstance(error, AttributeError) and error.name == "get_config":
            return f"{path} has no function get_config(): copy one from configs/."
        error = error.__context__
    return ""


def wrong_type(error: flags.Error) -> str:
    """Returns what should have been written for the config key in `error`; "" if none is in it."""
    found = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error))
    if not found:
        return ""
    key, value = found.groups()
    kind = type(configs.flatten(configs.default())[key])
    return f"config.{key} is {value!r}: write {_WRITTEN[kind]}."
