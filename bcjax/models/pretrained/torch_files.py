"""Reads what `torch.save` wrote, without torch and without running anything that is in the file.

Such a file has a pickle and the storages of its tensors. A pickle is a program: it may name any
function of any module and have it called. The unpickler here knows the few names that a state dict
needs, and gives each a harmless replacement; at any other name it stops.
"""

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import ml_dtypes
import numpy as np

from bcjax.models.pretrained.naming import Tensors
from bcjax.runtime.errors import UserError

# The first number in a file from torch before 1.6.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_STORAGES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
    "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}  # fmt: skip
# The keys under which training scripts keep a state dict; averages of weights come first.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
# What is put before each name when a network is wrapped for several devices or compiled.
_WRAPPERS = ("module.", "_orig_mod.")


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """A tensor whose storage is not read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, content: Callable[[_Storage], bytes]) -> np.ndarray:
        stored = np.frombuffer(content(self.storage), self.storage.dtype)
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((side - 1) * stride for side, stride in steps)
        size = math.prod(self.shape)
        # Checked here because numpy would follow strides beyond the storage.
        if min((self.offset, *self.shape, *self.strides)) < 0 or (size and last >= len(stored)):
            raise ValueError("a tensor reaches beyond its storage")
        if size > len(stored):
            raise ValueError("a tensor is larger than its storage")
        strides = [stride * stored.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(stored[self.offset :], self.shape, strides)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *rest: Any) -> _Tensor:
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
} | {("torch", name): np.dtype(dtype) for name, dtype in _STORAGES.items()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], path: Path):
        super().__init__(file, encoding="utf-8")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(
                f"{self._path} is not weights alone: its pickle asks for {module}.{name}, which "
                "bcjax does not run; save the state dict by itself, or as .safetensors."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise ValueError(f"there is a reference to something unknown, {kind!r}")
        return _Storage(str(key), dtype, int(size))


def read(path: Path) -> Tensors:
    """Reads a state dict, which may be the whole file or an entry of it.

    Args:
      path: A file from `torch.save`, in the zip format or in the older one.

    Raises:
      UserError: The file is of another kind, is not whole, or has anything but tensors, containers,
        numbers and text.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    return _read_zip(archive, path)
            file.seek(0)
            return _read_legacy(file, path)
    except (UserError, OSError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise UserError(
            f"{path} cannot be read as weights of PyTorch ({error}): fetch or save it again."
        ) from error


def _read_zip(archive: zipfile.ZipFile, path: Path) -> Tensors:
    page = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    root = page.removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")
    with archive.open(page) as file:
        content = _Unpickler(file, path).load()
    return _materialise(content, lambda storage: archive.read(f"{root}data/{storage.key}"), path)


def _read_legacy(file: IO[bytes], path: Path) -> Tensors:
    if _Unpickler(file, path).load() != _LEGACY_MAGIC:
        _refuse(path)
    for _ in ("protocol", "sizes of C's types"):
        _Unpickler(file, path).load()
    content = _Unpickler(file, path).load()
    keys = _Unpickler(file, path).load()
    storages: dict[str, _Storage] = {t.storage.key: t.storage for t in _tensors_in(content)}
    contents = {}
    for key in keys:
        (size,) = struct.unpack("<q", file.read(8))
        # A storage that no tensor refers to has no known dtype, so nothing after it can be found.
        contents[key] = file.read(size * storages[key].dtype.itemsize)
    return _materialise(content, lambda storage: contents[storage.key], path)


def _tensors_in(content: Any) -> list[_Tensor]:
    if isinstance(content, _Tensor):
        return [content]
    inside = content.values() if isinstance(content, Mapping) else content
    if isinstance(content, Mapping | list | tuple):
        return [tensor for part in inside for tensor in _tensors_in(part)]
    return []


def _materialise(content: Any, read: Callable[[_Storage], bytes], path: Path) -> Tensors:
    """Returns the tensors of the state dict in `content`, by name."""
    nested = content if isinstance(content, Mapping) else {}
    for key in _NESTED:
        if isinstance(nested.get(key), Mapping):
            nested = nested[key]
            break
    tensors = {name: t.read(read) for name, t in nested.items() if isinstance(t, _Tensor)}
    if not tensors:
        _refuse(path)
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): t for name, t in tensors.items()}
    return tensors


def _refuse(path: Path) -> NoReturn:
    raise UserError(f"{path} holds no state dict: save what the network's state_dict() returns.")
