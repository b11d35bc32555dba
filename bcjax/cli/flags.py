"""The command line: each command's flags, and a config from `--config=FILE --config.KEY=VALUE`.

A command is a module with `FLAGS`, `run(arguments)` and a docstring that is its help; one that also
takes words that are no flags, such as files, has `TAKES_WORDS = True`. It imports what is slow to
import (JAX, TFDS, matplotlib) in `run`, so that help and mistakes in the flags show at once.
"""

import dataclasses
import inspect
from collections.abc import Collection
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from absl import flags as absl_flags
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.config import suggest
from bcjax.data.records import SPLITS
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

_PREFIX = "config."
_HELP = ("-h", "--help", "-help")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of a command.

    Attributes:
      name: The name, as in `--name=value`.
      meaning: What it means, for the help.
      default: The value where it is not given.
      kind: The type of the value, or the values to choose from. A `list` is written with commas.
      least: The least value of an int.
      needed: If the command cannot do without it: the sentence that asks for it.
      alone: Whether `--name` without a value may stand for `--name=true`.
      path: Whether the text, or each on the list, is a path or a name in the place of one.
    """

    name: str
    meaning: str
    default: Any = None
    kind: type | tuple[str, ...] = str
    least: int | None = None
    needed: str | None = None
    alone: bool = False
    path: bool = False

    @property
    def attribute(self) -> str:
        """The name of its value among the parsed arguments: `map_classes` of --map-classes."""
        return self.name.replace("-", "_").replace(".", "_")

    def define(self, values: absl_flags.FlagValues) -> None:
        """Adds the flag to absl's."""
        about: dict[str, Any] = {"flag_values": values}
        if isinstance(self.kind, tuple):
            absl_flags.DEFINE_enum(self.name, self.default, self.kind, self.meaning, **about)
        elif self.kind is int:
            absl_flags.DEFINE_integer(self.name, self.default, self.meaning, self.least, **about)
        else:
            kinds: Any = {bool: absl_flags.DEFINE_boolean, float: absl_flags.DEFINE_float}
            define = kinds.get(self.kind, absl_flags.DEFINE_string)
            default = ",".join(self.default) if self.kind is list else self.default
            define(self.name, default, self.meaning, **about)
        values[self.name].boolean |= self.alone  # as absl calls it

    def read(self, value: Any) -> Any:
        """Returns the value that absl has read, as the command takes it.

        Raises:
          UserError: If it is a remote path.
        """
        if self.kind is list:
            parts = [part.strip() for part in value.split(",")]
            return [files.local_path(part) if self.path else part for part in parts if part]
        if not value:
            return value
        if self.kind is Path:
            return files.user_path(value)
        return files.local_path(value) if self.path else value


# What several commands take.
CONFIG = Flag(
    "config",
    "A config by its name (bcjax configs lists them), the path of a config file, or the name of a "
    "network; --config.KEY=VALUE changes a key.",
    path=True,
)
CHECKPOINT = Flag("checkpoint", "best, latest or a step.", "best")
BATCH_SIZE = Flag("batch_size", "Pictures at a time.", kind=int, least=1)
PREVALENCE = Flag(
    "prevalence",
    "The share of each class at which the network answers: CLASS=SHARE,...; else as trained.",
)
JSON = Flag("json", "Print JSON instead of a table.", False, bool)
ALLOW_LEAKS = Flag(
    "allow-leaks", "Go on though pictures lie in two splits; the results will say so.", False, bool
)


def workdir(purpose: str) -> Flag:
    """Returns `--workdir` of a command that needs a run, such as "the run to evaluate"."""
    needed = f"Give {purpose}, such as --workdir=runs/elu_cnn."
    return Flag("workdir", "The run's folder.", kind=Path, needed=needed)


def split(meaning: str, default: str = "test") -> Flag:
    """Returns `--split`, which is one of the run's own splits."""
    return Flag("split", meaning, default, SPLITS)


class Arguments(SimpleNamespace):
    """A parsed command line: the value of each flag under its `attribute`, and the following.

    Attributes:
      words: What is no flag.
      overrides: The values that `--config.KEY=VALUE` gives, by key.
    """


