"""Small pictures in every kind of place, and what answers them without JAX."""

import csv
import zipfile
from pathlib import Path

import numpy as np

from bcjax import config as configs
from bcjax.data.sources import synthetic
from bcjax.evaluation.predictor import Outputs, Predictor

BAD = 3  # the position of the picture that is damaged, where one is


def drawings(folder: Path, count: int, *, bad: bool = False) -> list[Path]:
    """Writes pictures, sorted by name; one of them is damaged if asked for."""
    folder.mkdir(parents=True)
    paths = [folder / f"{position:03}.png" for position in range(count)]
    records = synthetic.source(80, size=20, seed=5).records
    for position, path in enumerate(paths):
        encoded = records[position % len(records)].read()
        path.write_bytes(encoded[:60] if bad and position == BAD else encoded)
    return paths


def zipped(paths: list[Path], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for each in paths:
            file.write(each, f"inside/{each.name}")
    return path


def listed(paths: list[Path], path: Path, column: str = "filename") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", column])
        writer.writerows((i, each.relative_to(path.parent)) for i, each in enumerate(paths))
    return path


class Means(Predictor):
    """Answers with the mean of each channel."""

    def __init__(self, workdir: Path):
        self.config = configs.default()
        self.config.data.image_size = 16
        self.classes = ("red", "green", "blue")
        self.workdir, self.step, self.calibration = workdir, 7, None

    def outputs(self, pixels):
        return Outputs(pixels.astype(np.float32).mean((1, 2)), None)
