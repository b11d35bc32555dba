"""A config by name: of a config file, of a file in configs/, or of a network."""

import re
import sys
import traceback
import types
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ml_collections import ConfigDict

from bcjax.config.checks import check
from bcjax.config.suggest import nearest, nearest_key, renamed
from bcjax.config.table import KEYS, OLD_KEYS
from bcjax.config.tree import default, flatten, replaced
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

T = TypeVar("T")

CONFIGS = Path(__file__).parents[2] / "configs"  # in a checkout


def get(
    name: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    networks: Collection[str] | None = None,
) -> ConfigDict:
    """Returns a checked config, locked.

    Args:
      name: The path of a config file, the name of one in configs/, such as "quickstart" or
        "resnet50:frozen" with its variant, or the name of a network.
      overrides: Values by key, such as {"optim.lr": 3e-4, "model.dropout": None}.
      networks: The names of networks; None: any name that is no config's is taken for one.

    Raises:
      UserError: If there is no such config, its file does not run, there is no such key, or a key
        may not have that value.
    """
    path, variant = split_variant(files.local_path(name))
    if (file := find(path)) is not None:
        config = _read(file, path, variant)
    elif path in networks if networks is not None else path.isidentifier():
        config = replaced(default(), {"model.name": path})
    else:
        hint = nearest(path, [*names(), *(networks or ())])
        hint = ": configs/ holds some." if hint == "." else hint
        raise UserError(f"There is no config file {path!r}{hint}")
    return check(replaced(config, overrides or {}))


def split_variant(name: str) -> tuple[str, str]:
    """Returns the path or name of a config, and its variant, which follows a colon; "" for none."""
    if find(name) is not None:
        return name, ""
    path, colon, variant = name.rpartition(":")
    return (path, variant) if colon else (name, "")


def names() -> list[str]:
    """Returns the names of the files in configs/."""
    return sorted(path.stem for path in CONFIGS.glob("*.py"))


def find(name: str) -> Path | None:
    """Returns the config file of that path, or of that name in configs/; None if there is none."""
    places = (Path(name), CONFIGS / f"{name}.py")
    return next((path for path in places if path.is_file()), None)


def choose(variant: str, variants: Mapping[str, T]) -> T:
    """Returns what a config file's `:variant` stands for.

    Raises:
      UserError: If it has no such variant.
    """
    if variant not in variants:
        known = ", ".join(f":{name}" for name in variants if name)
        raise UserError(f"This config file has no variant {variant!r}: it has {known}.")
    return variants[variant]


def _read(path: Path, shown: str, variant: str) -> ConfigDict:
    """Returns what get_config() of a config file returns, which must be the whole tree."""
    module = types.ModuleType(f"config_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where linen looks for the annotations of a module's
    try:
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        if not callable(getattr(module, "get_config", None)):
            raise UserError(f"{shown} has no function get_config(): copy one from configs/.")
        config = module.get_config(*([variant] if variant else []))
    except Exception as error:
        if fault := _fault(error, path, shown):
            raise UserError(fault) from error
        raise
    if not isinstance(config, ConfigDict) or flatten(config).keys() != KEYS.keys():
        raise UserError(
            f"get_config() in {shown} does not return the config tree: let it start from "
            "bcjax.config.default()."
        )
    return config.lock()


def _fault(error: BaseException, path: Path, shown: str) -> str:
    """Returns which line of a config file raised `error`, and what; "" if none did."""
    if isinstance(error, UserError):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    if not lines:
        return ""
    reason = str(error).split(". ")[0].splitlines()[0].removeprefix("'")
    if key := re.search(r'Key "(\w+)" does not exist', reason):
        if old := [name for name in OLD_KEYS if name.rpartition(".")[2] == key[1]]:
            return f"{shown}, line {lines[-1]}, is of an earlier version: {renamed(old[0])}"
        return f"{shown}, line {lines[-1]}: there is no key {key[1]!r}{nearest_key(key[1])}"
    return f"{shown}, line {lines[-1]}, is wrong ({type(error).__name__}: {reason}): mend it."
