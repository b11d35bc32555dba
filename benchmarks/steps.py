"""Whole training steps beside those of PyTorch (timm) and Keras 3 on JAX, in turns.

    python benchmarks/steps.py --peers=PEERS/bin/python --step=step.py --out=steps.json

`--peers` is a Python that has the other libraries; `--step` a script that times one of their steps
and prints a JSON line (`--lib`, `--model`, `--batch`, `--size`). Each figure is the median over the
turns of the median over a turn's steps; a ratio is the median of the turns' ratios. Forward,
backward and AdamW on random pictures in memory, in float32; ours augments and normalises as well.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

BATCH, SIZE = 32, 96

# Ours, timm's, Keras's name of the same network.
NETWORKS = [
    ("resnet50", "resnet50", "ResNet50"),
    ("convnext_tiny", "convnext_tiny", "ConvNeXtTiny"),
    ("efficientnet_b0", "efficientnet_b0", "EfficientNetB0"),
    ("mobilenet_v2", "mobilenetv2_100", "MobileNetV2"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="Python with torch, timm and keras")
    parser.add_argument("--step", required=True, help="the script that times a peer's step")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--keras-turns", type=int, default=1, help="Keras takes minutes to compile")
    parser.add_argument("--steps", type=int, default=8, help="timed steps in a turn")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    rows = [_compare(options, *names) for names in NETWORKS]
    page = {
        "measured": "whole training step, float32, AdamW, images/s",
        "batch": BATCH,
        "image_size": SIZE,
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {n: importlib.metadata.version(n) for n in ("bcjax", "jax", "jaxlib", "flax")},
        "peers": peer_versions(options.peers, ("torch", "timm", "keras", "jax")),
        "networks": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(page, indent=2) + "\n")
    print(table(page))


def table(page: dict) -> str:
    """Returns the page as a Markdown table."""
    lines = [
        "| network | bcjax | PyTorch + timm | ratio | Keras 3 on JAX | ratio | first step |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in page["networks"]:
        lines.append(
            f"| {row['network']} | {row['bcjax']:.1f} | {row['timm']:.1f} | {row['over_timm']:.2f} "
            f"| {row['keras']:.1f} | {row['over_keras']:.1f} | {row['first_step_s']:.0f} s |"
        )
    return "\n".join(lines)


def _compare(options: argparse.Namespace, ours: str, timm: str, keras: str) -> dict:
    turns: list[dict[str, dict]] = []
    for turn in range(options.turns):
        results = {"bcjax": _ours(ours, options.steps), "timm": _peer(options, "timm", timm)}
        if turn < options.keras_turns:
            results["keras"] = _peer(options, "keras", keras)
        said = (f"{name} {result['images_per_s']:.1f}" for name, result in results.items())
        print(f"{ours}, turn {turn + 1}: {', '.join(said)} images/s", file=sys.stderr)
        turns.append(results)

    def rates(library: str) -> list[float]:
        return [turn[library]["images_per_s"] for turn in turns if library in turn]

    def ratio(library: str) -> float:
        pairs = zip(rates("bcjax"), rates(library), strict=False)
        return statistics.median(us / them for us, them in pairs)

    return {
        "network": ours,
        **{name: statistics.median(rates(name)) for name in ("bcjax", "timm", "keras")},
        "over_timm": ratio("timm"),
        "over_keras": ratio("keras"),
        # The first turn compiles; the others may find it in the cache.
        "first_step_s": turns[0]["bcjax"]["first_step_s"],
        "turns": turns,
    }


def _ours(network: str, steps: int) -> dict:
    settings = {
        "": Path(__file__).parents[1] / "configs" / "resnet50.py",
        ".model.name": network,
        ".train.batch_size": BATCH,
        ".train.label_smoothing": 0.0,
        ".data.image_size": SIZE,
        ".data.synthetic_images": 160,
        ".data.store": "device",
    }
    flags = [f"--config{key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "bcjax.main", "benchmark", "--what=step"]
    return answer([*command, f"--steps={steps}", *flags])


def _peer(options: argparse.Namespace, library: str, network: str) -> dict:
    settings = {
        "lib": library, "model": network, "batch": BATCH, "size": SIZE, "steps": options.steps
    }  # fmt: skip
    flags = [f"--{key}={value}" for key, value in settings.items()]
    return answer([options.peers, options.step, *flags])


def answer(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout[done.stdout.index("{") :])


def peer_versions(python: str, libraries: tuple[str, ...]) -> dict[str, str]:
    ask = (
        "import importlib.metadata as m, json; "
        f"print(json.dumps({{n: m.version(n) for n in {libraries}}}))"
    )
    return answer([python, "-c", ask])


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
