"""The arrays of a .npz file: nothing unpickled, nothing decompressed before it is needed."""

import threading
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from bcjax.runtime.errors import UserError

_DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


class Archive:
    """The file's small arrays, and the headers of all: its images stay compressed."""

    def __init__(self, path: Path):
        self.path = path
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
        """Shape and dtype of an array that must be there and hold plain values."""
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


class Pictures:
    """One uint8 array of pictures, decompressed when the first is asked for and then kept.

    Threads share it; a pickled copy starts without the array.
    """

    def __init__(self, path: Path, name: str):
        self._path, self._name = path, name
        self._lock = threading.Lock()
        self._array: np.ndarray | None = None

    def __reduce__(self):
        return type(self), (self._path, self._name)

    def png(self, index: int) -> bytes:
        """The picture as a PNG file: fast, for it is decoded again soon."""
        with self._lock:
            if self._array is None:
                self._array = _load(self._path, self._name)
        image = self._array[index]
        if image.shape[2:] == (3,):
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


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
