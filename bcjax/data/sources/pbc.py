"""PBC: peripheral blood cells in eight class folders.

Acevedo et al. 2020, doi:10.17632/snkd93bnjr.1. Its file names begin with what the cell is, in finer
steps than the folders: `BNE_191112.jpg` is a band neutrophil, `MMY_...` a metamyelocyte.
"""

import dataclasses
from pathlib import Path, PurePosixPath

from bcjax.data.records import Source
from bcjax.data.sources import folder as class_folders
from bcjax.data.sources.classes import natural_order
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.runtime.errors import UserError

CLASSES = {
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
}
PREFIXES = (
    "BA", "BNE", "EO", "ERB", "IG", "LY", "MMY", "MO", "MY", "NEUTROPHIL", "PLATELET", "PMY", "SNE",
)  # fmt: skip


def is_at(folder: Path) -> bool:
    """Whether `folder` holds PBC's eight class folders."""
    return {path.name for path in class_folders.subfolders(folder)} == CLASSES


def read(folder: Path) -> Source:
    """Reads the eight class folders."""
    return dataclasses.replace(class_folders.read(folder), kind="PBC")


def fine(source: Source) -> Source:
    """The source with the prefixes of its file names as classes, whatever its classes were.

    Raises:
      UserError: A file name does not begin with one of `PREFIXES` and an underscore.
    """
    names = {r.id: PurePosixPath(r.id).name.partition("_")[0] for r in source.records}
    for id_, name in names.items():
        if name not in PREFIXES:
            raise UserError(
                f"{id_} in {source.location} does not begin with a sub-type of PBC's "
                f"({', '.join(PREFIXES)}): data.fine_labels is for PBC's own file names"
            )
    classes = natural_order(names.values())
    label_of = {name: label for label, name in enumerate(classes)}
    return dataclasses.replace(
        source,
        classes=classes,
        records=[dataclasses.replace(r, label=label_of[names[r.id]]) for r in source.records],
        fingerprint=fingerprint(source.fingerprint, "fine"),
    )
