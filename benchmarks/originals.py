"""Looks augmented pictures up among their originals: the truth that `copies.py` judges by.

Landmarks say which originals come into question, each of those is laid on the picture to a fraction
of a pixel (ECC, Evangelidis and Psarakis, PAMI 2008), and the correlation of the two decides.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

SHARED = 1 / 4  # of a picture, that an original must cover to be compared with it
NEAREST = 8  # landmarks of originals that each of a picture's may be
TRIED = 8  # originals laid on each picture, mirror images counted


class Folder(Sequence):
    """Decodes pictures when asked."""

    def __init__(self, paths: Sequence[Path], size: tuple[int, int] | None = None):
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        bgr = cv2.imread(str(self.paths[index]))
        pixels = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return cv2.resize(pixels, self.size, interpolation=cv2.INTER_AREA) if self.size else pixels


class Laid(NamedTuple):
    original: int
    correlation: float


class Originals:
    """The originals and their mirror images, to look pictures up in."""

    def __init__(self, pictures: Folder):
        self.grey, points, descriptors, owner = [], [], [], []
        for pixels in pictures:
            for side in (pixels, np.ascontiguousarray(pixels[:, ::-1])):
                where, what = _landmarks(side)
                owner += [len(self.grey)] * len(where)
                points.append(where)
                descriptors.append(what)
                self.grey.append(_grey(side))
        self.points, self.owner = np.concatenate(points), np.array(owner)
        self.index = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 4}, {"checks": 64})
        self.index.add([np.concatenate(descriptors)])
        self.index.train()  # now: several threads are going to ask

    def lookup(self, pixels: np.ndarray, but: int | None = None) -> list[Laid]:
        """Originals that can be laid on a picture, best first; `but` is left out."""
        points, descriptors = _landmarks(pixels)
        found = [
            (row, match.trainIdx, 1 - match.distance)
            for row, matches in enumerate(self.index.knnMatch(descriptors, k=NEAREST))
            for match in matches
        ]
        rows, marks, weights = (np.array(each) for each in zip(*found, strict=True))
        owners = self.owner[marks]
        votes = np.bincount(owners, np.maximum(weights, 0), len(self.grey))
        if but is not None:
            votes[2 * but : 2 * but + 2] = 0
        best: dict[int, float] = {}
        for owner in np.argsort(-votes)[:TRIED]:
            mine = owners == owner
            correlation = _laid(
                self.grey[owner], self.points[marks[mine]], pixels, points[rows[mine]]
            )
            best[int(owner) // 2] = max(best.get(int(owner) // 2, -1.0), correlation)
        return sorted((Laid(*each) for each in best.items()), key=lambda each: -each.correlation)


def _landmarks(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SIFT at twice the size, off the black fill: x, y (K, 2) and RootSIFT (K, 128)."""
    twice = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    inside = cv2.erode((twice.max(2) > 25).astype(np.uint8), np.ones((9, 9), np.uint8))
    sift = cv2.SIFT.create(400, contrastThreshold=0.02)
    found, descriptors = sift.detectAndCompute(cv2.cvtColor(twice, cv2.COLOR_RGB2GRAY), inside)
    points = np.array([each.pt for each in found], np.float32) / 2
    return points, np.sqrt(descriptors / descriptors.sum(1, keepdims=True))


def _grey(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _laid(
    original: np.ndarray, source: np.ndarray, pixels: np.ndarray, target: np.ndarray
) -> float:
    """Correlation of a picture with an original laid on it, -1 where it cannot be."""
    if len(source) < 4:
        return -1.0
    affine, _ = cv2.estimateAffine2D(source, target, ransacReprojThreshold=2.5, maxIters=3000)
    if affine is None:
        return -1.0
    longest, shortest = np.linalg.svd(affine[:, :2], compute_uv=False)
    if longest > 1.6 or shortest < 0.6:
        return -1.0
    inside = cv2.erode((pixels.max(2) > 25).astype(np.uint8), np.ones((5, 5), np.uint8))
    grey = _grey(pixels)
    return max(
        _correlation(original, grey, inside, each)
        for each in _refined(original, grey, inside, affine)
    )


def _refined(
    original: np.ndarray, grey: np.ndarray, inside: np.ndarray, affine: np.ndarray
) -> Iterator[np.ndarray]:
    """The map, and the map that ECC makes of it where it converges."""
    yield affine
    back = cv2.invertAffineTransform(affine).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    try:
        _, back = cv2.findTransformECC(grey, original, back, cv2.MOTION_AFFINE, stop, inside, 3)
    except cv2.error:  # it did not converge
        return
    yield cv2.invertAffineTransform(back)


def _correlation(
    original: np.ndarray, grey: np.ndarray, inside: np.ndarray, affine: np.ndarray
) -> float:
    moved = cv2.warpAffine(original, affine, grey.shape[::-1], borderValue=-1)
    both = (inside > 0) & (moved >= 0)
    if both.mean() < SHARED:
        return -1.0
    return float(np.corrcoef(moved[both], grey[both])[0, 1])