def parse(command: ModuleType, name: str, argv: list[str]) -> Arguments | None:
    """Returns what a command line says; None if help was asked and printed.

    Raises:
      UserError: For an unknown flag or key, a value that is missing or of the wrong type, or a
        flag that the command needs.
    """
    values = absl_flags.FlagValues()
    for flag in command.FLAGS:
        flag.define(values)
    if CONFIG in command.FLAGS:
        _define_keys(values)
    _check_keys(argv)
    asks_help = any(argument in _HELP for argument in argv)
    try:
        words = values([name, *(argument for argument in argv if argument not in _HELP)])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        hint = _nearest(command, error.flagname)
        raise UserError(f"bcjax {name} has no flag --{error.flagname}{hint}") from error
    except absl_flags.Error as error:
        if not asks_help:
            raise UserError(f"{str(error).strip().splitlines()[-1].rstrip('.')}.") from error
    if asks_help:
        print(_help(command, name))
        return None
    if words and not getattr(command, "TAKES_WORDS", False):
        raise UserError(f"bcjax {name} takes flags only, not {words[0]!r}.")
    # Libraries that read absl's global flags (grain's workers) only need them parsed, not set.
    absl_flags.FLAGS.mark_as_parsed()
    # Paths, or names that stay as they are.
    arguments = Arguments(words=[files.local_path(word) for word in words], overrides={})
    for flag in command.FLAGS:
        value = flag.read(values[flag.name].value)
        if flag.needed and not value:
            raise UserError(flag.needed)
        setattr(arguments, flag.attribute, value)
    if CONFIG in command.FLAGS:
        given = ((key, values[_PREFIX + key]) for key in configs.KEYS)
        arguments.overrides = {key: flag.value for key, flag in given if flag.present}
    return arguments


def _help(command: ModuleType, name: str) -> str:
    lines = [inspect.getdoc(command) or "", "", "flags:"]
    for flag in command.FLAGS:
        default = ",".join(flag.default) if flag.kind is list else flag.default
        shown = "" if default in (None, "", False) else f" (default: {default})"
        lines.append(f"  --{flag.name}: {flag.meaning}{shown}")
    return f"bcjax {name}: " + "\n".join(lines)


def _nearest(command: ModuleType, word: str) -> str:
    """Returns ': did you mean X?' for the flag, or the key of the config, most like a word."""
    hint = configs.nearest(word, [*(flag.name for flag in command.FLAGS), "help", "version"])
    if hint == "." and CONFIG in command.FLAGS:
        hint = suggest.nearest_key(word).replace("'", f"'{_PREFIX}", 1)
    return hint


class _Parser(absl_flags.ArgumentParser):
    """Reads the value of one key."""

    def __init__(self, key: str):
        self._key = key

    def parse(self, argument: str) -> Any:
        return configs.parse(self._key, argument)


def _define_keys(values: absl_flags.FlagValues) -> None:
    """Defines `--config.KEY=VALUE` for each key of the table."""
    for name, key in configs.KEYS.items():
        flag: absl_flags.Flag = absl_flags.Flag(
            _Parser(name), None, _PREFIX + name, None, key.meaning
        )
        flag.boolean = key.kind.python is bool  # the name alone is enough to set it
        absl_flags.DEFINE_flag(flag, values)


def _check_keys(argv: list[str]) -> None:
    """Refuses `--config.KEY` for a key that is not in the table, naming the nearest.

    Raises:
      UserError: Naming the key.
    """
    for argument in argv:
        if argument.startswith("--" + _PREFIX):
            configs.check_key(argument.removeprefix("--" + _PREFIX).partition("=")[0])


def config_arguments(arguments: Arguments) -> list[str]:
    """Returns the flags that describe the same config to another process."""
    given = {key: "none" if v is None else v for key, v in arguments.overrides.items()}
    file = [] if arguments.config is None else [f"--config={arguments.config}"]
    return [*file, *(f"--{_PREFIX}{key}={value}" for key, value in given.items())]


def read_config(arguments: Arguments, *, needed: bool = True) -> ConfigDict:
    """Returns the config that the command line describes, checked.

    Args:
      arguments: The parsed command line.
      needed: Whether a file must be given, and pictures be named; else the keys without one change
        the defaults.

    Raises:
      UserError: If the file cannot be read or gives no whole config, or a value is out of range.
    """
    if arguments.config is not None:
        config = configs.get(arguments.config, arguments.overrides, networks=_networks)
        if needed:
            configs.check_source(config.data)
        return config
    if needed:
        raise UserError(
            "Give a config file or its name, such as --config=elu_cnn: bcjax configs lists them."
        )
    return configs.check(configs.replaced(configs.default(), arguments.overrides))


def _networks() -> Collection[str]:
    from bcjax.models import MODELS

    return MODELS
