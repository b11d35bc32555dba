"""Reads the tensors of a file of weights, whatever kind it is: its first bytes say."""

import hashlib
import json
import zipfile
import zlib
from pathlib import Path

# On import it tells numpy what bfloat16 is, which safetensors relies on.
import ml_dtypes  # noqa: F401
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bcjax.models.pretrained import keras_files, torch_files
from bcjax.models.pretrained.layout import Tensors
from bcjax.runtime.errors import UserError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# Where Hugging Face puts weights in a folder, by preference.
_IN_FOLDER = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def find(path: Path) -> Path:
    """Returns the file that is meant by a path: itself, or what is in the folder.

    Raises:
      UserError: If there is none.
    """
    if not path.exists():
        raise UserError(f"There is no file of weights {path}: check its name.")
    if path.is_file():
        return path
    for name in _IN_FOLDER:
        if (path / name).exists():
            return path / name
    raise UserError(
        f"{path} is a folder with neither a run of bcjax nor {_IN_FOLDER[0]}: name the file."
    )


def read(path: Path) -> tuple[Tensors, str]:
    """Reads all tensors of a file.

    Returns:
      The tensors as they are stored, by their names there; and the kind of the file.

    Raises:
      UserError: If the file is of no known kind, or not whole.
    """
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(_HDF5):
        return keras_files.read(path), "HDF5"
    if start.startswith(_ZIP):
        return _read_zip(path)
    if path.suffix == ".json":
        return _read_shards(path), "safetensors"
    # Behind the length of a header in JSON, which may begin with any byte, a pickle's too.
    if start[8:9] == b"{":
        return _read_safetensors(path), "safetensors"
    if start.startswith(_PICKLE):
        return torch_files.read(path), "PyTorch, before 1.6"
    raise UserError(
        f"{path} is no file of weights that bcjax knows: give .safetensors, .pth, .h5, .keras or "
        ".npz, whole."
    )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_zip(path: Path) -> tuple[Tensors, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is cut short: fetch or save it again.") from error
    if any(name.endswith("data.pkl") for name in names):
        return torch_files.read(path), "PyTorch"
    if any(name.endswith(".weights.h5") for name in names):
        return keras_files.read(path), "Keras"
    if names and all(name.endswith(".npy") for name in names):
        return _read_npz(path), "npz"
    raise UserError(f"{path} is an archive, but not one of weights: unpack it and name the file.")


def _read_npz(path: Path) -> Tensors:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}): save plain numeric arrays.") from error


def _read_safetensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}): fetch or save it again."
        ) from error


def _read_shards(path: Path) -> Tensors:
    """Reads all files that an index names."""
    try:
        shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no index of weights: name a file of weights.") from error
    tensors: dict[str, np.ndarray] = {}
    for shard in shards:
        beside = path.parent / Path(shard).name  # an index names files in its own folder
        if not beside.exists():
            raise UserError(f"{path} names {shard}, which is not there: fetch it too.")
        tensors |= _read_safetensors(beside)
    return tensors
