"""Compares bcjax's networks with PyTorch's libraries, through bcjax's own importer.

  python benchmarks/parity.py --peers=PEER/bin/python --out=parity.json

PEER is an environment with torch, timm, torchvision and transformers. For each network it draws
random parameters and random batch statistics, saves them as the library's users do, and answers
pictures of two sizes, an odd one among them; bcjax reads the file and answers the same pictures.
For some it takes one step of SGD, and bcjax takes it too.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import page as pages
import programs
from flax import traverse_util

from bcjax import config as configs
from bcjax.engine import network, weights
from bcjax.engine import state as states
from bcjax.engine.dispatch import Hyperparameters
from bcjax.engine.step import Recipe, train_step

PEER = Path(__file__).with_name("peer.py")

# By the libraries' names of networks, ours.
ANSWERS = {
    "timm resnet18": "resnet18",
    "timm resnet50": "resnet50",
    "torchvision resnet50": "resnet50",
    "transformers resnet18": "resnet18",
    "transformers resnet50": "resnet50",
    "timm convnext_atto": "convnext_atto",
    "timm convnext_tiny": "convnext_tiny",
    "timm convnext_base": "convnext_base",
    "torchvision convnext_tiny": "convnext_tiny",
    "transformers convnext_tiny": "convnext_tiny",
    "timm efficientnet_b0": "efficientnet_b0",
    "timm tf_efficientnet_b0": "efficientnet_b0",
    "timm tf_efficientnet_lite0": "efficientnet_lite0",
    "torchvision efficientnet_b0": "efficientnet_b0",
    "transformers efficientnet_b0": "efficientnet_b0",
    "timm mobilenetv2_100": "mobilenet_v2",
    "torchvision mobilenet_v2": "mobilenet_v2",
    "transformers mobilenet_v2": "mobilenet_v2",
    "timm mobilenetv1_100": "mobilenet_v1",
    "transformers mobilenet_v1": "mobilenet_v1",
    "torchvision alexnet": "alexnet",
    "torchvision vgg11": "vgg11",
    "timm vgg11_bn": "vgg11_bn",
    "torchvision vgg13_bn": "vgg13_bn",
    "torchvision vgg16": "vgg16",
    "torchvision vgg19": "vgg19",
    "torchvision googlenet": "googlenet",
    "timm deit_tiny_patch16_224": "vit_tiny",
    "timm deit_small_patch16_224": "vit_small",
    "timm deit_base_patch16_224": "vit_base",
    "transformers vit_tiny": "vit_tiny",
}
# Where a library departs from the network whose weights it carries.
APART = {
    ("transformers efficientnet_b0", "logits at 75 px"): "transformers pads EfficientNet for even "
    "sides, whatever they are, where TensorFlow, Keras and timm look at the side.",
}
STEPS = {"timm resnet18": "resnet18", "timm convnext_atto": "convnext_atto"}
LIBRARIES = ("torch", "timm", "torchvision", "transformers")
SIZES = (64, 75)
# Timm's transformers take whole patches alone; those of transformers interpolate the positions for
# other sizes without a filter, where timm and bcjax have one.
OTHER_SIZES = {"_patch16_": (64, 96), "transformers vit": (224,)}
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      peer: Library and its name of the network.
      name: Ours.
      what: "logits at 75 px", ...
      error: The largest difference, relative to the largest number compared with.
    """

    peer: str
    name: str
    what: str
    error: float


def sizes(peer: str) -> tuple[int, ...]:
    """Returns the sides of the pictures that a peer's network takes."""
    return next((of for part, of in OTHER_SIZES.items() if part in peer), SIZES)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference between two arrays, relative to the largest number in the second."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def read(folder: Path, name: str) -> weights.ImportedWeights:
    """Imports what a peer saved."""
    config = configs.default()
    config.model.name, config.model.weights_head, config.data.image_size = name, "keep", SIZES[0]
    file = folder / "weights.pth"
    return weights.read(file if file.exists() else folder, config)


