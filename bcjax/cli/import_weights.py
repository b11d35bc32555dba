"""Turn published weights into the folder of a run, for bcjax evaluate, predict and model.weights.

  bcjax import-weights --model=resnet50 resnet50.pth --out=runs/imagenet
  bcjax import-weights --model=mobilenet_v2 --head=drop --classes=8 --out=runs/start FILE

FILE is a state dict of PyTorch (.pth, .safetensors), a file of Keras (.h5, .keras), an .npz, a
folder in the layout of Hugging Face, or the folder of a run. No code in it is executed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from bcjax import config as configs
from bcjax.cli.flags import Arguments, Flag
from bcjax.runtime import files, jax_settings
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.engine.weights import ImportedWeights

TAKES_WORDS = True
FLAGS = (
    Flag(
        "model",
        "The network; see bcjax models.",
        needed="Name the network that the weights are of, such as --model=resnet50.",
    ),
    Flag(
        "out",
        "The folder to make.",
        kind=Path,
        needed="Give the folder to make, such as --out=runs/imagenet.",
    ),
    Flag("head", "Whether the classifier is kept.", "keep", ("keep", "drop")),
    Flag("classes", "The number of classes, or a file with a class name in each line.", path=True),
    Flag("image_size", "Size of the pictures in pixels: 96, or 96,128; default: as published."),
    Flag("channels", "1: pictures are turned to grey.", "3", ("1", "3")),
    Flag("convention", "Whose arithmetic; default: the library's.", kind=("torch", "tf", "keras")),
)


@jax_settings.fixed()
def run(arguments: Arguments) -> None:
    if len(arguments.words) != 1:
        raise UserError("Give one file of weights, such as bcjax import-weights resnet50.pth.")
    names, count = _classes(arguments.classes)
    if arguments.head == "drop" and not count:
        raise UserError("Say how many classes the new classifier has, such as --classes=8.")
    from bcjax.engine import network, weights
    from bcjax.runtime import compilation

    compilation.use_cache()
    out = arguments.out
    network.check_free(out)
    config = configs.default()
    config.workdir = str(out)
    config.data.image_size = _size(arguments.image_size)
    config.model.name = arguments.model
    config.model.weights_head = arguments.head
    config.model.channels = int(arguments.channels)
    config.model.convention = arguments.convention
    imported = weights.read(Path(arguments.words[0]), config, count)
    numbers = tuple(str(number) for number in range(imported.outputs or count))
    classes = names or imported.classes or numbers
    weights.write(imported, out, classes)
    Console().print(_table(imported, classes, out))


def _size(text: str | None) -> int | tuple[int, int]:
    if text is None:
        return 0  # as published
    size = configs.parse("data.image_size", text, flag="--image_size")
    configs.check_argument("--image_size", size, like="data.image_size")
    return size


def _classes(value: str | None) -> tuple[tuple[str, ...], int]:
    """Returns the class names of --classes if it is a file, and their number."""
    if value is None:
        return (), 0
    if value.isdigit() and int(value) > 1:
        return (), int(value)
    path = files.user_path(value)
    if not path.is_file():
        raise UserError(f"--classes={value} is neither a number above 1 nor a file with names.")
    names = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    if len(set(names)) < max(2, len(names)):
        raise UserError(f"{path} does not name two or more different classes, one in each line.")
    return names, len(names)


def _table(imported: "ImportedWeights", classes: Sequence[str], out: Path) -> Table:
    config, origin = imported.config, imported.origin
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("read", f"{origin['tensors']} tensors from {origin['file']} ({origin['kind']})")
    table.add_row("names", origin["names"])
    table.add_row("network", f"{config.model.name}, {_options(config)}")
    kept = "kept" if imported.outputs else "new"
    table.add_row("classifier", f"{kept}: {len(classes)} classes, {', '.join(classes[:3])}, ...")
    for note in imported.notes:
        table.add_row("", note)
    cut = (
        f", {config.data.crop_fraction:g} of its shorter side" if config.data.crop_fraction else ""
    )
    size = configs.ImageSize.of(config.data.image_size)
    table.add_row("pictures", f"{size} px, {config.data.resize or 'squash'}{cut}")
    table.add_row("written to", str(out))
    return table


def _options(config: ConfigDict) -> str:
    """Returns the options of the network that the weights set."""
    options = {"convention": config.model.convention, "norm": config.model.norm}
    return ", ".join(f"{key} {value or 'as published'}" for key, value in options.items())
