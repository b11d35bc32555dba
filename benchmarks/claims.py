"""Tests the claims of published blood-cell projects: one config beside another, over seeds.

    python benchmarks/claims.py --data=../shared/data --runs=runs/claims --out=claims.json --claim=3

`claim_list.py` holds the claims. A run that has ended is not made again, one that was interrupted
goes on, and what claims have in common is trained once. The file that is there is kept, but for the
claims that are asked for; without --claim these are all.

The unit of the test is the seed and the picture (`bcjax/metrics/runs.py`). A claim holds if the
95 % interval of each difference that it speaks of lies above 0, by less if one of them lies below
the claimed number of points. It does not hold if an interval lies below 0, or reaches to 0 and not
to the claimed number of points. Else this number of seeds cannot tell.
"""

import argparse
import dataclasses
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import page as pages
from claim_list import CLAIMS, MARGIN, Arm, Claim, Comparison

from bcjax.evaluation import answers
from bcjax.metrics import resampling, runs
from bcjax.metrics.names import metric_name
from bcjax.metrics.resampling import Resampled
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir

HOLDS, LESS, OPEN, FAILS = "holds", "holds, by less", "cannot tell", "does not hold"  # worse each
_PATHS = ("data.source", "model.weights")  # below --data
_RESAMPLES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real pictures")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--claim", type=int, action="append", help="its number; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    asked = [claim for claim in CLAIMS if claim.number in (options.claim or [claim.number])]
    for claim in asked:
        done = tested(claim, options.data, options.runs, options.seeds)
        kept = json.loads(options.out.read_text()) if options.out.exists() else {}
        found = kept.get("claims", {}) | {str(claim.number): done}
        page = pages.begin() | {
            "command": "python benchmarks/claims.py --data=../shared/data --runs=runs/claims "
            "--out=benchmarks/results/claims.json",
            "claims": dict(sorted(found.items(), key=lambda item: int(item[0]))),
        }
        pages.write(page, options.out)
        print(claim.number, done["verdict"])


def tested(claim: Claim, data: Path, folder: Path, seeds: int) -> dict[str, Any]:
    """Trains what a claim compares, and compares it."""
    made = {
        name: [trained(name, arm, data, folder, seed) for seed in range(seeds)]
        for name, arm in claim.arms.items()
    }
    metric = {name: [measured(claim, run) for run in each] for name, each in made.items()}
    differences = [
        dataclasses.asdict(each)
        | runs.difference(metric[each.first], metric[each.second]).to_dict()
        for each in claim.comparisons
    ]
    speeds = {name: statistics.median(map(images_per_s, each)) for name, each in made.items()}
    ratio = speeds[claim.faster[0]] / speeds[claim.faster[1]] if claim.faster else None
    return {
        "project": claim.project, "text": claim.text, "published": claim.published,
        "where": claim.where, "metric": claim.metric, "under": claim.under, "seeds": seeds,
        "arms": {name: [run.value for run in each] for name, each in metric.items()},
        "differences": differences,
        "times_as_fast": ratio,
        "verdict": verdict(claim, differences, ratio),
        "minutes": sum(minutes(run) for each in made.values() for run in each),
    }  # fmt: skip


def trained(name: str, arm: Arm, data: Path, folder: Path, seed: int) -> RunDir:
    """Trains a run of an arm, unless that was done, and returns it."""
    key = hashlib.sha256(repr((arm.config, sorted(arm.changes.items()))).encode()).hexdigest()[:10]
    workdir = folder / key / f"seed_{seed}"
    run = RunDir(workdir)
    took = workdir / "minutes.json"
    if took.exists():
        return run
    print(f"{name}: {arm.config}, seed {seed}, in {workdir}", flush=True)
    flags = [f"--config.{key}={written(key, value, data)}" for key, value in arm.changes.items()]
    command = [sys.executable, "-m", "bcjax.main", "train", f"--config={arm.config}", *flags]
    command += [f"--workdir={workdir}", f"--config.seed={seed}", "--config.eval.report=false"]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    files.write_json(took, {"minutes": (time.monotonic() - began) / 60})
    return run


