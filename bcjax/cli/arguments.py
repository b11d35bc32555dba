"""From a command line to absl flags, with mistakes said in one sentence.

Each command module has `define(flag_values, argv)`, `run(flag_values, positional)` and a docstring
that is its help. Flags live on a `FlagValues` of the command's own, so a command shows its flags
alone and absl's global ones stay out of the way.
"""

import inspect
from types import ModuleType

from absl import flags

from bcjax import config as configs
from bcjax.cli import config_flag
from bcjax.runtime.errors import UserError


def parse(
    command: ModuleType, name: str, argv: list[str]
) -> tuple[flags.FlagValues, list[str]] | None:
    """Returns the command's flags and its positional arguments; None if help was asked and printed.

    Raises:
      UserError: For an unknown flag, a missing value, or a value of the wrong type.
    """
    values = flags.FlagValues()
    asks_help = any(a in ("-h", "--help", "-help") for a in argv)
    config_flag.check_keys(argv)
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
    return [name for name in values if not name.startswith(config_flag.PREFIX)]
