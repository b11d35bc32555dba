"""A .npz file of uint8 arrays: MedMNIST's layout, or `images` and `labels`."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bcjax.data import splits
from bcjax.data.records import SPLITS, Record, Source
from bcjax.data.sources import meanings
from bcjax.data.sources.archive import Archive, Pictures
from bcjax.data.sources.classes import natural_order
from bcjax.data.sources.fingerprint import fingerprint
from bcjax.runtime.errors import UserError


def read(path: Path, classes: Sequence[str] = ()) -> Source:
    """Reads `train_images`, `train_labels`, `val_...`, `test_...`; or `images` and `labels`.

    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3) in RGB, labels integers (N,) or (N, 1).
    Beside `images` there may be `groups` and `splits`, (N,); and in either layout `class_names`,
    (K,). The images are not loaded before the first is asked for. Nothing is unpickled, ever.

    Args:
      path: The file.
      classes: What the labels mean, where the file does not say.

    Raises:
      UserError: An array is missing, pickled, damaged, or not of the shape, type and range above.
    """
    arrays = Archive(path)
    parts = [(split, f"{split}_") for split in SPLITS if f"{split}_images" in arrays.headers]
    if not parts and "images" in arrays.headers:
        parts = [("", "")]
    if not parts:
        raise UserError(
            f"{path} holds {', '.join(arrays.headers) or 'no arrays'}: name them train_images and "
            "train_labels (val_, test_), or images and labels"
        )
    rows = []
    for split, prefix in parts:
        rows += _rows(arrays, split, prefix)
    names: Sequence[str]
    if "class_names" in arrays.headers:
        names = arrays.texts("class_names", arrays.headers["class_names"][0][:1] or (1,))
        notes: tuple[str, ...] = ()
    else:
        names, notes = meanings.of(path.name, {label for _, label, *_ in rows}, classes)
    if names:
        for id_, label, *_ in rows:
            if not 0 <= label < len(names):
                raise UserError(
                    f"label {label} ({id_} in {path}) is outside the {len(names)} classes "
                    f"{', '.join(names)}: correct it, or list all classes in data.classes"
                )
        label_of = {i: i for i in range(len(names))}
    else:
        names = natural_order(str(label) for _, label, *_ in rows)
        label_of = {int(name): i for i, name in enumerate(names)}
    status = path.stat()
    return Source(
        kind="npz in MedMNIST's layout" if parts[0][0] else "npz",
        location=str(path),
        classes=tuple(names),
        records=[
            Record(id_, label_of[label], read, group, split)
            for id_, label, read, group, split in rows
        ],
        fingerprint=fingerprint(path.name, status.st_size, status.st_mtime_ns, names),
        notes=notes,
    )


def _rows(arrays: Archive, split: str, prefix: str) -> list[tuple]:
    """(id, label, read, group, split) of each picture of `{prefix}images`."""
    images = f"{prefix}images"
    shape, dtype = arrays.header(images)
    if dtype != np.uint8:
        raise UserError(
            f"{images} in {arrays.path} is {dtype}: save it as uint8, 0 to 255 "
            "(for floats in 0..1: (255 * x).round().astype('uint8'))"
        )
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or 0 in shape[1:]:
        raise UserError(
            f"{images} in {arrays.path} has the shape {shape}: "
            "save it as (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        )
    count = shape[:1]
    labels = arrays.labels(f"{prefix}labels", count)
    groups = marks = [""] * len(labels)
    if not prefix and "groups" in arrays.headers:
        groups = arrays.texts("groups", count)
    if not prefix and "splits" in arrays.headers:
        marks = arrays.texts("splits", count)
    pictures = Pictures(arrays.path, images)
    rows = []
    for i, (label, group, mark) in enumerate(zip(labels, groups, marks, strict=True)):
        own = split or (splits.named(mark) if mark else "")
        if own is None:
            raise UserError(
                f"split {mark!r} ({images}/{i} in {arrays.path}) is unknown: "
                "write train, val or test, or nothing"
            )
        rows.append((f"{images}/{i}", label, functools.partial(pictures.png, i), group, own))
    return rows
