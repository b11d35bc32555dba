"""What `bcjax serve` carries, with dynamic batching and without; and 10,000 broken requests.

    python benchmarks/serve.py --fuzz=10000 --out=benchmarks/results/serve.json

Each service is a process of its own on 127.0.0.1, and both stay up while 16 clients ask first one,
then the other, turn after turn. A client sends a photograph, waits for its answer and sends the
next one. The clients are threads of this process and take part of the same cores. Networks have
random weights, which take as long as trained ones.
"""

import argparse
import contextlib
import dataclasses
import http.client
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import page as pages
import psutil
import serve_fuzz

from bcjax.benchmark import machine

CLIENTS = 16
CLASSES = tuple("abcdefgh")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of bcjax, the side of its pictures in px, and its options."""

    title: str
    name: str
    size: int
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


NETWORKS = (
    Network("MobileNetV2 0.35", "mobilenet_v2", 96, {"alpha": 0.35}),
    Network("AlexNet", "alexnet", 96),
    Network("AlexNet", "alexnet", 64),
)
FUZZED = Network("LeNet-5", "lenet5", 32)
SIDES = {"without": ("--max-batch=1",), "with": (f"--max-batch={CLIENTS}",)}
PHOTOGRAPH = 360  # px, the side of what is sent: JPEG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="jax", help="jax, onnx or both, by comma")
    parser.add_argument("--turns", type=int, default=5, help="0: no load, only --fuzz")
    parser.add_argument("--seconds", type=float, default=8, help="of each side's turn")
    parser.add_argument("--fuzz", type=int, default=0, help="broken requests; default: none")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    setting = {"turns": options.turns, "seconds": options.seconds, "clients": CLIENTS}
    page = pages.begin() | {"setting": setting | {"photograph": PHOTOGRAPH}, "loads": []}
    with tempfile.TemporaryDirectory(prefix="bcjax-serve-") as folder:
        if options.turns:
            for each in NETWORKS:
                for backend in options.backends.split(","):
                    workdir = made(each, Path(folder), backend)
                    page["loads"].append(compared(each, backend, workdir, options))
                    pages.write(page, options.out)
        if options.fuzz:
            page["fuzz"] = fuzzed(options.fuzz, Path(folder))
            pages.write(page, options.out)
    print(table(page))


def made(wanted: Network, folder: Path, backend: str) -> Path:
    """Writes a run of a network with random weights, and for ONNX its file; returns its folder."""
    import jax
    import numpy as np

    import bcjax
    from bcjax import config as configs
    from bcjax import engine
    from bcjax.engine import network

    side = wanted.size
    workdir = folder / f"{wanted.name}-{side}-{backend}"
    values = {f"model.{key}": value for key, value in wanted.options.items()}
    values |= {"model.name": wanted.name, "data.image_size": side, "data.source": "synthetic"}
    values |= {"data.synthetic_images": 240}
    config = engine.resolve(configs.replaced(configs.default(), values))
    picture = np.zeros((1, side, side, 3), np.float32)
    init = jax.jit(lambda key: network.build(config, len(CLASSES)).init(key, picture, train=False))
    engine.write_run(config, {"batch_stats": {}} | dict(init(jax.random.key(0))), CLASSES, workdir)
    if backend == "onnx":
        bcjax.export(workdir, formats="onnx")
    return workdir


class Service:
    """`bcjax serve` as a process."""

    def __init__(self, workdir: Path, *flags: str):
        command = [sys.executable, "-m", "bcjax.main", "serve", f"--workdir={workdir}"]
        command += ["--port=0", "--reload-seconds=0", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.match(r"ready: http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found[1])
                break
        else:
            sys.exit("".join(said))
        # Its log is read, lest it waits for a reader; nobody keeps it.
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()

    def rss(self) -> int:
        """Bytes of its memory now."""
        return psutil.Process(self.process.pid).memory_info().rss

    def batches(self) -> tuple[float, float]:
        """How many batches and pictures it has answered so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        name = "bcjax_batch_pictures"
        return float(values[f"{name}_count"]), float(values[f"{name}_sum"])

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(120)


@contextlib.contextmanager
def serving(workdir: Path, *flags: str) -> Iterator[Service]:
    service = Service(workdir, *flags)
    try:
        yield service
    finally:
        service.end()


