"""Modules from outside bcjax that register networks, augmentations, losses, ... of their own.

A run names them in its config, `config.imports = ("my_cells.networks",)`, so that whoever opens the
run imports them again. A package that is installed need not be named: it declares its modules as
entry points of the group "bcjax.plugins".
"""

import functools
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata

from bcjax.runtime import environment
from bcjax.runtime.errors import UserError, shown

GROUP = "bcjax.plugins"


def load(modules: Sequence[str]) -> None:
    """Imports the installed plugins and the named modules, each once in a process.

    The current folder is searched too, after all others.

    Args:
      modules: Names such as "my_cells.networks".

    Raises:
      UserError: If a module is not there, or raises an error of its own.
    """
    _load_installed()
    if modules and os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    for name in modules:
        _import(name, f"config.imports names {shown(name)}", "leave it out")


def code_digests(modules: Sequence[str]) -> dict[str, str]:
    """Returns a digest of the source files of installed plugins and loaded modules, by package."""
    named = [*(point.value for point in metadata.entry_points(group=GROUP)), *modules]
    packages = dict.fromkeys(re.split("[.:]", name)[0] for name in named)
    return {package: environment.code_digest(package) for package in packages}


@functools.cache
def _load_installed() -> None:
    for point in metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist else point.name
        _import(point.value, f"The installed plugin {package} names {point.value!r}", "remove it")


def _import(name: str, subject: str, otherwise: str) -> None:
    try:
        importlib.import_module(name.partition(":")[0])
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{subject}, which needs the module {error.name!r}: install it, or {otherwise}."
            ) from error
        raise UserError(
            f"{subject}, which is not there: install it or put its folder on PYTHONPATH, or "
            f"{otherwise}."
        ) from error
    except UserError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"{subject}, which cannot be imported ({last.filename}, line {last.lineno}: "
            f"{type(error).__name__}: {error}): mend it, or {otherwise}."
        ) from error
