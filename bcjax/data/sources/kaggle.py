"""Kaggle's 4-class blood cells ("dataset2-master"), which most notebooks on BCCD use.

Its pictures are augmented copies of some 350 smears of BCCD, divided into TRAIN and TEST before
they were copied: merged and divided again, copies of one smear lie on both sides.
"""

import dataclasses
import re
from pathlib import Path

from bcjax.data import splits
from bcjax.data.records import Source
from bcjax.data.sources import folder as class_folders

KIND = "Kaggle's 4-class folder"
_CLASSES = {"EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL"}
# _3_625.jpeg: picture 3 of its class in the 625th shuffled pass, so no original's number.
_COPY = re.compile(r"_\d+_\d+\.jpe?g")


def is_at(folder: Path) -> bool:
    """Whether `folder` holds the four class folders in a folder TRAIN, or copies in all four."""
    return bool(_roots(folder))


def read(folder: Path) -> Source:
    """Reads TRAIN and TEST as the splits they are; a folder named by itself names no split."""
    source = class_folders.read(folder, _roots(folder))
    notes = source.notes
    augmented = any(_COPY.fullmatch(Path(record.id).name) for record in source.records)
    if augmented:
        notes += (
            "These pictures are augmented copies of far fewer originals: only the official split "
            "into TRAIN and TEST, or groups of copies (data.group_by=copies), keep the copies of "
            "one original on one side.",
        )
    return dataclasses.replace(source, kind=KIND, notes=notes, augmented=augmented)


def _roots(folder: Path) -> dict[str, Path]:
    inside = {splits.named(path.name): path for path in class_folders.subfolders(folder)}
    if "train" in inside and _has_classes(inside["train"]):
        return {split: path for split, path in inside.items() if split}
    if _has_classes(folder) and all(
        any(_COPY.fullmatch(path.name) for path in (folder / name).iterdir()) for name in _CLASSES
    ):
        return {"": folder}
    return {}


def _has_classes(folder: Path) -> bool:
    return {path.name for path in class_folders.subfolders(folder)} == _CLASSES