def compared(
    network: Network, backend: str, workdir: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Returns what a network's service carries with and without batching, in turns."""
    sent = photographs()
    turns: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        services = {
            side: stack.enter_context(serving(workdir, f"--backend={backend}", *flags))
            for side, flags in SIDES.items()
        }
        for service in services.values():
            load(service, sent, 2.0)  # what is slow at first is over
        before = {side: service.rss() for side, service in services.items()}
        for turn in range(options.turns):
            turns.append({s: load(each, sent, options.seconds) for s, each in services.items()})
            said = (f"{s} {turns[-1][s]['requests_per_s']:.1f}/s" for s in SIDES)
            print(f"{workdir.name}, turn {turn + 1}: {', '.join(said)}", file=sys.stderr)
        after = {side: service.rss() for side, service in services.items()}
    figures = ("requests_per_s", "p50_ms", "p99_ms", "pictures_per_batch")
    return {
        "network": network.title, "image_size": network.size, "backend": backend,
        **{
            side: {figure: statistics.median(each[side][figure] for each in turns)
                   for figure in figures}
            | {"rss_before": before[side], "rss_after": after[side]}
            for side in SIDES
        },
        "gain": statistics.median(
            each["with"]["requests_per_s"] / each["without"]["requests_per_s"] for each in turns
        ),
        "turns": turns,
    }  # fmt: skip


def load(service: Service, sent: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Lets all clients ask for some seconds; each answer must be 200."""
    waits: list[float] = []
    faults: list[str] = []
    batches, processors, began = service.batches(), machine.processors(), time.monotonic()
    until = began + seconds

    def ask(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
        turn = client
        while time.monotonic() < until:
            start = time.monotonic()
            connection.request(
                "POST", "/v1/predict", sent[turn % len(sent)], {"Content-Type": "image/jpeg"}
            )
            answer = connection.getresponse()
            answer.read()
            waits.append(time.monotonic() - start)
            if answer.status != 200:
                faults.append(str(answer.status))
            turn += CLIENTS
        connection.close()

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    took = time.monotonic() - began
    if faults:
        sys.exit(f"{len(faults)} of {len(waits)} requests were not answered: {faults[0]}.")
    now = service.batches()
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return {
        "requests_per_s": len(waits) / took,
        "p50_ms": 1000 * cuts[49],
        "p99_ms": 1000 * cuts[98],
        "pictures_per_batch": (now[1] - batches[1]) / max(now[0] - batches[0], 1),
        "requests": len(waits),
        "stolen_share": round(machine.stolen_share(processors), 3),
    }


def photographs() -> list[bytes]:
    """Drawings of cells as JPEG files, of the size of a photograph."""
    import cv2
    import numpy as np

    from bcjax.data.sources import synthetic

    drawn = [record.read() for record in synthetic.source(40, size=PHOTOGRAPH, seed=0).records]
    pixels = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in drawn]
    return [cv2.imencode(".jpg", each)[1].tobytes() for each in pixels]


def fuzzed(count: int, folder: Path) -> dict[str, Any]:
    """Sends broken and hostile requests, and says how they ended and how memory grew."""
    workdir = made(FUZZED, folder, "jax")
    with serving(workdir, "--backend=jax", "--max-body-mb=1") as service:
        found = serve_fuzz.run(service.port, workdir.name, count, service.rss)
        return found | {"status_at_end": service.end()}


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    setting = page["setting"]
    lines = []
    if page["loads"]:
        lines += [
            "| network | by | requests a second without batching | with | gain | median wait, ms, "
            "without; with | 99 % wait less than, ms | pictures a batch | memory before and after, "
            "MB |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
    for row in page["loads"]:
        a, b = row["without"], row["with"]
        lines.append(
            f"| {row['network']}, {row['image_size']} px | {row['backend']} "
            f"| {a['requests_per_s']:.1f} | {b['requests_per_s']:.1f} | {row['gain']:.2f} "
            f"| {a['p50_ms']:.0f}; {b['p50_ms']:.0f} | {a['p99_ms']:.0f}; {b['p99_ms']:.0f} "
            f"| {b['pictures_per_batch']:.1f} "
            f"| {b['rss_before'] / 1e6:.0f}, {b['rss_after'] / 1e6:.0f} |"
        )
    if page["loads"]:
        lines += [
            "",
            f"{setting['clients']} clients, each with one request at a time, a JPEG of "
            f"{setting['photograph']} px, on the same machine as the service; medians of "
            f"{setting['turns']} turns of {setting['seconds']:g} s, the two sides in turn. The "
            "gain is the median of the turns' ratios.",
        ]
    if fuzz := page.get("fuzz"):
        ended = ", ".join(
            f"{number:,} with {status}" for status, number in fuzz["statuses"].items()
        )
        lines += [
            "",
            f"{fuzz['requests']:,} broken and hostile requests ended {ended}; "
            f"{fuzz['server_errors']} with 5xx, {fuzz['cut_off']} without an answer. Memory after "
            f"the first {fuzz['settled']:,}: {fuzz['rss_settled'] / 1e6:.0f} MB, at the end: "
            f"{fuzz['rss_end'] / 1e6:.0f} MB ({fuzz['growth']:+.1%}). Half of them are made by "
            "schemathesis of the service's own OpenAPI page, half are pictures and bodies with "
            "broken bytes, heads, shapes and lengths.",
        ]
    return "\n".join([*lines, "", pages.measured(page)])


if __name__ == "__main__":
    main()
