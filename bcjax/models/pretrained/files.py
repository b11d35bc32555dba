"""Reads the tensors of a file of weights, and what the JSON files beside it say.

The first bytes of a file say of which kind it is.
"""

import contextlib
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# On import it tells numpy what bfloat16 is, which safetensors relies on.
import ml_dtypes  # noqa: F401
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bcjax.config import ImageSize
from bcjax.models.pretrained import torch_files
from bcjax.models.pretrained.naming import Tensors
from bcjax.runtime import extras, files
from bcjax.runtime.errors import UserError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# What is often saved in the place of weights, by how it begins.
_NO_WEIGHTS = {
    b"version https://git-lfs": "a pointer of Git LFS",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}
# The names that Hugging Face gives to weights in a folder; the first one there counts.
_IN_FOLDER = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def find(path: Path) -> Path:
    """Returns the file of weights at a path: the path itself, or a file in the folder.

    Raises:
      UserError: There is no such file.
    """
    if not path.exists():
        raise UserError(
            f"There is no file of weights {path}: check its name; bcjax downloads no weights."
        )
    if not path.is_dir():
        files.check_regular(path)
        return path
    for name in _IN_FOLDER:
        if (path / name).exists():
            return path / name
    raise UserError(
        f"{path} is a folder with neither checkpoints of bcjax nor {_IN_FOLDER[0]}: name the file."
    )


def read(path: Path) -> tuple[Tensors, str]:
    """Reads all tensors of a file.

    Returns:
      The tensors as they are stored, by their names in the file; and the kind of the file.

    Raises:
      UserError: The file is of no known kind, or is not whole.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_HDF5):
        return _read_hdf5(path), "HDF5"
    if start.startswith(_ZIP):
        return _read_zip(path)
    if path.suffix == ".json":
        return _read_shards(path), "safetensors"
    # After the length of a JSON header, whose bytes may be anything, also those of a pickle.
    if start[8:9] == b"{":
        return _read_safetensors(path), "safetensors"
    if start.startswith(_PICKLE):
        return torch_files.read(path), "PyTorch, before 1.6"
    for sign, what in _NO_WEIGHTS.items():
        if start.lstrip().lower().startswith(sign):
            raise UserError(f"{path} is {what}, not the weights themselves: fetch the file again.")
    if not start:
        raise UserError(f"{path} is empty: fetch or save it again.")
    raise UserError(
        f"{path} is no file of weights that bcjax knows: give .safetensors, .pth, .h5, .keras or "
        ".npz, whole."
    )


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
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
        return _read_hdf5(path), "Keras"
    if names and all(name.endswith(".npy") for name in names):
        return _read_npz(path), "npz"
    raise UserError(f"{path} is an archive, but not one of weights: unpack it and name the file.")


def _read_hdf5(path: Path) -> Tensors:
    extras.check("h5py", f"Reading {path}")
    from bcjax.models.pretrained import keras_files

    return keras_files.read(path)


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
    """Reads all files that an index lists."""
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


# What the files beside the weights say


def settings_beside(weights: Path) -> dict[str, Any]:
    """Returns what the JSON files beside a file of weights say about its pictures.

    Timm writes a config.json with a "pretrained_cfg"; Hugging Face's transformers write a
    config.json and a preprocessor_config.json.

    Args:
      weights: The file of weights.

    Returns:
      Those of these settings that are given: `mean` and `std` (of R, G and B, for pictures in
      0..1), `input_size` (pixels), `resize` ("squash" or "crop"), `crop_fraction`, `convention`.
    """
    config = _page(weights.with_name("config.json"))
    if "pretrained_cfg" in config:
        return _timm(config)
    return _transformers(_page(weights.with_name("preprocessor_config.json")))


def classes_beside(weights: Path) -> tuple[str, ...]:
    """Returns the names of the logits from config.json; () if it does not give them."""
    names = _page(weights.with_name("config.json")).get("id2label")
    if not isinstance(names, Mapping):
        return ()
    ordered = tuple(str(names[key]) for key in sorted(names, key=int))
    unnamed = all(name == f"LABEL_{i}" for i, name in enumerate(ordered))
    return () if unnamed or len(set(ordered)) < len(ordered) else ordered


def _timm(page: Mapping[str, Any]) -> dict[str, Any]:
    settings = page["pretrained_cfg"]
    # What the names of tensors do not tell: the arithmetic that the weights expect.
    ported = str(page.get("architecture", "")).startswith("tf_")
    found: dict[str, Any] = {"convention": "tf" if ported else "torch"}
    found |= {key: tuple(settings[key]) for key in ("mean", "std") if key in settings}
    if "input_size" in settings:
        found["input_size"] = ImageSize.of(settings["input_size"][-2:]).stated
    if "crop_pct" in settings:
        squash = settings.get("crop_mode") == "squash"
        found["resize"] = "squash" if squash else "crop"
        found["crop_fraction"] = 1.0 if squash else settings["crop_pct"]
    return found


def _transformers(page: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "image_mean" in page and page.get("do_normalize", True):
        found |= {"mean": tuple(page["image_mean"]), "std": tuple(page["image_std"])}
    resized, cropped = _side(page.get("size")), _side(page.get("crop_size"))
    if page.get("do_center_crop") and resized and cropped:
        found |= {"resize": "crop", "crop_fraction": cropped / resized, "input_size": cropped}
    elif resized and page.get("crop_pct"):
        found |= {"resize": "crop", "crop_fraction": page["crop_pct"], "input_size": resized}
    elif resized:
        found |= {"resize": "squash", "crop_fraction": 1.0, "input_size": resized}
    return found


def _side(size: Any) -> int:
    """Reads 224, {"height": 224, "width": 224} or {"shortest_edge": 224} as 224; else 0."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge", size.get("height", 0))
    return size if isinstance(size, int) else 0


def _page(path: Path) -> Mapping[str, Any]:
    """Returns the JSON object in a file; {} if there is none."""
    with contextlib.suppress(OSError, ValueError):
        page = json.loads(path.read_text())
        return page if isinstance(page, dict) else {}
    return {}
