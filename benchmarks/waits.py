"""How long a person waits for the first step of training, and for the answer to one picture.

    python benchmarks/waits.py --before=6047cf6 --out=benchmarks/results/waits_cpu.json

Each command is a process of its own, and its time is counted from its start: `train` until it says
that the first step is done, at 96 px, in batches of 32, on prepared pictures; `predict` of one
picture until its end. The first time it finds an empty cache (cold), then what it has left there
(warm). An earlier version, a commit of this repository, takes turns with this one.
"""

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import page as pages
import predict
import programs

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "pbc96"
NETWORKS = "mobilenet_v2,resnet50,efficientnet_b0,convnext_tiny"
PREDICTS = "mobilenet_v2_035"
FIRST_STEP = "First step after"
AFTER = 5  # seconds in which a run may write what it has compiled before it is ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, help="a commit")
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--turns", type=int, default=3, help="how often each waits with a cache")
    parser.add_argument("--data", type=Path, default=DATA, help="pictures in class folders")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = pages.begin() | {"before": options.before, "rows": []}
    with tempfile.TemporaryDirectory() as name, checkout(options.before) as before:
        folder, versions = Path(name), {"before": before, "after": ROOT}
        programs.run(
            [
                *bcjax("prepare", f"--out={folder / 'cells'}"),
                *(f"--data.source={options.data}", "--config.data.drop=conflicts"),
            ]
        )
        for network in options.networks.split(","):
            command = training(network, folder / "cells", folder / "run")
            row = waits(command, versions, folder, options.turns, until=FIRST_STEP)
            page["rows"].append({"command": "train", "network": network, **row})
            pages.write(page, options.out)
        predict.untrained(PREDICTS, folder / "trained")
        picture = min(options.data.rglob("*.jpg"))
        command = bcjax("predict", f"--workdir={folder / 'trained'}", str(picture))
        row = waits(command, versions, folder, options.turns)
        page["rows"].append({"command": "predict", "network": PREDICTS, **row})
        pages.write(page, options.out)
    print(table(page))


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Yields a folder with the code of a commit."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as name:
        folder = str(Path(name) / commit)
        subprocess.run([*git, "add", "--detach", "--quiet", folder, commit], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def bcjax(command: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "bcjax.main", command, *flags]


def training(network: str, data: Path, workdir: Path) -> list[str]:
    """The command line of a training that would take three steps and be evaluated."""
    settings = {
        "model.name": network,
        "data.source": data,
        "data.image_size": 96,
        "train.batch_size": 32,
        "train.length": "3 steps",
        "eval.every": "3 steps",
    }
    changes = [f"--config.{key}={value}" for key, value in settings.items()]
    return bcjax("train", "--config=configs/simple_cnn.py", f"--workdir={workdir}", *changes)


def waits(
    command: Sequence[str],
    versions: Mapping[str, Path],
    folder: Path,
    turns: int,
    until: str | None = None,
) -> dict[str, dict]:
    """The seconds of each version with an empty cache, and with a full one by turn."""
    seconds: dict[str, list[float]] = {version: [] for version in versions}
    for _ in range(1 + turns):
        for version, code in versions.items():
            shutil.rmtree(folder / "run", ignore_errors=True)
            seconds[version].append(waited(command, code, folder / f"cache_{version}", until))
    for version in versions:
        shutil.rmtree(folder / f"cache_{version}")
    return {name: {"cold": each[:1], "warm": each[1:]} for name, each in seconds.items()}


def waited(command: Sequence[str], code: Path, cache: Path, until: str | None) -> float:
    """Seconds until a command says `until`, and is ended then, or until its own end."""
    variables = {"BCJAX_CACHE": str(cache), "PYTHONPATH": str(code)}
    # As on other machines, Python keeps what it compiles.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    said, began = [], time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=code,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    try:
        for line in process.stdout:
            said.append(line)
            if until and until in line:
                return round(time.monotonic() - began, 2)
        if until or process.wait():
            raise SystemExit("".join(said))
        return round(time.monotonic() - began, 2)
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(AFTER)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [
        "| wait | cold, before | cold | warm, before | warm |",
        "|---|---|---|---|---|",
    ]
    for row in page["rows"]:
        what = "first step" if row["command"] == "train" else "one picture"
        cells = [
            f"{statistics.median(row[version][state]):.1f} s"
            for state in ("cold", "warm")
            for version in ("before", "after")
        ]
        lines.append(f"| `{row['command']}`, {what}, {row['network']} | {' | '.join(cells)} |")
    told = (
        f"Before: commit {page['before']}. Cold: with an empty cache, once; warm: the median of "
        f"{len(page['rows'][0]['after']['warm'])} times."
    )
    return "\n".join([*lines, "", f"{told} {pages.measured(page)}"])


if __name__ == "__main__":
    main()
