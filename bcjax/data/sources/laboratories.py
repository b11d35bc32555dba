"""Sets of class folders from one laboratory or several, as their downloads lay them out.

Raabin-WBC (Kouzehkanan et al. 2022, doi:10.1038/s41598-021-04426-x): Train, TestA, and TestB, which
another microscope and camera took. LISC (Rezatofighi and Soltanian-Zadeh 2011): Main Dataset, and
Ground Truth Segmentation with the experts' outlines.
"""

import dataclasses
from pathlib import Path

from bcjax.data.records import Source
from bcjax.data.sources import folder as class_folders

_LISC = "main dataset"


def is_at(folder: Path) -> bool:
    """Whether `folder` is laid out as Raabin-WBC or LISC."""
    inside = _inside(folder)
    return {"train", "testa"} <= inside.keys() or _LISC in inside


def read(folder: Path) -> Source:
    """Reads Raabin's Train and TestA as train and test, or LISC's pictures without its outlines."""
    inside = _inside(folder)
    if _LISC in inside:
        source = class_folders.read(folder, {"": inside[_LISC]})
        return dataclasses.replace(source, kind="LISC")
    source = class_folders.read(folder, {"train": inside["train"], "test": inside["testa"]})
    notes = source.notes
    if "testb" in inside:
        notes += (
            "TestB is another laboratory's: evaluate on it by itself "
            f"(--data.source={inside['testb']}).",
        )
    return dataclasses.replace(source, kind="Raabin-WBC", notes=notes)


def _inside(folder: Path) -> dict[str, Path]:
    return {path.name.lower(): path for path in class_folders.subfolders(folder)}
