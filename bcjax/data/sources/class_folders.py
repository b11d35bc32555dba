"""Class folders: CLASS/picture.png, or SPLIT/CLASS/picture.png."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bcjax.data.decode import read_file
from bcjax.data.records import Record, Source, natural_order, split_from_name
from bcjax.data.sources.walk import PICTURE_SUFFIXES, files_below, is_picture, subfolders, visible
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

# A folder called so is a split rather than a class.
_LIKE_A_SPLIT = re.compile("(train|val|test)", re.IGNORECASE)


class _ClassPicture(NamedTuple):
    path: str  # a Path takes three times the memory
    class_name: str
    split: str


def read(folder: Path, roots: Mapping[str, Path] | None = None) -> Source:
    """Reads a folder whose sub-folders are the classes, or the splits with the classes in them.

    Pictures may lie at any depth in a class folder. Hidden files are passed over; other files
    that are not pictures, and outlines, are counted in a note. Links to pictures are followed, and
    so is a class folder that is a link; links to folders within a class folder are not.

    Args:
      folder: The folder that ids are relative to.
      roots: The folder that holds the class folders of each split, by split; None: found by the
        names of the sub-folders.

    Raises:
      OSError: If a folder cannot be listed, a link leads nowhere, or what is called like a picture
        is not a regular file.
      UserError: If there is no class folder, one without a picture, two folders for one split, none
        for train beside one named like a split, or a name that is not UTF-8.
    """
    found: list[_ClassPicture] = []
    ignored: list[Path] = []
    notes = []
    roots = _split_folders(folder) if roots is None else roots
    if roots and folder not in roots.values():
        others = [path.name for path in subfolders(folder) if path not in roots.values()]
        if others:
            used = ", ".join(path.name for path in roots.values())
            notes.append(f"Read {used} and left out what lies beside: {', '.join(others)}.")
    for split, root in (roots or {"": folder}).items():
        ignored += [path for path in visible(root) if path.is_file()]
        class_folders = subfolders(root)
        if not class_folders:
            raise UserError(
                f"{root} holds no class folders: put the pictures of each class into a folder "
                "named after it, or list them in a CSV file with the columns filename and label"
            )
        for class_folder in class_folders:
            below = list(files_below(class_folder))
            pictures = [path for path in below if is_picture(path)]
            if not pictures:
                raise UserError(
                    f"class folder {class_folder} holds no picture "
                    f"({', '.join(sorted(PICTURE_SUFFIXES))}): add some or remove it"
                )
            found += [_ClassPicture(str(path), class_folder.name, split) for path in pictures]
            ignored += [path for path in below if not is_picture(path)]

    classes = natural_order(picture.class_name for picture in found)
    if len(classes) == 1 and not roots and subfolders(folder / classes[0]):
        raise UserError(
            f"{folder} holds one class folder only, {classes[0]!r}: "
            f"if the classes are the folders inside it, name {folder / classes[0]} instead"
        )
    split_like = [name for name in classes if not roots and _LIKE_A_SPLIT.match(name)]
    if split_like and subfolders(folder / split_like[0]):
        raise UserError(
            f"{folder} holds {split_like[0]}, which looks like a split though none is called "
            f"train: rename it train, val or test, or name {folder / split_like[0]} to read it "
            "alone"
        )
    if ignored:
        examples = ", ".join(path.relative_to(folder).as_posix() for path in ignored[:3])
        more = ", ..." if len(ignored) > 3 else ""
        notes.append(f"Ignored {len(ignored)}, no pictures of a class: {examples}{more}.")
    label_of = {name: label for label, name in enumerate(classes)}
    records, above = [], f"{folder.as_posix().rstrip('/')}/"
    for path, name, split in found:
        files.check_regular(path)
        id_ = Path(path).as_posix().removeprefix(above)
        if id_ != id_.encode(errors="ignore").decode():  # Python keeps other bytes as surrogates
            raise UserError(f"the name {id_!r} in {folder} is not in UTF-8: rename it")
        records.append(Record(id_, label_of[name], partial(read_file, path), split=split))
    return Source(
        kind="class folders in split folders" if roots else "class folders",
        location=str(folder),
        classes=classes,
        records=records,
        notes=tuple(notes),
        files=[picture.path for picture in found],
    )


def _split_folders(folder: Path) -> dict[str, Path]:
    """Returns the sub-folders that are named like a split, by split."""
    roots: dict[str, Path] = {}
    for path in subfolders(folder):
        split = split_from_name(path.name)
        if split and roots.setdefault(split, path) != path:
            raise UserError(
                f"{folder} holds two folders for {split}, {roots[split].name} and {path.name}: "
                "merge them"
            )
    return roots
