"""List the networks that a config's model.name can ask for.

  bcjax models
  bcjax models --json

Parameters are those for 1,000 classes. FLOPs are those of one picture's logits at the published
size, a multiply-add of a convolution or dense layer counted as two. Pictures are normalised as
(x - mean) / std, where x is in 0..1.
"""

import json
from typing import Any

from absl import flags
from rich import box
from rich.console import Console
from rich.table import Table

from bcjax.runtime.errors import UserError


def define(values: flags.FlagValues, argv: list[str]) -> None:
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.", flag_values=values)


def run(values: flags.FlagValues, positional: list[str]) -> None:
    if positional:
        raise UserError(f"bcjax models takes flags only, not {positional[0]!r}.")
    rows = _rows()
    if values.json:
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


def _rows() -> list[dict[str, Any]]:
    # Imported here, because flax takes a second: a mistake in the flags should show before that.
    from bcjax.models import MODELS

    return [
        {
            "name": name,
            "parameters": info.parameters,
            "flops": 2 * info.macs,
            "input_size": info.input_size,
            "mean": info.mean,
            "std": info.std,
            "stages": info.stages,
            "options": info.options,
            "paper": info.paper,
        }
        for name, info in MODELS.items()
    ]
