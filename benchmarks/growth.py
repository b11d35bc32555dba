"""How time and memory of whole commands grow with the number of pictures.

    python benchmarks/growth.py --out=benchmarks/results/growth_cpu.json
    python benchmarks/growth.py --counts=1000,3000 --commands=prepare

Cells are drawn into a temporary folder, no two of them alike: JPEGs of 96 px in class folders. At
each count `prepare` prepares them, `explore` writes the page of the set that `prepare` has made,
and `predict` labels them by a small network of random weights. Each is a process of its own, as a
person would start it, with empty caches; the memory is the most that the process and all that it
started held together, pages that they share counted for each. The exponent is that of the power law
through the last two counts: 1 where time grows as pictures do, 2 where it grows with their square.
"""

import argparse
import itertools
import math
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import page as pages
import predict
import programs
import psutil

COUNTS = "10000,30000,100000"
COMMANDS = ("prepare", "explore", "predict")
NETWORK = "mobilenet_v2_035"
SIZE, CLASSES, QUALITY = 96, 8, 90
EVERY = 0.05  # seconds between two looks at the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default=COUNTS, help="numbers of pictures, by comma")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="by comma")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    counts = sorted(int(count) for count in options.counts.split(","))
    names = [name for name in COMMANDS if name in options.commands.split(",")]
    page = pages.begin() | {"image_size": SIZE, "network": NETWORK, "rows": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "predict" in names:
            predict.untrained(NETWORK, folder / "run")
        for fewer, count in itertools.pairwise((0, *counts)):
            draw(folder / "pictures", range(fewer, count))
            for row in measured(folder, count, names):
                print(f"{count:,}: {row}", file=sys.stderr, flush=True)
                page["rows"].append(row)
            if options.out:
                pages.write(page, options.out)
        print(table(page), flush=True)


def measured(folder: Path, count: int, names: Sequence[str]) -> list[dict]:
    """Returns the figures of each command on the pictures that are there."""
    out = folder / str(count)
    prepared = out / "prepared"
    words = {
        "prepare": [f"--data.source={folder / 'pictures'}", f"--out={prepared}"],
        "explore": [f"--data.source={prepared}", f"--out={out / 'explore.html'}"],
        "predict": [
            f"--workdir={folder / 'run'}",
            f"--out={out / 'labels.parquet'}",
            str(folder / "pictures"),
        ],
    }
    environment = {"BCJAX_CACHE": str(out / "cache")}
    out.mkdir()
    rows = []
    for name in COMMANDS:
        # explore shows what prepare has made.
        if name not in names and (name, "explore" in names) != ("prepare", True):
            continue
        command = [sys.executable, "-m", "bcjax.main", name, *words[name]]
        seconds, peak = run(command, environment)
        rows.append({
            "command": name,
            "pictures": count,
            "seconds": round(seconds, 2),
            "images_per_s": round(count / seconds, 1),
            "peak_mb": round(peak / 1e6, 1),
        })  # fmt: skip
    return [row for row in rows if row["command"] in names]


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, int]:
    """Runs a program to its end; returns its seconds, and the most bytes that its tree held."""
    ended, peak = threading.Event(), [0]
    others = {child.pid for child in psutil.Process().children()}

    def watch() -> None:
        while not ended.wait(EVERY):
            peak[0] = max(peak[0], held(others))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _, seconds = programs.run(command, environment)
    finally:
        ended.set()
        watcher.join()
    return seconds, peak[0]


def held(others: set[int]) -> int:
    """Returns the bytes that what this process has started holds, but for `others`."""
    total = 0
    for child in psutil.Process().children():
        if child.pid in others:
            continue
        try:
            tree = [child, *child.children(recursive=True)]
        except psutil.Error:  # it has ended meanwhile
            continue
        for process in tree:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    return total


