"""Published data sets, recognised by the layout of their downloads, however deep they lie.

* PBC (Acevedo et al. 2020, doi:10.17632/snkd93bnjr.1): eight class folders. Its file names begin
  with the type of the cell, in finer steps than the folders: `BNE_191112.jpg` is a band neutrophil.
* Kaggle's 4-class blood cells ("dataset2-master"), which most notebooks on BCCD use. Its pictures
  are augmented copies of some 350 smears of BCCD, divided into TRAIN and TEST before they were
  copied: merged and divided again, copies of one smear lie on both sides.
* Raabin-WBC (Kouzehkanan et al. 2022, doi:10.1038/s41598-021-04426-x): Train, TestA, and TestB,
  which another microscope and camera took.
* LISC (Rezatofighi and Soltanian-Zadeh 2011): Main Dataset, and Ground Truth Segmentation with the
  experts' outlines.
* Raw BCCD, see `bccd`.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bcjax.data.records import Source, label_by_name, split_from_name
from bcjax.data.sources import bccd, class_folders, manifest
from bcjax.data.sources.walk import subfolders
from bcjax.runtime.errors import UserError

# In the order of BloodMNIST's labels (Yang et al. 2023, doi:10.1038/s41597-022-01721-8).
PBC_CLASSES = (
    "basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil",
    "platelet",
)  # fmt: skip
PBC_PREFIXES = (
    "BA", "BNE", "EO", "ERB", "IG", "LY", "MMY", "MO", "MY", "NEUTROPHIL", "PLATELET", "PMY", "SNE",
)  # fmt: skip
_KAGGLE_CLASSES = {"EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL"}
# _3_625.jpeg: picture 3 of its class in the 625th shuffled pass, so not an original's number.
_KAGGLE_COPY = re.compile(r"_\d+_\d+\.jpe?g")
_LISC = "main dataset"
_DEPTH = 3  # dataset2-master/dataset2-master/images/TRAIN
_SIBLINGS = 4  # a folder with more sub-folders than this does not merely wrap a data set


@dataclasses.dataclass(frozen=True)
class PublishedLayout:
    """How the folder of a published data set is recognised and read.

    Attributes:
      recognises: Returns whether a folder is laid out so.
      read: Reads such a folder.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], Source]


def find_published(folder: Path) -> tuple[PublishedLayout, Path] | None:
    """Returns the layout of the one published data set in `folder`, and where that is, if any.

    Raises:
      UserError: If there are several.
    """
    candidates = _published_below(folder, _DEPTH)
    if len(candidates) > 1:
        (_, first), (_, second), *_ = candidates
        raise UserError(f"{folder} holds several data sets: name one of them, {first} or {second}")
    return candidates[0] if candidates else None


def find_users_manifest(folder: Path) -> Path | None:
    """Returns the user's manifest in `folder`; BCCD's own table, also in Kaggle's, is not one."""
    path = manifest.find_manifest(folder)
    return path if path and not bccd.is_bccd_table(path) else None


def _published_below(folder: Path, depth: int) -> list[tuple[PublishedLayout, Path]]:
    if find_users_manifest(folder):  # counts more than how folders are called
        return []
    for layout in LAYOUTS.values():
        if layout.recognises(folder):
            return [(layout, folder)]
    inside = subfolders(folder)
    # Class folders below split folders are one data set, whatever is in each of them.
    if depth == 0 or len(inside) > _SIBLINGS or any(split_from_name(path.name) for path in inside):
        return []
    return [each for path in inside for each in _published_below(path, depth - 1)]


def is_pbc(folder: Path) -> bool:
    """Returns whether `folder` holds PBC's eight class folders."""
    return {path.name for path in subfolders(folder)} == {*PBC_CLASSES}


def read_pbc(folder: Path) -> Source:
    """Reads PBC's eight class folders."""
    return dataclasses.replace(class_folders.read(folder), kind="PBC")


def with_pbc_subtypes(source: Source) -> Source:
    """Returns the source with the prefixes of its file names as classes.

    Raises:
      UserError: If a file name does not begin with one of `PBC_PREFIXES` and an underscore.
    """
    names = {r.id: PurePosixPath(r.id).name.partition("_")[0] for r in source.records}
    for id_, name in names.items():
        if name not in PBC_PREFIXES:
            raise UserError(
                f"{id_} in {source.location} does not begin with a sub-type of PBC's "
                f"({', '.join(PBC_PREFIXES)}): data.fine_labels is for PBC's own file names"
            )
    classes, records = label_by_name([(names[r.id], r) for r in source.records])
    return dataclasses.replace(source, classes=classes, records=records)


def is_kaggle(folder: Path) -> bool:
    """Returns whether `folder` holds Kaggle's four classes in a folder TRAIN, or copies in all."""
    return bool(_kaggle_roots(folder))


def read_kaggle(folder: Path) -> Source:
    """Reads TRAIN and TEST as the splits they are; one of them named by itself has no split."""
    source = class_folders.read(folder, _kaggle_roots(folder))
    notes = source.notes
    augmented = any(_KAGGLE_COPY.fullmatch(Path(record.id).name) for record in source.records)
    if augmented:
        notes += (
            "These pictures are augmented copies of far fewer originals: only the official split "
            "into TRAIN and TEST, or groups of copies (data.group_by=copies), keep the copies of "
            "one original on one side.",
        )
    return dataclasses.replace(
        source, kind="Kaggle's 4-class folder", notes=notes, augmented=augmented
    )


def _kaggle_roots(folder: Path) -> dict[str, Path]:
    inside = {split_from_name(path.name): path for path in subfolders(folder)}
    if "train" in inside and _has_kaggle_classes(inside["train"]):
        return {split: path for split, path in inside.items() if split}
    if _has_kaggle_classes(folder) and all(
        any(_KAGGLE_COPY.fullmatch(path.name) for path in (folder / name).iterdir())
        for name in _KAGGLE_CLASSES
    ):
        return {"": folder}
    return {}


def _has_kaggle_classes(folder: Path) -> bool:
    return {path.name for path in subfolders(folder)} == _KAGGLE_CLASSES


def is_raabin_or_lisc(folder: Path) -> bool:
    """Returns whether `folder` is laid out as Raabin-WBC or LISC."""
    inside = _by_lower_name(folder)
    return {"train", "testa"} <= inside.keys() or _LISC in inside


def read_raabin_or_lisc(folder: Path) -> Source:
    """Reads Raabin's Train and TestA as train and test, or LISC's pictures without outlines."""
    inside = _by_lower_name(folder)
    if _LISC in inside:
        return dataclasses.replace(class_folders.read(folder, {"": inside[_LISC]}), kind="LISC")
    source = class_folders.read(folder, {"train": inside["train"], "test": inside["testa"]})
    notes = source.notes
    if "testb" in inside:
        notes += (
            "TestB is another laboratory's: evaluate on it by itself "
            f"(--data.source={inside['testb']}).",
        )
    return dataclasses.replace(source, kind="Raabin-WBC", notes=notes)


def _by_lower_name(folder: Path) -> dict[str, Path]:
    return {path.name.lower(): path for path in subfolders(folder)}


LAYOUTS = {
    "kaggle": PublishedLayout(is_kaggle, read_kaggle),
    "bccd": PublishedLayout(bccd.is_bccd, bccd.read),
    "raabin or lisc": PublishedLayout(is_raabin_or_lisc, read_raabin_or_lisc),
    "pbc": PublishedLayout(is_pbc, read_pbc),
}
