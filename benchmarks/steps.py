"""Whole training steps beside those of PyTorch (timm) and Keras 3 on JAX, in turns.

    python benchmarks/steps.py --peers=PEERS/bin/python --step=step.py --out=steps.json
    python benchmarks/steps.py --peers=PEERS/bin/python --step=step.py --out=steps.json \
        --size=224 --dtype=bf16 --compile --batches=128,256 --augment --keras-turns=0

`--peers` is a Python that has the other libraries; `--step` a script that times one of their steps
and prints a JSON line (`--lib`, `--model`, `--batch`, `--size`, `--dtype`, `--compile`, `--steps`).
Of several `--batches` each side keeps the one at which it is fastest. Each figure is the median
over the turns of the median over a turn's steps; a ratio is the median of the turns' ratios.

Forward, backward and AdamW on random pictures in device memory. Ours starts from uint8 and
normalises as well; with `--augment` it is also measured with flips, RandAugment and CutMix or
MixUp, beside theirs without. At the first turn nothing that was compiled before is at hand.
"""

import argparse
import dataclasses
import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import page as pages
import pictures
import programs
import turns
from programs import Answer, Deadline
from turns import Ask

# The network alone, as timm builds it unless it is told otherwise.
PLAIN = {"model.dropout": 0.0, "model.drop_path": 0.0, "train.label_smoothing": 0.0}
AUGMENTED = ("flip", "rand_augment(2, 9)", "one_of(mixup(0.2), cutmix(1.0))")
DTYPES = {"f32": "float32", "bf16": "bfloat16"}
# timm's and Keras's names of our networks; "": Keras has none.
PEERS = {
    "resnet18": ("resnet18", ""),
    "resnet50": ("resnet50", "ResNet50"),
    "convnext_tiny": ("convnext_tiny", "ConvNeXtTiny"),
    "convnext_large": ("convnext_large", "ConvNeXtLarge"),
    "efficientnet_b0": ("efficientnet_b0", "EfficientNetB0"),
    "mobilenet_v2": ("mobilenetv2_100", "MobileNetV2"),
}
FOUR = ("resnet50", "convnext_tiny", "efficientnet_b0", "mobilenet_v2")
TUNED = ("bcjax", "timm")
SIDES = {"timm": "PyTorch + timm", "keras": "Keras 3 on JAX"}  # beside ours


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all sides have in common, and how they are measured.

    Attributes:
      peers: Python with torch, timm and, unless `keras_turns` is 0, keras.
      step: The script that times a peer's step.
      size: Of a picture's sides, in pixels.
      dtype: "f32" or "bf16".
      batches: Pictures in a step; of several, each side keeps its fastest.
      compile: Whether PyTorch's network is compiled.
      augment: Whether ours is measured with augmentation as well.
      turns: Of each side.
      keras_turns: Of Keras.
      steps: Timed in a turn.
    """

    peers: str
    step: str
    size: int
    dtype: str
    batches: tuple[int, ...]
    compile: bool
    augment: bool
    turns: int
    keras_turns: int
    steps: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="Python with torch, timm and keras")
    parser.add_argument("--step", required=True, help="the script that times a peer's step")
    parser.add_argument("--networks", type=networks, default=FOUR, help=f"of {', '.join(PEERS)}")
    parser.add_argument("--batches", type=_numbers, default=(32,), help="each side keeps its best")
    parser.add_argument("--size", type=int, default=96, help="of a picture's sides, px")
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--compile", action="store_true", help="compile PyTorch's network")
    parser.add_argument("--augment", action="store_true", help="ours with augmentation as well")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--keras-turns", type=int, default=1, help="Keras takes minutes to compile")
    parser.add_argument("--steps", type=int, default=8, help="timed steps in a turn")
    parser.add_argument("--out", type=Path, required=True)
    options = vars(parser.parse_args())
    asked, out = options.pop("networks"), options.pop("out")
    setting = Setting(**options)

    page = pages.begin(**programs.versions(setting.peers, ("torch", "timm", "keras")))
    page |= {"setting": about(setting), "networks": []}
    with tempfile.TemporaryDirectory() as folder:
        for network in asked:
            page["networks"].append(compare(network, setting, Path(folder)))
            pages.write(page, out)
    print(table(page))


def about(setting: Setting) -> dict:
    """What a page says of its setting: all but whose programs they are."""
    kept = dataclasses.asdict(setting)
    return {key: value for key, value in kept.items() if key not in ("peers", "step")}


def compare(
    network: str, setting: Setting, folder: Path, deadline: Deadline = programs.NEVER
) -> dict:
    """Measures all sides in turns.

    Args:
      network: Our name.
      setting: How.
      folder: Empty, or of networks before: pictures and compiled programs are kept there.
      deadline: The first batch and the first turn are measured whatever its `begin`.

    Returns:
      A row: medians, ratios, and the raw figures that they come from.

    Raises:
      FailedError: If a side can be measured at no batch, or the time is up in the first turn.
    """

    def ask(side: str, batch: int) -> Ask:
        return functools.partial(_measure, network, setting, folder, deadline, side, batch)

    print(network, file=sys.stderr)
    options = {side: {batch: ask(side, batch) for batch in setting.batches} for side in TUNED}
    trials = turns.trials(options, deadline)
    batches = {side: turns.best(tried) for side, tried in trials.items()}
    known = {side: tried[batches[side]] for side, tried in trials.items()}
    if setting.augment:
        batches["augmented"] = batches["bcjax"]
    if setting.keras_turns and PEERS[network][1]:
        batches["keras"] = batches["bcjax"]
    asks = {side: ask(side, batch) for side, batch in batches.items()}
    taken = turns.take(asks, setting.turns, known, deadline, keras=setting.keras_turns)
    return {
        "network": network,
        "batch": batches,
        "images_per_s": {side: turns.median(taken, side) for side in batches},
        "over": {
            other: {
                side: turns.ratio(taken, side, other)
                for side in ("bcjax", "augmented")
                if side in batches
            }
            for other in SIDES
            if other in batches
        },
        "roof": taken[0]["bcjax"].get("roof"),
        "share_of_roof": turns.median(taken, "bcjax", "share_of_roof"),
        "trials": trials,
        "turns": taken,
    }


def _measure(
    network: str, setting: Setting, folder: Path, deadline: Deadline, side: str, batch: int
) -> Answer:
    """One side's answer."""
    command = (
        _theirs(network, setting, side, batch)
        if side in SIDES
        else _ours(network, setting, folder, batch, AUGMENTED if side == "augmented" else ())
    )
    caches = {
        "BCJAX_CACHE": str(folder / "bcjax"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "torch"),
    }
    return programs.timed(command, caches, deadline, part="" if side in SIDES else "step")


