"""One walk over the pictures of a folder: which files are pictures, and which are litter."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

# No .gif: it may be an animation, which is not one picture.
PICTURE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
_OUTLINE = "_expert"  # an expert's outline of a cell, beside its picture (LISC)
# What Macs, Windows, network storage and file systems leave among the files of a user, lower case.
_LITTER = frozenset((
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin",
    "system volume information", "@eadir", "#recycle", "lost+found",
))  # fmt: skip


def has_picture_suffix(path: Path) -> bool:
    """Returns whether a file is called like a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_picture(path: Path) -> bool:
    """Returns whether a file is called like a picture of cells, not like an outline of one."""
    return has_picture_suffix(path) and not path.stem.lower().endswith(_OUTLINE)


def pictures_below(folder: Path) -> Iterator[Path]:
    """Yields the pictures in `folder`, at any depth, sorted.

    As where class folders are read, a link to a folder is followed directly in `folder`, and not
    below. One that leads back to where it is, or above, is not followed either.

    Raises:
      OSError: If a folder cannot be listed.
    """
    for path in visible(folder):
        if not path.is_dir():
            below: Iterable[Path] = [path]
        elif path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
            below = []
        else:
            below = files_below(path)
        yield from filter(is_picture, below)


def files_below(folder: Path) -> Iterator[Path]:
    """Yields all files in `folder` but litter, at any depth, sorted.

    Links to files are followed. A link to a folder is yielded as if it were a file.

    Raises:
      OSError: If a folder cannot be listed.
    """
    ahead = _entries(folder)[::-1]
    while ahead:  # no recursion, since folders may lie deeper than Python's stack
        path, is_folder = ahead.pop()
        if is_folder:
            ahead += _entries(path)[::-1]
        else:
            yield path


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """Returns what is `visible`, and for each whether it is a folder, and not a link to one."""
    with os.scandir(folder) as entries:
        named = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    return [(folder / name, named[name]) for name in sorted(named) if not is_litter(name)]


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders directly in `folder`, without litter, sorted; links are followed."""
    with os.scandir(folder) as entries:  # asks the disk nothing about the pictures beside them
        return sorted(
            folder / entry.name for entry in entries if not is_litter(entry.name) and entry.is_dir()
        )


def visible(folder: Path) -> list[Path]:
    """Returns what lies directly in `folder`, without litter, sorted."""
    return [folder / name for name in sorted(os.listdir(folder)) if not is_litter(name)]


def is_litter(name: str) -> bool:
    """Returns whether a file or folder is hidden, as `._a.jpg` and `.DS_Store`, or not a user's."""
    # "~$" is Excel's, for a workbook that is open.
    return name.startswith((".", "~$")) or name.lower() in _LITTER
