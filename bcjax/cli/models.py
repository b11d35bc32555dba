"""List the networks that a config's model.name can ask for.

  bcjax models
  bcjax models --json

Parameters are those for 1,000 classes. FLOPs are those of one picture's logits at the published
size, a multiply-add of a convolution or dense layer counted as two. Pictures are normalised as
(x - mean) / std, where x is in 0..1.
"""

import json
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bcjax.cli.flags import JSON, Arguments

FLAGS = (JSON,)
_KEYS = ("input_size", "mean", "std", "stages", "options", "paper")


def run(arguments: Arguments) -> None:
    from bcjax.models import MODELS

    rows: list[dict[str, Any]] = [
        {"name": name, "parameters": info.parameters, "flops": 2 * info.macs}
        | {key: getattr(info, key) for key in _KEYS}
        for name, info in MODELS.items()
    ]
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
