"""A night's pictures through `bcjax predict --out`: memory, and the rate beside its two halves.

    python benchmarks/predict.py --out=benchmarks/results/predict.json

100,000 pictures of 96 px are written to a temporary folder: copies of those in `--data`, or random
ones where there is no such folder. Several networks answer them, or the first of them (random
weights: what an answer costs does not depend on them), in JAX or by the exported ONNX file. The
whole is timed from the first 5,000 pictures on, or the first tenth, to the joined file, and its
memory is read after each batch. Before it and after it, in turns, its halves are timed alone:
decoding, by the same threads with nothing computed; and the bare forward pass, by the same compiled
program on a batch that is on the device already, or by ONNX Runtime alone. The rate is held against
that of the slower half, the median of its turns. `--runs=mobilenet_v2_035:jax:10000` gives a quick
look.

Processor time is told as well, which others on the machine disturb less: on a CPU both halves want
the same cores.
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
from bcjax.evaluation.picture_stream import NamedImage, Pictures, open_pictures
from bcjax.evaluation.predictor import Predictor
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports import onnx_file
from bcjax.exports.exported_network import ExportedNetwork
from bcjax.exports.servable import servable
from bcjax.runtime import jax_settings, memory

CLASSES = tuple(f"class {i}" for i in range(8))
SIZE, BATCH = 96, 64
WARM = 5_000  # pictures until compiled programs, threads and buffers are there, at most
RUNS = "mobilenet_v2_035:jax:100000,mobilenet_v2_035:onnx:30000,mobilenet_v2:jax:20000,"
RUNS += "resnet50:jax:4000"
IN_FOLDER = 1_000
DISTINCT = 2_000  # random pictures, where there are no real ones
TURNS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default=RUNS, help="network:backend:pictures, by comma")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pbc96"))
    parser.add_argument("--format", choices=("parquet", "csv", "jsonl"), default="parquet")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    memory.keep_freed()  # as the program does
    page = pages.begin()
    runs = [tuple(run.split(":")) for run in options.runs.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        pictures, most = Path(folder) / "pictures", max(int(count) for *_, count in runs)
        page |= write_pictures(pictures, most, options.data)
        page |= {"image_size": SIZE, "batch_size": BATCH, "threads": os.cpu_count()}
        page |= {"format": options.format, "rows": []}
        for number, (network_name, backend, count) in enumerate(runs):
            workdir = Path(folder) / f"run{number}"
            net = untrained(network_name, workdir)
            answering = exported(net) if backend == "onnx" else net
            row = measure(answering, pictures, int(count), workdir / f"labels.{options.format}")
            page["rows"].append({"network": network_name, "backend": backend} | row)
            if options.out:  # before 100,000 files are deleted, which takes minutes on some disks
                pages.write(page, options.out)
        print(table(page), flush=True)


def measure(net: Predictor, pictures: Path, count: int, out: Path) -> dict:
    """Returns the figures of one network; see above."""
    folders = sorted(pictures.iterdir())[: -(-count // IN_FOLDER)]
    chosen, warm = open_pictures(folders), min(WARM, count // 10)
    some = list(itertools.islice(chosen, warm))
    halves = {"decoding": lambda: decode(net, some), "forward": lambda: forward(net, len(some))}
    for half in halves.values():
        half()  # compiles
    turns = in_turns(halves, len(some))
    before = machine.processors()
    whole = write(net, chosen, out, warm)
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
        "pictures": count,
        "warm": warm,
        **whole,
        "buffer_mb": buffer_mb(net),
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
        path = folder / f"{position // IN_FOLDER:04}" / f"{position:07}.jpg"
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


def untrained(name: str, workdir: Path) -> TrainedNetwork:
    """Returns a network as a run whose weights are random."""
    config = configs.replaced(configs.default(), {"data.image_size": SIZE, "model.name": name})
    config = network.resolve(config)
    pixels = np.zeros((1, SIZE, SIZE, 3), np.float32)
    model = network.build(config, len(CLASSES))
    variables: Variables = jax.jit(model.init, static_argnames="train")(
        jax.random.key(0), pixels, train=False
    )
    network.write_run(config, variables, CLASSES, workdir)
    return trained_network.load(workdir, "latest")


def exported(net: TrainedNetwork) -> ExportedNetwork:
    """Returns the network by its ONNX file, unchecked."""
    path = net.workdir / "model.onnx"
    onnx_file.write(servable(net), path)
    runtime = onnx_file.Runtime(path)
    return ExportedNetwork(net.config, net.classes, net.step, net.workdir, None, runtime)


def buffer_mb(net: Predictor) -> float | None:
    """Returns how much memory one call of the compiled program takes for a while."""
    if not isinstance(net, TrainedNetwork):
        return None
    batch = np.zeros((BATCH, SIZE, SIZE, 3), np.uint8)
    compiled = net._answer.lower(net.variables, batch).compile()
    return round(compiled.memory_analysis().temp_size_in_bytes / 1e6, 1)


def decode(net: Predictor, pictures: list[NamedImage]) -> None:
    """Decodes as a stream does, and throws the pixels away."""
    for _ in decode_ahead(pictures, net.transform, net.image_size, BATCH):
        pass


@jax_settings.fixed()
def forward(net: Predictor, pictures: int) -> None:
    """Computes a batch that is on the device already, again and again, two of them under way."""
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    if isinstance(net, ExportedNetwork):
        for _ in range(-(-pictures // BATCH)):
            net.runtime(pixels)
        return
    device, variables = net._copies[0]
    batch, begun = jax.device_put(pixels, device), deque()
    for _ in range(-(-pictures // BATCH)):
        begun.append(net._answer(variables, batch))
        if len(begun) > 1:
            jax.block_until_ready(begun.popleft())
    jax.block_until_ready(list(begun))


def write(net: Predictor, pictures: Pictures, out: Path, after: int) -> dict:
    """Labels all pictures; returns the rate and the memory, from so many pictures on."""
    process = psutil.Process()
    seen: list[tuple[int, float, float, int]] = []  # pictures done, when, CPU time, bytes

    def progress(done: int, total: int) -> None:
        memory = process.memory_info().rss
        if seen and done // 10_000 > seen[-1][0] // 10_000:
            print(f"{done:,} of {total:,} pictures, {memory / 1e6:,.0f} MB", file=sys.stderr)
        seen.append((done, time.perf_counter(), time.process_time(), memory))

    written = prediction_file.write(net, pictures, out, BATCH, progress=progress)
    end, cpu = time.perf_counter(), time.process_time()
    warm = next((each for each in seen if each[0] >= after), seen[0])
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
    lines = [
        "| network | pictures | `bcjax predict --out` | decoding alone | forward pass alone "
        "| share of the slower | memory grew by | processor time a picture: whole (its halves) |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in page["rows"]:
        decoding, forward = row["alone"]["decoding"], row["alone"]["forward"]
        backend = {"jax": "", "onnx": ", ONNX"}[row["backend"]]
        halves = decoding["cpu_ms"] + forward["cpu_ms"]
        lines.append(
            f"| {row['network']}{backend} | {row['pictures']:,} | {row['images_per_s']:,.0f}/s "
            f"| {decoding['images_per_s']:,.0f}/s | {forward['images_per_s']:,.0f}/s "
            f"| {row['share_of_slower']:.0%} | {row['rss_growth_mb']:,.0f} MB "
            f"| {row['cpu_ms']:.2f} ms ({halves:.2f}) |"
        )
    buffer = next(row["buffer_mb"] for row in page["rows"] if row["buffer_mb"])
    said = (
        f"Pictures of {page['image_size']} px, {page['bytes'] / 1000:.1f} kB each, "
        f"{page['batch_size']} at a time, written as .{page['format']}. Memory is counted from the "
        f"first {WARM:,} pictures or the first tenth on; it grows, if it does, by buffers of the "
        f"compiled program, {buffer:.0f} MB each in the first row, of which there are a few. "
        "On a CPU both halves want the same cores, so that the whole comes near the slower half "
        f"where that is the slower by much. {pages.measured(page)}"
    )
    return "\n".join([*lines, "", said])


if __name__ == "__main__":
    main()
