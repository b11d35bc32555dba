"""How well `bcjax.data.curate.copies` finds augmented copies, where the originals are at hand.

    python benchmarks/copies.py --augmented=TRAIN --originals=JPEGImages --out=copies.json

The truth is found without the grouping that it judges: each augmented picture is looked up among
the originals by landmarks, the originals that come first are laid on it to a fraction of a pixel
(ECC, Evangelidis and Psarakis 2008), and the one that correlates best is its own, if it does so
well and well ahead of the next. Originals are looked up among each other in the same way: two that
overlap show one place on a slide. Last, a forest that knows nothing but colours is scored on a
split at random and on splits by group: what it loses was leaked.
"""

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score

from bcjax.data.curate.copies import find_copies

CERTAIN, AHEAD = 0.93, 0.005  # correlation with the original; how much less with the next
OVERLAPPING = 0.8  # correlation of originals that show one place
SHARED = 1 / 4  # of a picture, that another must cover to be compared with it
TRIED = 6  # originals laid on each picture, mirror images counted


class Folder:
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
            for row, matches in enumerate(self.index.knnMatch(descriptors, k=4))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--augmented", type=Path, required=True, help="a folder for each class")
    parser.add_argument("--originals", type=Path, required=True, help="folder of the originals")
    parser.add_argument("--every", type=int, default=1, help="take every n-th augmented picture")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    paths = sorted(p for p in options.augmented.glob("*/*") if p.is_file())[:: options.every]
    pictures = Folder(paths)
    start, busy = time.perf_counter(), time.process_time()
    copies = find_copies(pictures)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - busy

    size = pictures[0].shape[1::-1]
    originals = Folder(sorted(options.originals.iterdir()), size)
    truth, known, places = _truth(pictures, originals)
    classes = np.array([path.parent.name for path in paths])
    page = {
        "measured": "grouping of augmented copies, against originals found without it",
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "pictures": len(paths),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "known": int(known.sum()),
        "originals": len(np.unique(truth[known])),
        "places": len(np.unique(places[truth[known]])),
        "one_place": _overlapping(originals, truth[known], places),
        "groupings": [
            _scored("originals", copies.originals[known], "original", truth[known]),
            _scored("places", copies.places[known], "original", truth[known]),
            _scored("originals", copies.originals[known], "place", places[truth[known]]),
            _scored("places", copies.places[known], "place", places[truth[known]]),
        ],
        "colours_alone": _canary(pictures, classes, copies.places),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(page, indent=2) + "\n")
    print(table(page))


def table(page: dict) -> str:
    """The page as text."""
    lines = [
        f"{page['known']:,} of {page['pictures']:,} pictures are certainly of one of "
        f"{page['originals']} originals, which show {page['places']} places; grouped in "
        f"{page['seconds']:.0f} s ({page['cpu_seconds']:.0f} s of CPU, {page['cores']} cores).",
        "",
        f"{'grouping':10} {'truth':10} {'groups':>7} {'pairs':>9} {'precision':>10} {'recall':>8}",
    ]
    lines += [
        f"{g['grouping']:10} {g['truth']:10} {g['groups']:7} {g['pairs_known']:9,} "
        f"{g['precision']:10.4f} {g['recall']:8.4f}"
        for g in page["groupings"]
    ]
    canary = page["colours_alone"]
    return "\n".join(
        [
            *lines,
            "",
            f"A forest on colours alone: {canary['random']:.1%} split at random, "
            f"{canary['grouped']:.1%} split by place.",
        ]
    )


def _truth(pictures: Folder, originals: Folder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each picture's original, whether that is certain, and each original's place."""
    known_pictures = Originals(originals)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(known_pictures.lookup, pictures))
        among = list(pool.map(known_pictures.lookup, originals, range(len(originals))))
    best = [laid[0] for laid in found]
    next_best = [laid[1].correlation if len(laid) > 1 else -1.0 for laid in found]
    correlation = np.array([laid.correlation for laid in best])
    known = (correlation > CERTAIN) & (correlation - next_best > AHEAD)
    links = [
        (one, laid.original)
        for one, others in enumerate(among)
        for laid in others
        if laid.correlation > OVERLAPPING
    ]
    rows, columns = np.array(links, int).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), 2 * (len(originals),))
    places = sparse.csgraph.connected_components(graph, directed=False)[1]
    return np.array([laid.original for laid in best]), known, places


def _overlapping(originals: Folder, used: np.ndarray, places: np.ndarray) -> list[list[str]]:
    """Names of the originals in use that show one place."""
    members: dict[int, list[str]] = {}
    for original in np.unique(used):
        members.setdefault(int(places[original]), []).append(originals.paths[original].stem)
    return [names for names in members.values() if len(names) > 1]


def _scored(grouping: str, labels: np.ndarray, name: str, truth: np.ndarray) -> dict:
    """Precision and recall of the pairs that a grouping puts together."""

    def pairs(*keys: np.ndarray) -> int:
        sizes = np.unique(np.stack(keys), axis=1, return_counts=True)[1]
        return int((sizes * (sizes - 1) // 2).sum())

    both = pairs(labels, truth)
    return {
        "grouping": grouping,
        "truth": name,
        "groups": len(np.unique(labels)),
        "pairs_known": pairs(truth),
        "pairs_grouped": pairs(labels),
        "precision": both / pairs(labels),
        "recall": both / pairs(truth),
    }


def _canary(pictures: Folder, classes: np.ndarray, groups: np.ndarray) -> dict:
    """Accuracy of a forest on histograms of R, G and B, by two ways to split five-fold."""
    histograms = np.array([_histogram(pixels) for pixels in pictures])
    forest = RandomForestClassifier(100, random_state=0, n_jobs=os.cpu_count())

    def accuracy(folds: StratifiedKFold | StratifiedGroupKFold) -> float:
        return float(cross_val_score(forest, histograms, classes, groups=groups, cv=folds).mean())

    return {
        "random": accuracy(StratifiedKFold(5, shuffle=True, random_state=0)),
        "grouped": accuracy(StratifiedGroupKFold(5, shuffle=True, random_state=0)),
    }


def _histogram(pixels: np.ndarray) -> np.ndarray:
    counts = [cv2.calcHist([pixels], [i], None, [32], [0, 256]) for i in range(3)]
    return np.concatenate(counts).ravel()


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


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
