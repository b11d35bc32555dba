"""A night's pictures through `bcjax predict --out`: memory, and the rate beside its two halves.

    python benchmarks/predict.py --out=benchmarks/results/predict.json

100,000 pictures of 96 px are written to a temporary folder: copies of those in `--data`, or random
ones where there is no such folder. MobileNetV2 0.35 answers them (random weights: what an answer
costs does not depend on them). The whole is timed from the first 5,000 pictures on, to the joined
file, and its memory is read after each batch. Before it and after it, in turns, its halves are
timed alone: decoding, by the same threads with nothing computed; and the bare forward pass, by the
same compiled program on a batch that is on the device already. The rate is held against that of the
slower half, the median of its turns. `--pictures=10000` gives a quick look.

Processor time is told as well, which others on the machine disturb less: on a CPU both halves want
the same cores. There the whole takes what its halves take together and a tenth more: three quarters
are the network, a sixth is decoding.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import jax
import numpy as np
import page as pages
import psutil

from bcjax import config as configs
from bcjax.benchmark import machine
from bcjax.data.decode import read_file
from bcjax.engine import network
from bcjax.engine.state import Variables
from bcjax.evaluation import prediction_file, trained_network
from bcjax.evaluation.decode_ahead import decode_ahead
from bcjax.evaluation.picture_stream import NamedImage, open_pictures
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.runtime import jax_settings, memory

CLASSES = tuple(f"class {i}" for i in range(8))
SIZE, BATCH = 96, 64
WARM = 5_000  # pictures until compiled programs, threads and buffers are there
DISTINCT = 2_000  # random pictures, where there are no real ones
TURNS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pbc96"))
    parser.add_argument("--format", choices=("parquet", "csv", "jsonl"), default="parquet")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    memory.keep_freed()  # as the program does
    page = pages.begin()
    with tempfile.TemporaryDirectory() as folder:
        page |= measure(Path(folder), options)
        if options.out:  # before 100,000 files are deleted, which takes minutes on some disks
            pages.write(page, options.out)
        print(table(page), flush=True)


def measure(folder: Path, options: argparse.Namespace) -> dict:
    """Returns the figures; see above."""
    kinds = write_pictures(folder / "pictures", options.pictures, options.data)
    net = untrained(folder / "run")
    some = list(itertools.islice(open_pictures([folder / "pictures"]), min(WARM, options.pictures)))
    halves = {"decoding": lambda: decode(net, some), "forward": lambda: forward(net, len(some))}
    for half in halves.values():
        half()  # compiles
    turns = in_turns(halves, len(some))
    before = machine.processors()
    whole = write(net, folder / "pictures", folder / f"labels.{options.format}")
    stolen = machine.stolen_share(before)
    turns += in_turns(halves, len(some))
    alone = {
        name: {
            figure: round(statistics.median(turn[name][figure] for turn in turns), 4)
            for figure in ("images_per_s", "cpu_ms")
        }
        for name in halves
    }
    slower = min(half["images_per_s"] for half in alone.values())
    return {
        "network": net.config.model.name,
        "image_size": SIZE,
        "batch_size": BATCH,
        "threads": os.cpu_count(),
        "format": options.format,
        "pictures": options.pictures,
        **kinds,
        **whole,
        "stolen_share": round(stolen, 3),
        "alone": alone,
        "turns": turns,
        "share_of_slower": round(whole["images_per_s"] / slower, 3),
    }


def in_turns(halves: dict[str, Callable[[], None]], pictures: int) -> list[dict]:
    """Returns the rate and the processor time (ms a picture) of each half, turn by turn."""
    turns = []
    for _ in range(TURNS):
        turn = {}
        for name, half in halves.items():
            cpu, seconds = time.process_time(), machine.seconds(half)
            turn[name] = {
                "images_per_s": round(pictures / seconds, 1),
                "cpu_ms": round(1000 * (time.process_time() - cpu) / pictures, 4),
            }
        turns.append(turn)
    return turns


def write_pictures(folder: Path, count: int, data: Path) -> dict:
    """Writes that many pictures into folders of a thousand; returns what they are."""
    known = [read_file(path) for path in sorted(data.rglob("*.jpg"))] or list(random_pictures())
    for position in range(count):
        path = folder / f"{position // 1000:04}" / f"{position:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(known[position % len(known)])
    return {
        "distinct": min(len(known), count),
        "data": data.name if data.exists() else "random",
        "bytes": round(statistics.mean(map(len, known))),
    }


def random_pictures() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for _ in range(DISTINCT):
        coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
        pixels = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        yield cv2.imencode(".jpg", pixels)[1].tobytes()


def untrained(workdir: Path) -> TrainedNetwork:
    """Returns MobileNetV2 0.35 as a run whose weights are random."""
    config = configs.replaced(
        configs.default(), {"data.image_size": SIZE, "model.name": "mobilenet_v2_035"}
    )
    config = network.resolve(config)
    pixels = np.zeros((1, SIZE, SIZE, 3), np.float32)
    model = network.build(config, len(CLASSES))
    variables: Variables = jax.jit(model.init, static_argnames="train")(
        jax.random.key(0), pixels, train=False
    )
    network.write_run(config, variables, CLASSES, workdir)
    return trained_network.load(workdir, "latest")


def decode(net: TrainedNetwork, pictures: list[NamedImage]) -> None:
    """Decodes as a stream does, and throws the pixels away."""
    for _ in decode_ahead(pictures, net.transform, net.image_size, BATCH):
        pass


@jax_settings.fixed()
def forward(net: TrainedNetwork, pictures: int) -> None:
    """Computes a batch that is on the device already, again and again, two of them under way."""
    device, variables = net._copies[0]
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    batch, begun = jax.device_put(pixels, device), deque()
    for _ in range(-(-pictures // BATCH)):
        begun.append(net._answer(variables, batch))
        if len(begun) > 1:
            jax.block_until_ready(begun.popleft())
    jax.block_until_ready(list(begun))


def write(net: TrainedNetwork, pictures: Path, out: Path) -> dict:
    """Labels all pictures; returns the rate and the memory, from `WARM` pictures on."""
    process = psutil.Process()
    seen: list[tuple[int, float, float, int]] = []  # pictures done, when, CPU time, bytes

    def progress(done: int, total: int) -> None:
        memory = process.memory_info().rss
        if seen and done // 10_000 > seen[-1][0] // 10_000:
            print(f"{done:,} of {total:,} pictures, {memory / 1e6:,.0f} MB", file=sys.stderr)
        seen.append((done, time.perf_counter(), time.process_time(), memory))

    written = prediction_file.write(net, open_pictures([pictures]), out, BATCH, progress=progress)
    end, cpu = time.perf_counter(), time.process_time()
    warm = next((each for each in seen if each[0] >= WARM), seen[0])
    used = [rss for done, _, _, rss in seen if done >= warm[0]]
    every = max(1, len(seen) // 50)
    return {
        "images_per_s": round((written.pictures - warm[0]) / (end - warm[1]), 1),
        "cpu_ms": round(1000 * (cpu - warm[2]) / (written.pictures - warm[0]), 4),
        "unreadable": written.unreadable,
        "rss_mb": round(used[0] / 1e6, 1),
        "rss_growth_mb": round((max(used) - used[0]) / 1e6, 1),
        "memory": [[done, round(rss / 1e6, 1)] for done, _, _, rss in seen[::every]],
    }


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    decoding, forward = page["alone"]["decoding"], page["alone"]["forward"]
    rates = (
        ("`bcjax predict --out`", page),
        ("decoding alone", decoding),
        ("the bare forward pass alone", forward),
    )
    lines = [
        f"| {page['pictures']:,} pictures of {page['image_size']} px | pictures/s "
        "| processor time a picture |",
        "|---|---|---|",
    ]
    lines += [
        f"| {what} | {each['images_per_s']:,.0f} | {each['cpu_ms']:.2f} ms |"
        for what, each in rates
    ]
    said = (
        f"That is {page['share_of_slower']:.0%} of the slower half's rate. After {WARM:,} pictures "
        f"the process held {page['rss_mb']:,.0f} MB of memory, and until the last never more than "
        f"{page['rss_growth_mb']:,.1f} MB above that. {page['network']}, {page['batch_size']} "
        f"pictures at a time, {page['bytes'] / 1000:.1f} kB each, written as .{page['format']}. On "
        "a CPU both halves want the same cores, and the whole has to do both. "
        f"{pages.measured(page)}"
    )
    return "\n".join([*lines, "", said])


if __name__ == "__main__":
    main()
