"""A config by name: of a config file, of a file in configs/, or of a network."""

import ast
import inspect
import re
import sys
import traceback
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ml_collections import ConfigDict

from bcjax.config.checks import check
from bcjax.config.suggest import nearest, nearest_key, renamed
from bcjax.config.table import KEYS, OLD_KEYS
from bcjax.config.tree import default, flatten, replaced
from bcjax.runtime import files, plugins
from bcjax.runtime.errors import UserError

T = TypeVar("T")

# Where a wheel has put them, and where they lie in a checkout.
_FOLDERS = (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")
CONFIGS = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])


def get(
    name: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    networks: Callable[[], Collection[str]] | None = None,
) -> ConfigDict:
    """Returns a checked config, locked.

    Args:
      name: The path of a config file, the name of one in configs/, such as "quickstart" or
        "resnet50:frozen" with its variant, or the name of a network.
      overrides: Values by key, such as {"optim.lr": 3e-4, "model.dropout": None}.
      networks: A function that returns the names of networks; it is called for a name that is no
        config's. None: any such name is taken for a network's.

    Raises:
      UserError: If there is no such config, its file does not run, there is no such key, or a key
        may not have that value.
    """
    overrides = overrides or {}
    shown, variant = split_variant(files.local_path(name))
    if (path := find(shown)) is not None:
        config = _read(path, shown, variant)
    else:
        plugins.load(overrides.get("imports", ()))  # which may register the network
        known = networks() if networks else (shown,) if shown.isidentifier() else ()
        if shown not in known:
            raise UserError(_missing(shown, known))
        config = replaced(default(), {"model.name": shown})
    return check(replaced(config, overrides))


def split_variant(name: str) -> tuple[str, str]:
    """Returns the path or name of a config, and its variant, which follows a colon; "" for none."""
    if find(name) is not None:
        return name, ""
    path, colon, variant = name.rpartition(":")
    return (path, variant) if colon else (name, "")


def names() -> dict[str, str]:
    """Returns the names of the files in configs/, and what the first line of each says it is."""
    found = {}
    for path in sorted(CONFIGS.glob("*.py")) + sorted(CONFIGS.glob("*/*.py")):
        module = ast.parse(path.read_text())
        if any(getattr(part, "name", "") == "get_config" for part in module.body):
            name = path.relative_to(CONFIGS).with_suffix("").as_posix()
            found[name] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def find(name: str, suffixes: Sequence[str] = (".py",)) -> Path | None:
    """Returns the file of that path, or of that name in configs/; None if there is none.

    Args:
      name: The path, or the name, such as "published/pbc3200".
      suffixes: What a name may leave out of its file's.
    """
    places = (files.user_path(name), *(CONFIGS / f"{name}{suffix}" for suffix in suffixes))
    return next((path for path in places if path.is_file()), None)


def _missing(shown: str, networks: Collection[str]) -> str:
    """Returns why there is no config of that name, and which there are."""
    if shown and files.user_path(shown).is_dir():
        return f"{shown} is a folder: name a config file in it, or one of {_listed()}."
    known = names()
    stem = Path(shown).stem  # of configs/resnet50.py too, where there is no checkout
    hint = f": did you mean {stem!r}?" if stem in known else nearest(stem, [*known, *networks])
    return f"There is no config file {shown!r}{hint} bcjax has {_listed()}."


def _listed() -> str:
    return ", ".join(names())


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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{shown} cannot be read ({error.strerror}): mend that.") from error
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{shown} is no config file: name one that is Python, written in UTF-8.")
    module = types.ModuleType(f"config_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where linen looks for the annotations of a module's
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
        config = _call(getattr(module, "get_config", None), shown, variant)
    except (Exception, SystemExit) as error:
        if fault := _fault(error, path, shown):
            raise UserError(fault) from error
        raise
    if not isinstance(config, ConfigDict) or flatten(config).keys() != KEYS.keys():
        raise UserError(
            f"get_config() in {shown} does not return the config tree: let it start from "
            "bcjax.config.default()."
        )
    return config.lock()


def _call(get_config: Any, shown: str, variant: str) -> Any:
    """Calls a file's `get_config`, with the variant if there is one.

    Raises:
      UserError: If there is no such function, or it takes no variant, or wants one.
    """
    if not callable(get_config):
        raise UserError(
            f"{shown} has no function get_config(): bcjax configs lists files to begin with."
        )
    given = [variant] if variant else []
    try:
        inspect.signature(get_config).bind(*given)
    except TypeError as error:
        wants = f"has no variants: leave :{variant} out" if variant else "wants a variant: add one"
        raise UserError(f"The config {shown} {wants}.") from error
    return get_config(*given)


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
    reason = str(error).partition(". ")[0].partition("\n")[0].removeprefix("'")
    if key := re.search(r'Key "(\w+)" does not exist', reason):
        if old := [name for name in OLD_KEYS if name.rpartition(".")[2] == key[1]]:
            return f"{shown}, line {lines[-1]}, is of an earlier version: {renamed(old[0])}"
        return f"{shown}, line {lines[-1]}: there is no key {key[1]!r}{nearest_key(key[1])}"
    fault = type(error).__name__ + (f": {reason}" if reason else "")
    return f"{shown}, line {lines[-1]}, is wrong ({fault}): mend it."
