"""Random pictures for timings, where not what they show matters, but how many and how large."""

from pathlib import Path

import cv2
import numpy as np

CLASSES = 8
_GRAIN = 8  # a picture is this many random colours squared, blown up: no two are alike


def write(path: Path, size: int, train: int, held: int) -> Path:
    """Writes an npz in MedMNIST's layout.

    Args:
      path: The file.
      size: Of a picture's sides, in pixels.
      train: How many pictures to train on.
      held: How many to validate on, and as many to test on.
    """
    rng = np.random.default_rng(0)
    arrays = {"class_names": np.array([f"class {i}" for i in range(CLASSES)])}
    for split, count in {"train": train, "val": held, "test": held}.items():
        coarse = rng.integers(0, 256, (count, _GRAIN, _GRAIN, 3), np.uint8)
        blown = [cv2.resize(each, (size, size), interpolation=cv2.INTER_CUBIC) for each in coarse]
        arrays[f"{split}_images"] = np.stack(blown)
        arrays[f"{split}_labels"] = np.arange(count) % CLASSES
    np.savez(path, **arrays)
    return path
