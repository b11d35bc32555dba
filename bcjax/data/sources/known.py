"""Finds a data set that is known by its layout, however deep its download has put it."""

from pathlib import Path
from types import ModuleType

from bcjax.data import splits
from bcjax.data.sources import bccd, kaggle, laboratories, manifest, pbc
from bcjax.data.sources.folder import subfolders
from bcjax.runtime.errors import UserError

_ADAPTERS = (kaggle, bccd, laboratories, pbc)
_DEPTH = 3  # dataset2-master/dataset2-master/images/TRAIN
_SIBLINGS = 4  # more folders than this are no wrapping


def find(folder: Path) -> tuple[ModuleType, Path] | None:
    """The adapter of the one known data set in `folder`, and where that is; None if there is none.

    Raises:
      UserError: There are several.
    """
    found = _found(folder, _DEPTH)
    if len(found) > 1:
        raise UserError(
            f"{folder} holds several data sets: name one of them, {found[0][1]} or {found[1][1]}"
        )
    return found[0] if found else None


def table(folder: Path) -> Path | None:
    """The user's manifest in `folder`: not BCCD's own table, which lies in Kaggle's folder too."""
    path = manifest.find(folder)
    return path if path and not bccd.is_table(path) else None


def _found(folder: Path, depth: int) -> list[tuple[ModuleType, Path]]:
    if table(folder):  # what a user has listed counts more than how folders are called
        return []
    for adapter in _ADAPTERS:
        if adapter.is_at(folder):
            return [(adapter, folder)]
    inside = subfolders(folder)
    # Class folders below split folders are one data set, whatever is in each of them.
    if depth == 0 or len(inside) > _SIBLINGS or any(splits.named(path.name) for path in inside):
        return []
    return [found for path in inside for found in _found(path, depth - 1)]
