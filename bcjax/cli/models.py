"""List the networks that a config's model.name can ask for, or show one of them, stage by stage.

  bcjax models
  bcjax models --json
  bcjax models resnet18
  bcjax models resnet18 --diagram
  bcjax models resnet18 --diagram=figure.pdf

Parameters are those for 1,000 classes. FLOPs are those of one picture's logits at the published
size, a multiply-add of a convolution or dense layer counted as two. Pictures are normalised as
(x - mean) / std, where x is in 0..1. The diagram is drawn as SVG, PDF or PNG, by the ending of the
file; without a name it is NAME.svg in the folder where you are.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from bcjax.cli.flags import JSON, Arguments, Flag
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.models.stages import Stage

TAKES_WORDS = True
FLAGS = (
    JSON,
    Flag(
        "diagram",
        "Draw the network that is named; a file that ends in .svg, .pdf or .png may follow.",
        alone=True,
        path=True,
    ),
)
_KEYS = ("input_size", "mean", "std", "stages", "options", "paper")
_CLASSES = 1000  # as the table counts


def run(arguments: Arguments) -> None:
    from bcjax.models import MODELS

    names = arguments.words
    if len(names) > 1:
        raise UserError(f"One network is shown at a time: these are {', '.join(names)}.")
    if arguments.diagram and not names:
        raise UserError("Name the network to draw, such as bcjax models resnet18 --diagram.")
    if names:
        _show(names[0], arguments)
        return
    rows: list[dict[str, Any]] = [_row(name) for name in MODELS]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for heading in ("parameters", "GFLOPs", "size", "mean", "std"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("paper")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['parameters']:,}",
            f"{row['flops'] / 1e9:.3g}",
            str(row["input_size"]),
            *(" ".join(f"{x:.3f}".lstrip("0") for x in row[key]) for key in ("mean", "std")),
            row["paper"],
        )
    # One line for each network, however narrow the terminal: it scrolls, or is piped to grep.
    Console(width=220).print(table, highlight=False)


def _row(name: str) -> dict[str, Any]:
    from bcjax.models import MODELS

    info = MODELS[name]
    row = {"name": name, "parameters": info.parameters, "flops": 2 * info.macs}
    return row | {key: getattr(info, key) for key in _KEYS}


def _show(name: str, arguments: Arguments) -> None:
    """Prints the stages of a network, and draws them where that is asked for."""
    from bcjax.config import ImageSize
    from bcjax.models import MODELS, create
    from bcjax.models.stages import stages

    model = create(name, classes=_CLASSES)
    info = MODELS[name]
    found = stages(model, ImageSize.of(info.input_size))
    if arguments.json:
        print(json.dumps(_row(name) | {"layout": [vars(stage) for stage in found]}, indent=2))
    else:
        Console(width=120).print(_stages_table(name, found), highlight=False)
    if arguments.diagram:
        from bcjax.reports import network_diagram

        alone = arguments.diagram == "true"
        path = Path(f"{name}.svg") if alone else files.user_path(arguments.diagram)
        picture = (info.input_size, info.input_size, 3)
        network_diagram.write(network_diagram.chart(found, picture, name), path)
        if not arguments.json:
            print(f"written to {path}")


def _stages_table(name: str, found: "tuple[Stage, ...]") -> Table:
    from bcjax.reports.network_diagram import layers_in_words, shape_in_words

    table = Table(title=name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("stage", "layers", "output", "parameters"):
        table.add_column(heading, justify="left" if heading in ("stage", "layers") else "right")
    for stage in found:
        shape, parameters = shape_in_words(stage.shape), f"{stage.parameters:,}"
        table.add_row(stage.name, layers_in_words(stage), shape, parameters)
    table.add_section()
    table.add_row("all", "", "", f"{sum(stage.parameters for stage in found):,}")
    return table