def answers(peer: str, name: str, folder: Path) -> Iterator[Row]:
    """Compares the logits."""
    imported = read(folder, name)
    model = network.build(imported.config, imported.outputs)
    told = np.load(folder / "told.npz")
    answer = jax.jit(lambda images: model.apply(imported.variables, images, train=False))
    for size in sizes(peer):
        ours = answer(told[f"images_{size}"].astype(np.float32) / 255)
        yield Row(peer, name, f"logits at {size} px", relative(ours, told[f"logits_{size}"]))


def steps_of_sgd(peer: str, name: str, folder: Path) -> Iterator[Row]:
    """Compares the weights after one step, each tensor with its own largest number."""
    before, after = read(folder, name), read(folder / "after", name)
    told = np.load(folder / "told.npz")
    model = network.build(before.config, before.outputs)
    optimizer = optax.sgd(float(told["rate"]))
    params = before.variables["params"]
    state = dataclasses.replace(  # as it begins, with these weights
        states.initializer(model, before.config)(0),
        params=params,
        batch_stats=before.variables["batch_stats"],
        opt_state=optimizer.init(params),
    )
    batch = {
        "image": told["images"],
        "label": told["labels"].astype(np.int32),
        "index": np.arange(len(told["labels"]), dtype=np.int32),
    }
    recipe = Recipe(mean=(0.0,) * 3, std=(1.0,) * 3)
    step = jax.jit(train_step(model, optimizer, recipe))
    stepped, _ = step(state, batch, {}, Hyperparameters())
    ours = traverse_util.flatten_dict(jax.device_get(stepped.params))
    theirs = traverse_util.flatten_dict(after.variables["params"])
    error = max(relative(ours[path], theirs[path]) for path in theirs)
    yield Row(peer, name, "weights after a step of SGD", error)


def compared(python: str, chosen: str) -> Iterator[Row]:
    """Has the peer make each case, and compares it."""
    tasks: list[tuple[str, dict[str, str], Any, Callable[[str], tuple[int, ...]]]] = [
        ("answer", ANSWERS, answers, sizes),
        ("step", STEPS, steps_of_sgd, lambda peer: SIZES[:1]),
    ]
    for task, cases, compare, of in tasks:
        for peer, name in cases.items():
            if chosen not in peer:
                continue
            with tempfile.TemporaryDirectory() as folder:
                arguments = [python, PEER, task, peer, folder, *map(str, of(peer))]
                subprocess.run(arguments, check=True, capture_output=True)
                yield from compare(peer, name, Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="Python of the peers' environment.")
    parser.add_argument("--only", default="", help="Part of the peers' names.")
    parser.add_argument("--out", type=Path, required=True, help="Where the figures go.")
    asked = parser.parse_args()
    page = pages.begin(**programs.versions(asked.peers, LIBRARIES))
    page["rows"] = []
    for row in compared(asked.peers, asked.only):
        page["rows"].append(dataclasses.asdict(row))
        print(f"{row.peer}, {row.what}: {row.error:.1e}", file=sys.stderr)
    pages.write(page, asked.out)
    print(table(page))
    held = [row["error"] for row in page["rows"] if (row["peer"], row["what"]) not in APART]
    return int(not held or max(held) > TOLERANCE)


def table(page: dict) -> str:
    """The page as Markdown: a row for each network of a peer, a column for what is compared."""
    errors: dict[tuple[str, str], dict[str, str]] = {}
    for row in page["rows"]:
        names = row["peer"], row["name"]
        errors.setdefault(names, {})[row["what"]] = f"{row['error']:.0e}"
    what = list(dict.fromkeys(row["what"] for row in page["rows"]))
    lines = [f"| peer | network | {' | '.join(what)} |", "|---" * (2 + len(what)) + "|"]
    lines += [
        f"| {peer} | `{name}` | {' | '.join(found.get(each, '') for each in what)} |"
        for (peer, name), found in errors.items()
    ]
    apart = [
        f"{peer}, {each}: {why}"
        for (peer, each), why in APART.items()
        if any((row["peer"], row["what"]) == (peer, each) for row in page["rows"])
    ]
    return "\n".join([*lines, "", *apart, pages.measured(page)])


if __name__ == "__main__":
    sys.exit(main())
