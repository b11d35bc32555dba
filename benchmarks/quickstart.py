"""How far the accuracy of the quickstart moves with the seed and with the processor.

    python benchmarks/quickstart.py --runs=runs/quickstarts --out=benchmarks/results/quickstart.json

Each run is a process of its own, in a folder of `--runs`; one that has ended is not made again. The
first seed is trained once more as it was, on one core, and with the vector instructions that an
older processor has, to show what the numbers of a run depend on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import page as pages

from bcjax.runtime.run_dir import RunDir

SEEDS = range(5)
# What is different from the first run: a name, what is put before the command, its environment.
# Each has compiled programs of its own, so that "again" compiles too.
AGAIN: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("again", (), {}),
    ("on one core", ("taskset", "-c", "0"), {}),
    ("without AVX-512", (), {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    seeds = [trained(options.runs / f"seed_{seed}", seed) for seed in SEEDS]
    again = {
        name: trained(options.runs / name.replace(" ", "_"), SEEDS[0], before, variables)
        for name, before, variables in AGAIN
    }
    page = pages.begin() | {
        "seeds": [described(run) for run in seeds],
        "again": {
            name: {**described(run), "apart": apart(seeds[0], run)} for name, run in again.items()
        },
    }
    pages.write(page, options.out)
    print(table(page))


def trained(
    workdir: Path, seed: int, before: tuple[str, ...] = (), variables: dict[str, str] | None = None
) -> RunDir:
    """Trains the quickstart in a folder, unless that was done, and returns it."""
    run = RunDir(workdir)
    if not run.evaluation("test").exists():
        command = [*before, sys.executable, "-m", "bcjax.main", "train"]
        command += ["--config=configs/quickstart.py", f"--workdir={workdir}"]
        command += [f"--config.seed={seed}", "--config.eval.report=false"]
        subprocess.run(command, env=os.environ | (variables or {}), check=True)
    return run


def described(run: RunDir) -> dict:
    """The accuracy on the test split."""
    result = json.loads(run.evaluation("test").read_text())["metrics"]["accuracy"]
    return {"accuracy": result["value"], "n": result["n"]}


def apart(first: RunDir, other: RunDir) -> float:
    """The largest relative difference between the training losses that two runs wrote down."""
    pairs = zip(losses(first), losses(other), strict=True)
    return max(abs(a - b) / a for a, b in pairs)


def losses(run: RunDir) -> list[float]:
    lines = map(json.loads, run.metrics.read_text().splitlines())
    return [line["train/loss"] for line in lines if "train/loss" in line]


def table(page: dict) -> str:
    """The page as Markdown."""
    accuracies = [run["accuracy"] for run in page["seeds"]]
    first = page["seeds"][0]
    middle, low, high = statistics.median(accuracies), min(accuracies), max(accuracies)
    lines = [
        "| quickstart | accuracy on the test pictures | training losses, beside the first |",
        "|---|---|---|",
        f"| {len(accuracies)} seeds | median {middle:.1%}, "
        f"{low:.1%} to {high:.1%} of {first['n']} | |",
        f"| seed 0 | {first['accuracy']:.1%} | |",
    ]
    for name, run in page["again"].items():
        difference = f"up to {run['apart']:.1%} apart" if run["apart"] else "the same, bit for bit"
        lines.append(f"| seed 0, {name} | {run['accuracy']:.1%} | {difference} |")
    return "\n".join([*lines, "", pages.measured(page)])


if __name__ == "__main__":
    main()