def written(key: str, value: Any, data: Path) -> str:
    """A value as the command line takes it."""
    if key in _PATHS:
        return str((data / value).resolve())
    return "none" if value is None else str(value)


def measured(claim: Claim, run: RunDir) -> Resampled:
    """The metric of a run, on the test pictures or on augmented ones."""
    names = [f"test-{line}".replace(" ", "") for line in claim.under] or ["test"]
    each = []
    for name in names:
        kept = answers.read(run.answers(name))
        resampled = resampling.resample(kept.predictions(), kept.groups, resamples=_RESAMPLES)
        each.append(resampled.metric(claim.metric))
    return resampling.mean(*each)


def images_per_s(run: RunDir) -> float:
    lines = files.read_json_lines(run.metrics)
    return statistics.median(
        line["train/images_per_s"] for line in lines if "train/images_per_s" in line
    )


def minutes(run: RunDir) -> float:
    return json.loads((run.path / "minutes.json").read_text())["minutes"]


def verdict(claim: Claim, differences: Sequence[Mapping[str, Any]], ratio: float | None) -> str:
    """Returns whether the claim holds."""
    each = [
        decided(comparison, difference["low"], difference["high"])
        for comparison, difference in zip(claim.comparisons, differences, strict=True)
    ]
    if ratio is not None:
        each.append(HOLDS if ratio >= claim.times else FAILS)
    return max(each, key=(HOLDS, LESS, OPEN, FAILS).index)


def decided(comparison: Comparison, low: float | None, high: float | None) -> str:
    """Returns what the interval of a difference says of a comparison."""
    if low is None or high is None:
        return OPEN
    if comparison.says == "alike":
        inside, outside = low > -MARGIN and high < MARGIN, low > MARGIN or high < -MARGIN
        return HOLDS if inside else FAILS if outside else OPEN
    below = comparison.points is not None and 100 * high < comparison.points
    if low > 0:
        return LESS if below else HOLDS
    return FAILS if high < 0 or below else OPEN


def table(page: dict[str, Any]) -> str:
    """The page as Markdown: a row for each claim, and below it what was compared."""
    lines = [
        "| | claim | published | here, in points (95 %) | verdict | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for number, claim in page["claims"].items():
        here = "<br>".join(_said(each) for each in claim["differences"])
        if claim["times_as_fast"] is not None:
            here += f"<br>{claim['times_as_fast']:.2f} times as fast"
        verdict = claim["verdict"] + (f" with {claim['seeds']} seeds" * (claim["verdict"] == OPEN))
        lines.append(
            f"| {number} | {claim['text']} | {claim['published']} | {here} | {verdict} | "
            f"{claim['minutes']:.0f} |"
        )
    lines += ["", "What was trained, and the mean over the seeds:", ""]
    for number, claim in page["claims"].items():
        arms = "; ".join(
            f"{name} {statistics.mean(values):.1%}" for name, values in claim["arms"].items()
        )
        under = f" under {', '.join(claim['under'])}" if claim["under"] else ""
        metric = metric_name(claim["metric"])
        lines.append(f"- **{number}.** {claim['where']}. Mean {metric}{under}: {arms}.")
    left = [each for each in CLAIMS if str(each.number) not in page["claims"]]
    if left:
        lines += ["", "Not tested yet:", ""]
        lines += [f"- **{each.number}.** {each.text}: {each.published}." for each in left]
    return "\n".join([*lines, "", pages.measured(page)])


def _said(difference: Mapping[str, Any]) -> str:
    sign = " - " if difference["says"] == "more" else " beside "
    pair = f"{difference['first']}{sign}{difference['second']}"
    if difference["low"] is None:
        return f"{pair}: {100 * difference['value']:+.1f}"
    return (
        f"{pair}: {100 * difference['value']:+.1f} "
        f"({100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})"
    )


if __name__ == "__main__":
    main()
