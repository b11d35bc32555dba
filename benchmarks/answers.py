"""What trained runs answer to further questions: calibration, corruptions, other laboratories.

    python benchmarks/answers.py --runs=runs --out=benchmarks/results/answers.json

The commands in `QUESTIONS` and `elsewhere` have been given to the runs that `runs.py` names; this
reads what they wrote.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import page as pages
from runs import WEIGHTS

# Runs before another laboratory's pictures, and how these are normalised.
ABROAD = "../shared/data/wbc_jtsc"
ELSEWHERE = (("transfer", "none"), ("transfer", "reinhard"), ("transfer", "macenko"), ("pbc96", ""))
REFERENCE = "../shared/data/pbc96/neutrophil/BNE_100878.jpg"


class Question(NamedTuple):
    """A question, and how its answer is said.

    Attributes:
      said: From what is kept, what was asked and what was answered.
      file: That the commands write, in the folder of the runs.
      kept: What is kept of it.
      commands: The last one writes the file.
    """

    said: Callable[[dict], tuple[str, str]]
    file: str
    kept: Callable[[dict], dict]
    commands: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = pages.begin() | {
        "questions": {each.said.__name__: read(each, options.runs) for each in QUESTIONS},
        "elsewhere": [elsewhere(run, stain, options.runs) for run, stain in ELSEWHERE],
    }
    pages.write(page, options.out)
    print(table(page))


def read(question: Question, runs: Path) -> dict:
    """What is kept of an answer, and the commands."""
    (path,) = runs.glob(question.file)
    return {"commands": question.commands, **question.kept(json.loads(path.read_text()))}


def only(whole: dict, *keys: str) -> dict:
    return {key: whole[key] for key in keys}


def elsewhere(run: str, stain: str, runs: Path) -> dict:
    """What a run answers to another laboratory's pictures."""
    (path,) = runs.glob(f"{run}/eval/{Path(ABROAD).name}-all{stain and f'-{stain}'}.json")
    command = f"bcjax evaluate --workdir=runs/{run} --data.source={ABROAD}"
    if stain:
        command += f" --data.stain={stain}"
    if stain not in ("", "none"):
        command += f" --data.stain_reference={REFERENCE}"
    there = json.loads(path.read_text())["laboratory"]
    return {
        "commands": (command,),
        "run": run,
        "stain": there["stain"].split()[0],  # its reference is in the command
        **only(there, "classes", "n", "open", "closed", "home", "drop"),
    }


def table(page: dict) -> str:
    """The page as two Markdown tables: the questions, and the other laboratory."""
    lines = ["| asked | answered |", "|---|---|"]
    for each in QUESTIONS:
        lines.append(f"| {' | '.join(each.said(page['questions'][each.said.__name__]))} |")
    lines += [
        "",
        f"Of the pictures of `{Path(ABROAD).name}`, another laboratory's, whose classes are among "
        "their own:",
        "",
        "| run | stain | accuracy, all classes | drop from home, points | asked among the shared "
        "| drop, points | balanced, among the shared |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in page["elsewhere"]:
        cells = [each["run"], each["stain"]]
        for way in ("open", "closed"):
            cells += [share(each[way]["accuracy"]), points(each["drop"][way]["accuracy"])]
        cells.append(f"{each['closed']['balanced_accuracy']['value']:.1%}")
        lines.append(f"| {' | '.join(cells)} |")
    kept = [*page["questions"].values(), *page["elsewhere"]]
    commands = pages.shell(command for each in kept for command in each["commands"])
    read = f"Read by `{page['command']}`, {pages.on(page['about'])}."
    return "\n".join([*lines, "", commands, "", read])


def share(figure: dict) -> str:
    """'97.1% (95.7% - 98.1%)'."""
    return f"{figure['value']:.1%} ({figure['low']:.1%} - {figure['high']:.1%})"


def points(figure: dict) -> str:
    """'48.1 (42.0 - 53.6)', of a difference of shares."""
    value, low, high = (100 * figure[key] for key in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} - {high:.1f})"


def imported(kept: dict) -> tuple[str, str]:
    return (
        f"MobileNetV2, published ImageNet weights as imported: top-1 of {kept['n']} pictures",
        share(kept["accuracy"]),
    )


