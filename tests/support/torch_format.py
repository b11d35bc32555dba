"""Writes files as `torch.save` does, without torch: the zip format, and that of before 1.6."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np

_KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
}


def _stand_in() -> dict[str, types.ModuleType]:
    """Modules under torch's names, so that pickle can name what is in them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in _KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *args: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    return {"torch": torch, "torch._utils": utils}


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, legacy: bool):
        super().__init__(file, protocol=2)
        self.storages: dict[str, np.ndarray] = {}
        self._legacy = legacy

    def persistent_id(self, obj: Any) -> tuple | None:
        if not isinstance(obj, _Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = obj.array
        kind = getattr(sys.modules["torch"], _KINDS[obj.array.dtype.name])
        return ("storage", kind, key, "cpu", obj.array.size, *((None,) if self._legacy else ()))

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, np.ndarray):
            return NotImplemented
        # A transposed array stays a view of its storage, as a transposed tensor does.
        flat = obj.T if obj.flags.f_contiguous and not obj.flags.c_contiguous else obj
        strides = tuple(stride // obj.itemsize for stride in obj.strides)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (_Storage(np.ascontiguousarray(flat)), 0, obj.shape, strides, False, {})


class _Storage:
    def __init__(self, array: np.ndarray):
        self.array = array.ravel()


class Named:
    """Something that a pickle asks for by name, called with `args`."""

    def __init__(self, function: Any, *args: Any):
        self._call = function, args

    def __reduce__(self) -> tuple:
        return self._call


def save(path: Path, content: Any, *, legacy: bool = False) -> Path:
    """Writes `content`, whose numpy arrays become tensors; returns the path."""
    buffer = io.BytesIO()
    with mock.patch.dict(sys.modules, _stand_in()):
        pickler = _Pickler(buffer, legacy)
        pickler.dump(content)
    if legacy:
        sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        head = (0x1950A86A20F9469CFC6C, 1001, sizes)
        parts = [pickle.dumps(part, protocol=2) for part in head]
        parts += [buffer.getvalue(), pickle.dumps(list(pickler.storages), protocol=2)]
        for array in pickler.storages.values():
            parts += [struct.pack("<q", array.size), array.tobytes()]
        path.write_bytes(b"".join(parts))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, array in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def half(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors as bfloat16."""
    return {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in tensors.items()}
