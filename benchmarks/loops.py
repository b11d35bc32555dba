"""The whole training loop with augmentation, from files, beside PyTorch's, in turns.

    python benchmarks/loops.py --peers=PEERS/bin/python --step=step.py --data=DATA --out=loops.json

`--peers` is a Python that has torch, torchvision and timm; in the folder of `--step` is what they
need to be imported. `--data` is a folder of class folders, of which some pictures are taken. Both
sides decode their files again and again, flip them, apply RandAugment and MixUp or CutMix, and take
whole steps: ours as `bcjax train` does with the disk store, theirs with timm, torchvision and a
DataLoader, whose best number of workers is kept. Each figure is the median over the turns, and a
ratio the median of the turns' ratios.
"""

import argparse
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import page as pages
import programs
import turns
from programs import Answer
from steps import AUGMENTED, FOUR, PEERS, PLAIN, networks

WORKERS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="Python with torch, torchvision and timm")
    parser.add_argument("--step", type=Path, required=True, help="the script that steps.py takes")
    parser.add_argument("--data", type=Path, required=True, help="a folder of class folders")
    parser.add_argument("--pictures", type=int, default=200, help="taken of each class")
    parser.add_argument("--networks", type=networks, default=FOUR)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=96, help="of a picture's sides, px")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="timed steps in a turn")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    page = pages.begin(**programs.versions(options.peers, ("torch", "torchvision", "timm")))
    kept = ("pictures", "batch", "size", "turns", "steps")
    page |= {"setting": {key: getattr(options, key) for key in kept}, "networks": []}
    with tempfile.TemporaryDirectory() as folder:
        some(options.data, options.pictures, Path(folder) / "pictures")
        for network in options.networks:
            page["networks"].append(compare(network, options, Path(folder)))
            pages.write(page, options.out)
    print(table(page))


def some(data: Path, count: int, out: Path) -> None:
    """Copies the first `count` pictures of each class."""
    for kind in sorted(path for path in data.iterdir() if path.is_dir()):
        (out / kind.name).mkdir(parents=True)
        for path in sorted(kind.iterdir())[:count]:
            shutil.copy(path, out / kind.name)


def compare(network: str, options: argparse.Namespace, folder: Path) -> dict:
    """Returns a row: medians, their ratio, and the raw figures that they come from."""
    print(network, file=sys.stderr)

    def theirs(workers: int) -> Answer:
        settings = {
            "model": PEERS[network][0], "data": folder / "pictures", "size": options.size,
            "batch": options.batch, "workers": workers, "steps": options.steps,
        }  # fmt: skip
        script = str(Path(__file__).with_name("loops_peer.py"))
        flags = [f"--{key}={value}" for key, value in settings.items()]
        beside = options.step.absolute().parent
        found = {"PYTHONPATH": f"{beside}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        return programs.timed([options.peers, script, *flags], found)

    def ours() -> Answer:
        settings = PLAIN | {
            "model.name": network,
            "train.batch_size": options.batch,
            "data.source": folder / "pictures",
            "data.drop": ("conflicts",),
            "data.image_size": options.size,
            "data.store": "disk",
            "augment.ops": AUGMENTED,
        }
        flags = ("--what=train", "--evaluations=0", "--json", f"--steps={options.steps}")
        command = programs.bcjax("benchmark", "resnet50.py", settings, *flags, "--repeats=1")
        cache = {"BCJAX_CACHE": str(folder / "bcjax")}
        return programs.timed(command, cache, part="train")

    tried = turns.trials({"timm": {n: functools.partial(theirs, n) for n in WORKERS}})["timm"]
    workers = turns.best(tried)
    asks = {"bcjax": ours, "timm": functools.partial(theirs, workers)}
    taken = turns.take(asks, options.turns)
    return {
        "network": network,
        "images_per_s": {side: turns.median(taken, side) for side in asks},
        "over_timm": turns.ratio(taken, "bcjax", "timm"),
        "share_of_bare_step": turns.median(taken, "bcjax", "share_of_bare_step"),
        "workers": workers,
        "trials": tried,
        "turns": taken,
    }


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    setting = page["setting"]
    lines = [
        "| network | bcjax | of its bare step | PyTorch + timm | its workers | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in page["networks"]:
        rates = row["images_per_s"]
        lines.append(
            f"| {row['network']} | {rates['bcjax']:.1f} | {row['share_of_bare_step']:.0%} "
            f"| {rates['timm']:.1f} | {row['workers']} | {row['over_timm']:.2f} |"
        )
    said = (
        f"Whole loops in images/s: {setting['batch']} JPEG files of {setting['size']} px decoded, "
        "flipped, augmented (RandAugment, MixUp or CutMix) and trained on, float32, AdamW; medians "
        f"of {setting['turns']} turns. {pages.measured(page)}"
    )
    return "\n".join([*lines, "", said])


if __name__ == "__main__":
    main()
