"""Small sources of every kind, for the tests of what becomes of them."""

import csv
import functools
import io

import numpy as np
from PIL import Image

from bcjax import config as configs
from bcjax.data import contents, preparation
from bcjax.data.records import Record, Source

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")


def settings(source="", **changes):
    data = configs.default().data
    data.update({"source": str(source), "synthetic_images": 40, **changes})
    return data


def identity(source, folder):
    """What a source is told from others by; facts about files are kept in `folder`."""
    return contents.identified(source, folder / "known").fingerprint


def picture(i, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (i, 2 * i, 255 - i)).save(file, kind)
    return file.getvalue()


def source(splits_, bad=(), read=picture):
    """Records of the splits given, of two classes in turn; those in `bad` are empty files."""
    records = [
        Record(f"{i}.png", i % 2, functools.partial(read, i), split=split)
        if i not in bad
        else Record(f"{i}.png", i % 2, bytes, split=split)
        for i, split in enumerate(splits_)
    ]
    return Source("list", "list", ("a", "b"), records, "fingerprint")


def spread(train=8, val=4, test=4):
    return ["train"] * train + ["val"] * val + ["test"] * test


def class_folder(root, count=10, first=0):
    for i in range(2 * count):
        path = root / ("b, c" if i % 2 else "ä") / f"{i}.{FORMATS[i % 5].lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(first + i, FORMATS[i % 5]))
    return root


def split_folders(root):
    for first, split in ((0, "TRAIN"), (100, "TEST")):
        class_folder(root / split, first=first)
    return root


def manifest(root):
    class_folder(root)
    with (root / "cells.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("filename", "label", "patient"))
        for i, path in enumerate(sorted(root.glob("*/*"))):
            table.writerow((path.relative_to(root), path.parent.name, f"patient {i % 5}"))
    return root / "cells.csv"


def medmnist(root):
    root.mkdir()
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 6), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 5, 5, 3), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count)[:, None] % 2
    np.savez_compressed(root / "cells.npz", **arrays)
    return root / "cells.npz"


def images_and_labels(root):
    root.mkdir()
    np.savez(
        root / "grey.npz",
        images=np.random.default_rng(1).integers(0, 256, (24, 5, 5), np.uint8),
        labels=np.arange(24) % 3,
        groups=np.arange(24) // 3,
    )
    return root / "grey.npz"


def tfds_name(root):
    preparation.SyntheticCells(data_dir=root, images=40).download_and_prepare()
    return "synthetic_cells"


def synthetic(root):
    return "synthetic"


KINDS = (
    class_folder, split_folders, manifest, medmnist, images_and_labels, tfds_name, synthetic,
)  # fmt: skip