def compared(kept: dict) -> tuple[str, str]:
    (test,) = kept["tests"]
    lost = test["difference"]
    won = {"value": -lost["value"], "low": -lost["high"], "high": -lost["low"]}
    return (
        f"what published weights win over none, {kept['n']} test pictures: points of accuracy",
        f"{points(won)}, McNemar p = {test['mcnemar']['p']:.0e}",
    )


def calibrated(kept: dict) -> tuple[str, str]:
    loss, error = kept["log_loss"], kept["ece"]
    return (
        f"ELU CNN's confidence on {kept['n']:,} test pictures, calibrated on val: log loss, ECE; "
        f"sets asked to hold the true class in {kept['coverage']:.0%}",
        f"{loss['raw']:.3f} to {loss['scaled']:.3f}, {error['raw']:.3f} to "
        f"{error['scaled']:.3f}; {share(kept['measured'])} do",
    )


def told_apart(kept: dict) -> tuple[str, str]:
    return (
        f"{kept['n']} everyday pictures told from {kept['n_held']:,} cells: AUROC",
        f"by distance {kept['distance']['auroc']:.4f}, by energy {kept['energy']['auroc']:.3f}",
    )


def corrupted(kept: dict) -> tuple[str, str]:
    means = kept["corruptions"]
    least = min(means, key=lambda name: means[name]["value"])
    return (
        f"fine-tuned MobileNetV2 under {len(means)} corruptions, {len(kept['severities'])} "
        "severities each: balanced accuracy",
        f"{kept['clean']['value']:.1%} clean, {share(kept['mean'])} on average, "
        f"{means[least]['value']:.1%} under {least}",
    )


def explained(kept: dict) -> tuple[str, str]:
    where = kept["localisation"]
    methods = sorted(kept["methods"], key=lambda method: -where[method]["energy"])
    return (
        f"maps on {where['n']} drawings whose cell is {where['area']:.1%} of the picture: share "
        "of the map on the cell, and how often its maximum is",
        "; ".join(
            f"{method} {where[method]['energy']:.0%}, {where[method]['pointing']:.0%}"
            for method in methods
        ),
    )


def balanced(page: dict) -> dict:
    """What is kept of the corruptions: balanced accuracies, the means over the severities."""
    score = "balanced_accuracy"
    return {
        **only(page, "n", "severities"),
        "clean": page["clean"][score],
        "mean": page["mean"][score],
        "corruptions": {each["name"]: each["mean"][score] for each in page["corruptions"]},
    }


CALIBRATE = "bcjax calibrate --workdir=runs/pbc96 --not-cells=../shared/data/imagenet_sample"
QUESTIONS = (
    Question(
        imported,
        "imagenet/eval/*-all.json",
        lambda page: {"n": page["n"], "accuracy": page["metrics"]["accuracy"]},
        (
            f"bcjax import-weights --model=mobilenet_v2 {WEIGHTS} --out=runs/imagenet --head=keep",
            "bcjax evaluate --workdir=runs/imagenet --data.source=SAMPLE.csv",
        ),
    ),
    Question(
        compared,
        "compare/compare.json",
        lambda page: only(page, "n", "tests"),
        ("bcjax compare runs/transfer runs/scratch --out=runs/compare",),
    ),
    Question(
        calibrated,
        "pbc96/eval/test.json",
        lambda page: {
            **only(page["calibration"], "n", "temperature", "log_loss", "ece"),
            **only(page["calibration"]["conformal"], "coverage", "measured"),
        },
        (CALIBRATE, "bcjax evaluate --workdir=runs/pbc96"),
    ),
    Question(
        told_apart,
        "pbc96/calibration/*.json",
        lambda page: page["not_cells"],
        (CALIBRATE,),
    ),
    Question(
        corrupted,
        "transfer/eval/test-corruptions.json",
        balanced,
        ("bcjax evaluate --workdir=runs/transfer --corruptions",),
    ),
    Question(
        explained,
        "quickstart/explain/explain.json",
        lambda page: only(page, "methods", "localisation"),
        ("bcjax explain --workdir=runs/quickstart --nowrong --pictures=100 --target=true",),
    ),
)


if __name__ == "__main__":
    main()