def _ours(
    network: str, setting: Setting, folder: Path, batch: int, ops: tuple[str, ...]
) -> list[str]:
    count = max(setting.batches)
    source = folder / f"random_{setting.size}_{count}.npz"
    if not source.exists():
        pictures.write(source, setting.size, train=count, held=pictures.CLASSES)
    settings = PLAIN | {
        "model.name": network,
        "model.dtype": DTYPES[setting.dtype],
        "train.batch_size": batch,
        "train.length": "10000 steps",
        "train.steps_per_call": 1,  # as theirs
        "data.source": source,
        "data.image_size": setting.size,
        "data.store": "device",
        "augment.ops": ops,
    }
    flags = ("--what=step", "--json", f"--steps={setting.steps}")
    return programs.bcjax("benchmark", "resnet50.py", settings, *flags)


def _theirs(network: str, setting: Setting, library: str, batch: int) -> list[str]:
    name = dict(zip(SIDES, PEERS[network], strict=True))[library]
    settings = {
        "lib": library, "model": name, "batch": batch, "size": setting.size,
        "dtype": setting.dtype, "steps": setting.steps,
    }  # fmt: skip
    flags = [f"--{key}={value}" for key, value in settings.items()]
    return [setting.peers, setting.step, *flags, *["--compile"] * setting.compile]


def table(page: dict) -> str:
    """Returns the page as Markdown."""
    setting, rows = page["setting"], page["networks"]
    return f"{markdown(rows)}\n\n{said(setting, rows)} {pages.measured(page)}"


def markdown(rows: list[dict]) -> str:
    """The rows as a table; a side that none of them has is no column."""
    sides = {side for row in rows for side in row["batch"]}
    columns: dict[str, Callable[[dict], str]] = {
        "network": lambda row: row["network"],
        "batch (ours, timm's)": lambda row: _pair(row["batch"], "d"),
        "bcjax": lambda row: _rate(row, "bcjax"),
    }
    if "augmented" in sides:
        columns["bcjax, augmenting"] = lambda row: _rate(row, "augmented")
    for other, name in SIDES.items():
        if other not in sides:
            continue
        columns[name] = functools.partial(_rate, side=other)
        columns[f"bcjax over {other}"] = functools.partial(_ratio, side="bcjax", other=other)
        if "augmented" in sides:
            heading = f"augmenting over {other}"
            columns[heading] = functools.partial(_ratio, side="augmented", other=other)
    columns["bcjax of its roof"] = _roof
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def said(setting: dict, rows: list[dict]) -> str:
    """What a table's figures are."""
    counts = sorted({len(row["turns"]) for row in rows})
    fewer = max((sum("keras" in turn for turn in row["turns"]) for row in rows), default=0)
    keras = f" (Keras: of {fewer})" * (0 < fewer < min(counts, default=0))
    compiled = ", timm's network compiled" * setting["compile"]
    return (
        f"Whole training steps in images/s, {setting['size']} px, {DTYPES[setting['dtype']]}, AdamW"
        f"{compiled}; medians of {' or '.join(map(str, counts))} turns{keras}."
    )


def _rate(row: dict, side: str) -> str:
    rate = row["images_per_s"].get(side)
    return "" if rate is None else f"{rate:,.{0 if rate >= 100 else 1}f}"


def _ratio(row: dict, side: str, other: str) -> str:
    return f"{row['over'][other][side]:.2f}" if other in row["over"] else ""


def _roof(row: dict) -> str:
    return f"{row['share_of_roof']:.0%} ({row['roof']})" if row["roof"] else ""


def _pair(values: dict, form: str) -> str:
    return f"{values['bcjax']:{form}}, {values['timm']:{form}}"


def networks(text: str) -> tuple[str, ...]:
    """Reads names of networks from the command line."""
    words = tuple(text.split(","))
    if unknown := set(words) - set(PEERS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return words


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    main()