def draw(folder: Path, numbers: Sequence[int]) -> None:
    """Writes the drawings of these numbers into class folders."""
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = folder / f"class{number % CLASSES}" / f"{number:07}.jpg"
        pixels = drawing(number, number % CLASSES)
        path.write_bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def drawing(number: int, label: int) -> np.ndarray:
    """Returns a cell among red ones, uint8 (96, 96, 3), BGR: lobes and granules make its class."""
    rng = np.random.default_rng(number)
    pixels = np.full((SIZE, SIZE, 3), rng.normal((215, 220, 235), 6), np.float32)

    def blob(centre: np.ndarray, axes: np.ndarray, colour: Sequence[float]) -> None:
        tone = rng.normal(colour, 10).tolist()
        at, size = centre.astype(int).tolist(), axes.astype(int).tolist()
        cv2.ellipse(pixels, (at, size, rng.uniform(0, 180)), tone, -1, cv2.LINE_AA)

    for _ in range(rng.integers(3, 8)):  # red cells
        blob(rng.uniform(0, SIZE, 2), rng.uniform(18, 30, 2), (170, 160, 220))
    centre = SIZE / 2 + rng.normal(0, 6, 2)
    radius = rng.uniform(18, 34)
    blob(centre, 2 * radius * rng.uniform(0.85, 1.1, 2), (210, 190 - 8 * label, 200))
    for _ in range(1 + label % 4):  # lobes of the nucleus
        away = rng.normal(0, 0.3 * radius, 2)
        blob(centre + away, radius * rng.uniform(0.6, 1.1, 2), (140 - 5 * label, 50, 100))
    for _ in range(12 * (label // 4)):  # granules
        blob(centre + rng.normal(0, 0.5 * radius, 2), rng.uniform(2, 5, 2), (60, 90, 200))
    pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.6, 1.2))
    noise = 3 * rng.standard_normal(pixels.shape, np.float32)
    return cv2.add(pixels, noise, dtype=cv2.CV_8U)


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    lines = ["| command | pictures | time | pictures/s | peak memory |", "|---|--:|--:|--:|--:|"]
    said = []
    for name in dict.fromkeys(row["command"] for row in page["rows"]):
        rows = [row for row in page["rows"] if row["command"] == name]
        lines += [
            f"| {name} | {row['pictures']:,} | {row['seconds']:,.1f} s "
            f"| {row['images_per_s']:,.0f} | {row['peak_mb']:,.0f} MB |"
            for row in rows
        ]
        if len(rows) > 1:
            said.append(f"{exponent(*rows[-2:]):.2f} ({name})")
            lines.append(million(name, *rows[-2:]))
    grows = (
        f" Time grows with the number to the power of {', '.join(said)}. What a million pictures "
        "would take lies on the line through the last two counts, or, for time, by that power "
        "where it is above 1."
        if said
        else ""
    )
    return "\n".join([
        *lines, "",
        f"Drawn cells of {page['image_size']} px, no two alike; predict with {page['network']}."
        f"{grows} {pages.measured(page)}",
    ])  # fmt: skip


def million(name: str, one: Mapping, other: Mapping) -> str:
    """Returns the row of a million pictures, extrapolated from two rows."""
    count = 1_000_000
    along = (count - other["pictures"]) / (other["pictures"] - one["pictures"])
    line = {
        key: other[key] + along * max(0, other[key] - one[key]) for key in ("seconds", "peak_mb")
    }
    power = other["seconds"] * (count / other["pictures"]) ** exponent(one, other)
    seconds = max(line["seconds"], power)
    return (
        f"| {name} | {count:,}, extrapolated | {seconds / 60:,.0f} min "
        f"| {count / seconds:,.0f} | {line['peak_mb']:,.0f} MB |"
    )


def exponent(one: Mapping, other: Mapping) -> float:
    """Returns the exponent of the power law through the times of two rows."""
    times = math.log(other["seconds"] / one["seconds"])
    return times / math.log(other["pictures"] / one["pictures"])


if __name__ == "__main__":
    main()
