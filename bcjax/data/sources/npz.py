"""A .npz file of uint8 arrays: MedMNIST's layout, or `images` and `labels`.

Nothing is unpickled, and nothing decompressed before it is needed.
"""

import dataclasses
import functools
import math
import threading
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import psutil

from bcjax.data.decode import MAX_PIXELS, BadImageError, check_size
from bcjax.data.records import SPLITS, Record, Source, natural_order, split_from_name
from bcjax.data.sources.published import PBC_CLASSES
from bcjax.data.sources.tables import is_no_value
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

# From the task of AN2DL's first challenge of 2024 (Politecnico di Milano): the same cells as PBC's.
AN2DL_CLASSES = tuple(name.replace("ig", "immature granulocytes") for name in PBC_CLASSES)

_DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


class NpzArrays:
    """The small arrays of a .npz file, and the headers of all; its images stay compressed.

    Attributes:
      path: The file.
      headers: Shape and dtype of each array, by its name.
    """

    def __init__(self, path: Path):
        self.path = path
        files.check_regular(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self.headers = {
                    name.removesuffix(".npy"): _header(archive.open(name))
                    for name in archive.namelist()
                }
        except _DAMAGED as error:
            raise UserError(
                f"{path} is not an intact .npz file ({error}): save it again with "
                "numpy.savez_compressed"
            ) from error

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Returns shape and dtype of an array that must be there and hold plain values."""
        if name not in self.headers:
            raise UserError(f"{self.path} holds no {name}: add it")
        shape, dtype = self.headers[name]
        if dtype.hasobject:
            raise UserError(
                f"{name} in {self.path} is an array of Python objects, which bcjax does not load "
                "because unpickling can run code: save it as an array of numbers or of text"
            )
        return shape, dtype

    def labels(self, name: str, count: tuple[int, ...]) -> list[int]:
        shape, dtype = self.header(name)
        if len(shape) == 2 and shape[1] > 1:
            raise UserError(
                f"{name} in {self.path} has the shape {shape}, several labels for each picture: "
                "save one class number for each, shape (N,) or (N, 1)"
            )
        if dtype.kind not in "iu":
            raise UserError(f"{name} in {self.path} is {dtype}: save class numbers, as integers")
        return self._load(name, (count, (*count, 1))).ravel().tolist()

    def texts(self, name: str, count: tuple[int, ...]) -> list[str]:
        _, dtype = self.header(name)
        if dtype.kind not in "iuU":
            raise UserError(f"{name} in {self.path} is {dtype}: save it as text, dtype str")
        return [str(value) for value in self._load(name, (count,)).tolist()]

    def _load(self, name: str, shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
        shape, _ = self.header(name)
        if shape not in shapes:
            raise UserError(
                f"{name} in {self.path} has the shape {shape} where {shapes[0]} is needed: "
                "save one entry for each picture"
            )
        return _load(self.path, name)


class LazyPictureArray:
    """One uint8 array of pictures, decompressed when the first is read and then kept.

    Threads share it; a pickled copy starts without the array.
    """

    def __init__(self, path: Path, name: str):
        self._path, self._name = path, name
        self._lock = threading.Lock()
        self._array: np.ndarray | None = None

    def __reduce__(self):
        return type(self), (self._path, self._name)

    def png(self, index: int) -> bytes:
        """Returns a picture as PNG, lightly compressed since it is decoded again soon."""
        with self._lock:
            if self._array is None:
                self._array = _load(self._path, self._name)
        image = self._array[index]
        if image.shape[2:] == (3,):
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def read(path: Path, classes: Sequence[str] = (), max_pixels: int = MAX_PIXELS) -> Source:
    """Reads `train_images`, `train_labels`, `val_...`, `test_...`; or `images` and `labels`.

    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3) in RGB, labels integers (N,) or (N, 1).
    Beside `images` there may be `groups` and `splits`, (N,); and in either layout `class_names`,
    (K,). The images are not loaded before the first is asked for. Nothing is unpickled, ever.

    Args:
      path: The .npz file.
      classes: Names of the labels 0, 1, ..., where the file does not give them.
      max_pixels: The most pixels of a picture.

    Raises:
      UserError: If an array is missing, pickled or damaged, or not of the shape, type and range
        above.
    """
    arrays = NpzArrays(path)
    parts = [(split, f"{split}_") for split in SPLITS if f"{split}_images" in arrays.headers]
    if not parts and "images" in arrays.headers:
        parts = [("", "")]
    if not parts:
        raise UserError(
            f"{path} holds {', '.join(arrays.headers) or 'no arrays'}: name them train_images and "
            "train_labels (val_, test_), or images and labels"
        )
    records = [
        each for split, prefix in parts for each in _records(arrays, split, prefix, max_pixels)
    ]
    without = [(each.id, "has the label -1") for each in records if each.label == -1]
    records = [each for each in records if each.label != -1]
    names: Sequence[str]
    if "class_names" in arrays.headers:
        names = arrays.texts("class_names", arrays.headers["class_names"][0][:1] or (1,))
        notes: tuple[str, ...] = ()
    else:
        names, notes = _class_names(path.name, {each.label for each in records}, classes)
    if names:
        for each in records:
            if not 0 <= each.label < len(names):
                raise UserError(
                    f"label {each.label} ({each.id} in {path}) is outside the {len(names)} classes "
                    f"{', '.join(names)}: correct it, or list all classes in data.classes"
                )
    else:
        names = natural_order(str(each.label) for each in records)
        label_of = {int(name): i for i, name in enumerate(names)}
        records = [dataclasses.replace(each, label=label_of[each.label]) for each in records]
    return Source(
        kind="npz in MedMNIST's layout" if parts[0][0] else "npz",
        location=str(path),
        classes=tuple(names),
        records=records,
        notes=notes,
        unlabelled=without,
        files=[path],
    )


def _records(arrays: NpzArrays, split: str, prefix: str, max_pixels: int) -> list[Record]:
    """Returns each picture of the array `{prefix}images`; its label is the number in the file."""
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
    try:
        check_size(shape[2], shape[1], max_pixels)
    except BadImageError as error:
        raise UserError(f"{images} in {arrays.path} cannot be read: {error}") from error
    if (needed := math.prod(shape)) > psutil.virtual_memory().available:
        raise UserError(
            f"{images} in {arrays.path} takes {needed / 1e9:,.1f} GB of memory, more than is free: "
            "save the pictures as files"
        )
    count = shape[:1]
    labels = arrays.labels(f"{prefix}labels", count)
    groups = marks = [""] * len(labels)
    if not prefix and "groups" in arrays.headers:
        groups = ["" if is_no_value(group) else group for group in arrays.texts("groups", count)]
    if not prefix and "splits" in arrays.headers:
        marks = arrays.texts("splits", count)
    pictures = LazyPictureArray(arrays.path, images)
    records = []
    for i, (label, group, mark) in enumerate(zip(labels, groups, marks, strict=True)):
        own = split or ("" if is_no_value(mark) else split_from_name(mark))
        if own is None:
            raise UserError(
                f"split {mark!r} ({images}/{i} in {arrays.path}) is unknown: "
                "write train, val or test, or nothing"
            )
        read_one = functools.partial(pictures.png, i)
        records.append(Record(f"{images}/{i}", label, read_one, group, own))
    return records


def _class_names(
    filename: str, labels: Collection[int], classes: Sequence[str]
) -> tuple[Sequence[str], tuple[str, ...]]:
    """Returns the classes that the numbers in a file stand for, and notes on where they come from.

    Args:
      filename: `bloodmnist*.npz` is MedMNIST's, `training_set*.npz` with eight classes AN2DL's.
      labels: The numbers that occur in it.
      classes: The names that the user gives; may be empty.

    Returns:
      Names in the order of the numbers, () if they are unknown; and the notes.
    """
    name = filename.lower()
    if name.startswith("bloodmnist"):
        return PBC_CLASSES, ()
    if (
        name.startswith("training_set")
        and set(labels) == set(range(len(AN2DL_CLASSES)))
        and set(classes) in (set(), set(AN2DL_CLASSES))
    ):
        note = (
            f"The file names no classes: taken for AN2DL's, by its name {filename}, and 0 to 7 "
            f"for {', '.join(AN2DL_CLASSES)}; if it is not, name them in data.classes."
        )
        return AN2DL_CLASSES, (note,)
    return classes, () if classes else ("The file names no classes: name them in data.classes.",)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    with file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _load(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except _DAMAGED as error:
        raise UserError(f"{name} in {path} is damaged ({error}): save the file again") from error
