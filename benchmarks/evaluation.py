"""What an evaluation and a report of many answers cost, beyond the network's own time.

    python benchmarks/evaluation.py --workdir=runs/a --out=evaluation.json

The answers of the run's test split, drawn with replacement until there are 13,000, each logit moved
by noise of its own: measured with every metric and 1,000 resamples, calibrated, and reported.
"""

import argparse
import dataclasses
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import page as pages

from bcjax.evaluation import answers, evaluation
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.evaluation import Evaluation
from bcjax.evaluation.evaluator import evaluate_answers
from bcjax.evaluation.guards.pictures import EvaluatedSplit
from bcjax.runtime.run_dir import RunDir

COUNT = 13_000
NOISE = 0.7  # deviation of what is added to each logit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="an evaluated run")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = pages.begin() | {"answers": COUNT} | measured(options.workdir)
    pages.write(page, options.out)
    print(table(page))


def table(page: dict) -> str:
    """The page as Markdown."""
    return "\n".join(
        [
            "| answers | every metric, 1,000 resamples, and calibration | the report | its size |",
            "|---|---|---|---|",
            f"| {page['answers']:,} | {page['evaluation_s']:.1f} s | {page['report_s']:.1f} s "
            f"| {page['report_mb']:.1f} MB |",
            "",
            pages.measured(page),
        ]
    )


def measured(workdir: Path) -> dict[str, float]:
    """Seconds of the evaluation and of the report, and the page's megabytes."""
    known = Evaluation.read(RunDir(workdir).evaluation("test"))
    many = drawn(answers.read(RunDir(workdir).answers("test")))
    calibration = calibrations.read(workdir, known.checkpoint)
    pictures = EvaluatedSplit("test", known.source, True, known.cautions, known.leaks)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(workdir, run, ignore=shutil.ignore_patterns("checkpoints"))
        began = time.perf_counter()
        result = evaluate_answers(
            many, pictures, known.checkpoint, resamples=1000, calibration=calibration
        )
        took = time.perf_counter() - began
        evaluation.write(result, many, run, "test")
        began = time.perf_counter()
        # In a process of its own, for a person pays for its imports, too.
        command = [sys.executable, "-m", "bcjax.main", "report", f"--workdir={run}"]
        subprocess.run(command, check=True, capture_output=True)
        return {
            "evaluation_s": round(took, 2),
            "report_s": round(time.perf_counter() - began, 2),
            "report_mb": round(RunDir(run).report.stat().st_size / 1e6, 2),
        }


def drawn(some: answers.Answers) -> answers.Answers:
    """As many as are asked for."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, some.n, COUNT)
    noise = rng.normal(0, NOISE, (COUNT, len(some.classes)))
    return dataclasses.replace(
        some,
        ids=tuple(some.ids[i] for i in chosen),
        groups=tuple(some.groups[i] for i in chosen),
        labels=some.labels[chosen],
        logits=(some.logits[chosen] + noise).astype(np.float32),
    )


if __name__ == "__main__":
    main()
