"""How well bcjax finds augmented copies, where the originals are at hand.

    python benchmarks/copies.py --augmented=TRAIN --originals=JPEGImages --out=copies.json

The truth is found without the grouping that it judges: each augmented picture is looked up among
the originals (`originals.py`), and the one that correlates best with it is its own, if it does so
well and ahead of the next. Originals are looked up among each other in the same way: two that
overlap show one place on a slide. Last, a forest that knows nothing but colours is scored on folds
drawn at random and on folds of whole groups: what it loses was leaked.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import page as pages
from originals import Folder, Originals
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score

from bcjax.data.curate.augmented_copies import find_copies

CERTAIN, AHEAD = 0.93, 0.005  # correlation with the original; how much less with the next
OVERLAPPING = 0.8  # correlation of originals that show one place


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
    page = pages.begin() | {
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
    pages.write(page, options.out)
    print(table(page))


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [
        "| copies grouped by | truth | groups | pair precision | pair recall |",
        "|---|---|---|---|---|",
    ]
    for each in page["groupings"]:
        truth = f"{page[each['truth'] + 's']} {each['truth']}s"
        lines.append(
            f"| {each['grouping']} | {truth} | {each['groups']} | {each['precision']:.3f} "
            f"| {each['recall']:.3f} |"
        )
    colours = page["colours_alone"]
    return "\n".join(
        [
            *lines,
            "",
            f"{page['known']:,} of {page['pictures']:,} pictures are certainly of one original; "
            f"grouped in {page['seconds']:.0f} s ({page['cpu_seconds']:.0f} s of CPU). A forest "
            f"on colours alone: {colours['random']:.1%} split at random, "
            f"{colours['grouped']:.1%} split by place. {pages.measured(page)}",
        ]
    )


def _truth(pictures: Folder, originals: Folder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each picture's original, whether that is certain, and each original's place."""
    index = Originals(originals)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda i: index.lookup(pictures[i]), range(len(pictures))))
        among = list(pool.map(lambda i: index.lookup(originals[i], i), range(len(originals))))
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

    ways = {
        "random": (StratifiedKFold(5, shuffle=True, random_state=0), None),
        "grouped": (StratifiedGroupKFold(5, shuffle=True, random_state=0), groups),
    }
    return {
        name: float(cross_val_score(forest, histograms, classes, groups=unit, cv=folds).mean())
        for name, (folds, unit) in ways.items()
    }


def _histogram(pixels: np.ndarray) -> np.ndarray:
    counts = [cv2.calcHist([pixels], [i], None, [32], [0, 256]) for i in range(3)]
    return np.concatenate(counts).ravel()


if __name__ == "__main__":
    main()
