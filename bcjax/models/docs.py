"""The page docs/networks.md, written from the table: `python -m bcjax.models.docs`."""

import re
from pathlib import Path

from bcjax.models.table import BUILT_IN, MODELS

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"

_HEAD = """\
# All networks

<!-- Written by `python -m bcjax.models.docs` from bcjax/models/table.py; edit that. -->

`model.name` takes each of these names, and `bcjax models` lists them in the terminal. `bcjax models
NAME` shows one of them stage by stage, and `--diagram=figure.pdf` draws it. How the weights of
other libraries are loaded is told in [Networks and weights](weights.md).

- Parameters are those for 1,000 classes.
- GFLOPs (10⁹ floating-point operations) are those of the logits of one RGB picture of the published
  size; a multiply-add counts as two.
- A picture is normalised as (x - mean) / std, with x in 0..1, unless the config or the weights say
  otherwise.
"""


def render() -> str:
    """Returns the page as Markdown."""
    rows = [
        "| name | parameters | GFLOPs | size | mean | std | paper |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for name in BUILT_IN:
        info = MODELS[name]
        cells = (
            f"`{name}`",
            f"{info.parameters:,}",
            f"{2 * info.macs / 1e9:.3g}",
            f"{info.input_size} px",
            _triple(info.mean),
            _triple(info.std),
            re.sub(r"\b(\d{4}\.\d{4,5})\b", r"[arXiv:\1](https://arxiv.org/abs/\1)", info.paper),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return _HEAD + "\n" + "\n".join(rows) + "\n"


def _triple(values: tuple[float, ...]) -> str:
    """Returns one number if all channels have the same."""
    return ", ".join(f"{value:.3g}" for value in dict.fromkeys(values))


if __name__ == "__main__":
    PAGE.write_text(render())
