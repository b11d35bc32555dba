"""Class folders: CLASS/picture.png, or SPLIT/CLASS/picture.png."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bcjax.data import splits
from bcjax.data.records import Record, Source
from bcjax.data.sources.classes import natural_order
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.runtime.errors import UserError

# No .gif: it may be an animation, which is not one picture.
PICTURES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
# An expert's outline of a cell, beside its picture (LISC).
_MASK = "_expert"
_HIDDEN = (".", "__MACOSX")  # the second: what a Mac adds to the zip files it makes
_LIKE_A_SPLIT = re.compile("(train|val|test)", re.IGNORECASE)


def read(folder: Path, roots: Mapping[str, Path] | None = None) -> Source:
    """Reads a folder whose sub-folders are the classes, or the splits with the classes in them.

    Pictures may lie at any depth in a class folder. Hidden files are left alone; other files
    that are no pictures, and masks, are counted in a note. Links to pictures are followed, and so
    is a class folder that is a link; links to folders within a class folder are not.

    Args:
      folder: The folder that ids are relative to.
      roots: Where the class folders of each split are; None: found by the names of the sub-folders.

    Raises:
      OSError: A folder cannot be listed, or a link leads nowhere.
      UserError: There is no class folder, one without a picture, two folders for one split, none
        for train beside one like a split, or a name that is not UTF-8.
    """
    found: list[tuple[Path, str, str]] = []  # picture, class name, split
    ignored: list[Path] = []
    notes = []
    roots = _split_folders(folder) if roots is None else roots
    if roots and folder not in roots.values():
        others = [path.name for path in subfolders(folder) if path not in roots.values()]
        if others:
            read_ = ", ".join(path.name for path in roots.values())
            notes.append(f"Read {read_} and left out what lies beside: {', '.join(others)}.")
    for split, root in (roots or {"": folder}).items():
        ignored += [path for path in _visible(root) if path.is_file()]
        class_folders = subfolders(root)
        if not class_folders:
            raise UserError(
                f"{root} holds no class folders: put the pictures of each class into a folder "
                "named after it, or list them in a CSV file with the columns filename and label"
            )
        for class_folder in class_folders:
            files = list(_files(class_folder))
            pictures = [path for path in files if _is_picture(path)]
            if not pictures:
                raise UserError(
                    f"class folder {class_folder} holds no picture "
                    f"({', '.join(sorted(PICTURES))}): add some or remove it"
                )
            found += [(path, class_folder.name, split) for path in pictures]
            ignored += [path for path in files if not _is_picture(path)]

    classes = natural_order(name for _, name, _ in found)
    if len(classes) == 1 and not roots and subfolders(folder / classes[0]):
        raise UserError(
            f"{folder} holds one class folder only, {classes[0]!r}: "
            f"if the classes are the folders inside it, name {folder / classes[0]} instead"
        )
    splits_ = [name for name in classes if not roots and _LIKE_A_SPLIT.match(name)]
    if splits_ and subfolders(folder / splits_[0]):
        raise UserError(
            f"{folder} holds {splits_[0]}, which looks like a split though none is called train: "
            f"rename it train, val or test, or name {folder / splits_[0]} to read it alone"
        )
    if ignored:
        examples = ", ".join(path.relative_to(folder).as_posix() for path in ignored[:3])
        more = ", ..." if len(ignored) > 3 else ""
        notes.append(f"Ignored {len(ignored)}, no pictures of a class: {examples}{more}.")
    label_of = {name: label for label, name in enumerate(classes)}
    records, identity = [], []
    for path, name, split in found:
        status = path.stat()
        id_ = path.relative_to(folder).as_posix()
        if not _is_text(id_):
            raise UserError(f"the name {id_!r} in {folder} is not in UTF-8: rename it")
        records.append(Record(id_, label_of[name], path.read_bytes, split=split))
        identity.append((id_, status.st_size, status.st_mtime_ns))
    return Source(
        kind="class folders in split folders" if roots else "class folders",
        location=str(folder),
        classes=classes,
        records=records,
        fingerprint=fingerprint(identity),
        notes=tuple(notes),
    )


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and not path.stem.lower().endswith(_MASK)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that Python could not decode, kept as surrogates
        return False
    return True


def _split_folders(folder: Path) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for path in subfolders(folder):
        split = splits.named(path.name)
        if split and roots.setdefault(split, path) != path:
            raise UserError(
                f"{folder} holds two folders for {split}, {roots[split].name} and {path.name}: "
                "merge them"
            )
    return roots


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(_HIDDEN))


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that are not hidden, sorted."""
    with os.scandir(folder) as entries:  # asks the disk nothing for each of the pictures beside
        return sorted(
            folder / entry.name
            for entry in entries
            if not entry.name.startswith(_HIDDEN) and entry.is_dir()
        )


def _files(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path
