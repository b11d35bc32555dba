"""What runs on real pictures came to, from the files that they left.

    python benchmarks/runs.py --runs=runs --out=benchmarks/results/runs.json

Each command in `TRAINED` has been given, and its run is in a folder of `--runs`. A run whose
config.json is not what its command describes is refused.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import page as pages

from bcjax import config as configs
from bcjax.cli import flags, train
from bcjax.runtime.run_dir import RunDir

WEIGHTS = "../shared/weights/mobilenetv2_1.0_224_imagenet.npz"
TRAINED = (
    "bcjax train --config=configs/elu_cnn.py --config.data.source=../shared/data/pbc96 "
    "--config.data.drop=conflicts --workdir=runs/pbc96",
    "bcjax train --config=configs/transfer.py --config.data.source=../shared/data/pbc3200 "
    f"--config.model.weights={WEIGHTS} --workdir=runs/transfer",
    "bcjax train --config=configs/transfer.py:scratch "
    "--config.data.source=../shared/data/pbc3200 --workdir=runs/scratch",
)
# What a run decides when it starts, where its command leaves it open.
DECIDED = ("data.classes", "data.crop_fraction", "data.resize", "model.convention", "model.mean")
DECIDED += ("model.norm", "model.std")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = pages.begin() | {"runs": [row(command, options.runs) for command in TRAINED]}
    pages.write(page, options.out)
    print(table(page))


def row(command: str, runs: Path) -> dict:
    """One run: what it was trained on, for how long, on what, and how well it answers the test."""
    asked = described(command)
    workdir = runs / Path(asked.workdir).name
    config = configs.load(workdir)
    if apart := differing(asked, config):
        sys.exit(f"{workdir} was not made by {command}: {', '.join(apart)}")
    run_dir = RunDir(workdir)
    result = json.loads(run_dir.evaluation("test").read_text())
    lines = run_dir.sessions.read_text().splitlines()
    sessions = [json.loads(line) for line in lines]
    last = sessions[-1]
    counts = json.loads(run_dir.pictures.read_text())["counts"]
    return {
        "name": workdir.name,
        "command": command,
        "about": {
            "date": last["began"][:10],
            "device": last["device"],
            "devices": last["devices"],
            "processor": last["host"]["cpu"],
            "cores": last["host"]["cores"],
            "versions": last["versions"],
        },
        "source": Path(config.data.source).name,
        "network": config.model.name,
        "weights": Path(config.model.weights or "").name,
        "image_size": config.data.image_size,
        "classes": len(result["classes"]),
        "train": sum(counts["train"]),
        "steps": last["last_step"],
        "seconds": sum(session["seconds"] for session in sessions),
        "accuracy": result["metrics"]["accuracy"],
    }


def described(command: str) -> configs.ConfigDict:
    """The config that a command line of `bcjax train` describes."""
    arguments = flags.parse(train, "train", shlex.split(command)[2:])
    assert arguments, command
    config = flags.read_config(arguments)
    config.workdir = str(arguments.workdir or Path(arguments.config.partition(":")[0]).stem)
    return config


def differing(asked: configs.ConfigDict, run: configs.ConfigDict) -> list[str]:
    """Keys in which a run is not what was asked, but for what was left to it and for folders."""
    there = configs.flatten(run)
    return [
        key
        for key, value in configs.flatten(asked).items()
        if key != "workdir"
        and value != there[key]
        and not (not value and key in DECIDED)
        and not (isinstance(value, str) and Path(value).name == Path(there[key] or "").name)
    ]


def table(page: dict) -> str:
    """The page as Markdown."""
    lines = [
        "| run | network | trained on, pictures | steps | time | test accuracy, 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for each in page["runs"]:
        right, start = each["accuracy"], ", published weights" * bool(each["weights"])
        lines.append(
            f"| {each['name']} | {each['network']}{start} "
            f"| {each['train']:,} of `{each['source']}`, {each['image_size']} px, "
            f"{each['classes']} classes | {each['steps']:,} | {each['seconds'] / 60:.0f} min "
            f"| {right['value']:.1%} ({right['low']:.1%} - {right['high']:.1%}) of {right['n']:,} |"
        )
    commands = pages.shell(each["command"] for each in page["runs"])
    on = "; ".join(dict.fromkeys(pages.on(each["about"]) for each in page["runs"]))
    return "\n".join([*lines, "", commands, "", f"Trained on {on}; read by `{page['command']}`."])


if __name__ == "__main__":
    main()
