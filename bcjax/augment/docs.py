"""The page docs/augmentations.md, written from the table: `python -m bcjax.augment.docs`."""

import inspect
import re
from pathlib import Path

from bcjax.augment import cell_mask, colour, erase, filters, geometry
from bcjax.augment.op import Argument, Draw, Op
from bcjax.augment.table import PAPER_OPS

PAGE = Path(__file__).parents[2] / "docs" / "augmentations.md"

_HEAD = """\
# All augmentations

<!-- Written by `python -m bcjax.augment.docs` from the tables in bcjax/augment; edit those. -->

Every operation that a line of `augment.ops` can name, as `name(magnitude, option=..., p=...)`.
[Augmentation](augmentation.md) explains how they are applied. `p` is the probability that a picture
gets the operation, 1 unless given.

The strength for one picture follows from the magnitude m in one of these ways:

- **±**: it is drawn evenly from -m to m;
- **up to**: it is drawn evenly from 0 to m;
- **exact**: it is m, and the operation draws what it needs;
- **blend**: it is m, the share of the result in a blend with the original picture.

The column RandAugment says whether `rand_augment` and `trivial_augment` choose the operation by
default (yes), only if their `ops=(...)` names it (can), or never (no).
"""

_KINDS = (
    ("Moves", geometry.OPS),
    ("Colours", colour.OPS),
    ("Optics and storage", filters.OPS),
    ("Erasing", {**erase.OPS, **cell_mask.OPS}),
)
_DRAWS: dict[Draw, str] = {"signed": "±", "up_to": "up to", "exact": "exact", "share": "blend"}


def render() -> str:
    """Returns the page as Markdown, a table for each kind of operation."""
    parts = [_HEAD]
    for title, ops in _KINDS:
        rows = [
            "| name | what it does | magnitude | strength | options | RandAugment | paper |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, op in ops.items():
            chosen = "yes" if name in PAPER_OPS else "can" if op.full else "no"
            options = "; ".join(f"`{option}`: {_argument(r)}" for option, r in op.options.items())
            cells = (
                f"`{name}`",
                _summary(op),
                _argument(op.magnitude),
                _DRAWS[op.draw],
                options,
                chosen,
                _linked(op.paper),
            )
            rows.append(f"| {' | '.join(cells)} |")
        parts.append(f"## {title}\n\n" + "\n".join(rows))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _summary(op: Op) -> str:
    """Returns the first line of the function's docstring."""
    return (inspect.getdoc(op.apply) or "").split("\n")[0]


def _argument(allowed: Argument) -> str:
    unit = f" ({allowed.unit})" if allowed.unit else ""
    return f"{allowed.low:g} to {allowed.high:.3g}{unit}; default {allowed.default:.3g}"


def _linked(paper: str) -> str:
    paper = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)
    return re.sub(r"doi:(10\.[^\s;]+)", r"[doi:\1](https://doi.org/\1)", paper)


if __name__ == "__main__":
    PAGE.write_text(render())
