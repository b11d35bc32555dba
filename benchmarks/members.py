"""What several members of a run cost in one program, beside as many single runs, in turns.

    python benchmarks/members.py --members=8 --turns=3 --out=members.json -- \
        --config=configs/quickstart.py "--config.train.length=60 steps"

What stands after `--` is given to `bcjax train` on either side. Each command is a process of its
own, as a person would start it, and all share one folder of compiled programs, so that no side
compiles for the other. A turn is one command with all members, then the single runs in a row.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import page as pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("train", nargs="+", help="what bcjax train is given")
    options = parser.parse_args()
    turns = []
    seconds(options.train, seed=0)  # what is compiled is kept for both sides
    for _ in range(options.turns):
        together = seconds([*options.train, f"--config.train.members={options.members}"], seed=0)
        alone = sum(seconds(options.train, seed=seed) for seed in range(options.members))
        turns.append({"together_s": round(together, 1), "alone_s": round(alone, 1)})
    ratios = [turn["together_s"] / turn["alone_s"] for turn in turns]
    page = pages.begin() | {
        "train": options.train,
        "members": options.members,
        "together_over_alone": round(statistics.median(ratios), 3),
        "turns": turns,
    }
    pages.write(page, options.out)
    print(table(page))


def table(page: dict) -> str:
    """The page as Markdown."""
    together, alone = (
        statistics.median(turn[key] for turn in page["turns"]) for key in ("together_s", "alone_s")
    )
    return "\n".join(
        [
            "| whole commands | in one program | one after the other | ratio |",
            "|---|---|---|---|",
            f"| {page['members']} members of a small network | {together:.0f} s | {alone:.0f} s "
            f"| {page['together_over_alone']:.2f} |",
            "",
            pages.measured(page),
        ]
    )


def seconds(flags: list[str], seed: int) -> float:
    """Of one command, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bcjax.main", "train", *flags, f"--workdir={folder}"]
        began = time.perf_counter()
        subprocess.run([*command, f"--config.seed={seed}"], check=True, capture_output=True)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
