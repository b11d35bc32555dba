"""One walk over the pictures of a folder: which files are pictures, and which are litter."""

import os
from collections.abc import Iterator
from pathlib import Path

# No .gif: it may be an animation, which is not one picture.
PICTURE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
_OUTLINE = "_expert"  # an expert's outline of a cell, beside its picture (LISC)
_LITTER = (".", "__MACOSX")  # hidden files, and what a Mac adds to the zip files that it makes


def has_picture_suffix(path: Path) -> bool:
    """Returns whether a file is called like a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_picture(path: Path) -> bool:
    """Returns whether a file is called like a picture of cells, not like an outline of one."""
    return has_picture_suffix(path) and not path.stem.lower().endswith(_OUTLINE)


def pictures_below(folder: Path) -> Iterator[Path]:
    """Yields the pictures in `folder`, at any depth, sorted; links to folders are not followed.

    Raises:
      OSError: If a folder cannot be listed.
    """
    return filter(is_picture, files_below(folder))


def files_below(folder: Path) -> Iterator[Path]:
    """Yields all files in `folder` but litter, at any depth, sorted.

    Links to files are followed. A link to a folder is yielded as if it were a file.

    Raises:
      OSError: If a folder cannot be listed.
    """
    for path in visible(folder):
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path)
        else:
            yield path


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders directly in `folder`, without litter, sorted; links are followed."""
    with os.scandir(folder) as entries:  # asks the disk nothing about the pictures beside them
        return sorted(
            folder / entry.name
            for entry in entries
            if not entry.name.startswith(_LITTER) and entry.is_dir()
        )


def visible(folder: Path) -> list[Path]:
    """Returns what lies directly in `folder`, without litter, sorted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(_LITTER))
