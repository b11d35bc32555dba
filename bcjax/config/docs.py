"""The page docs/configuration.md, written from the table: `python -m bcjax.config.docs`."""

from pathlib import Path

from bcjax.config.key import COLOUR, TEXTS, Key
from bcjax.config.suggest import OTHER_NAMES
from bcjax.config.table import BRANCHES, OLD_KEYS

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

_HEAD = """\
# All settings

<!-- Written by `python -m bcjax.config.docs` from bcjax/config/table.py; edit that. -->

Every key of the config. [Settings](settings.md) explains how they are changed.

- `none` means "not set": the weights, the network, the data or the machine decide, as the line
  says. One writes it on the command line, too: `--config.model.dropout=none`.
- `0` means "off" where zero is an honest number. `()` is a list with nothing on it.
- A length is a text: `"20 epochs"`, `"500 steps"` or `"100000 examples"`.
- A key marked with ↻ may change when a run is resumed, because it changes no bit of the result.
  (The keys of `mesh` change the rounding of sums.)
- A key marked with Δ may change when a run is resumed with `--change`; the run records when.
- A key marked with ⊘ or ↻ cannot be tuned by a sweep or taken apart by an ablation: runs that
  differ in it have the same result, or are not judged alike.
- The last column has the names that other tools (timm, Keras, Lightning, Hugging Face,
  Ultralytics) give to the same thing. A command that uses one of them is answered with the key, and
  with the form of its value where that is another: `--config.epochs=20` gives "did you mean
  'train.length'? Write a length: "20 epochs".".
"""


def render() -> str:
    """Returns the page as Markdown, a table for each branch."""
    parts = [_HEAD]
    for branch, (title, keys) in BRANCHES.items():
        parts.append(f"## {title}" + (f": `{branch}`" if branch else ""))
        rows = [
            "| key | default | what it may be | meaning | other names |",
            "|---|---|---|---|---|",
        ]
        for name, key in keys.items():
            full = f"{branch}.{name}".removeprefix(".")
            also = [f"`{alias}`" for alias, meant in OTHER_NAMES.items() if meant.key == full]
            default = "none" if key.optional else f"`{key.default!r}`".replace("'", '"')
            marks = {" ↻": key.may_change, " Δ": key.with_change, " ⊘": key.fixed}
            cells = (
                f"`{full}`{''.join(mark for mark, holds in marks.items() if holds)}",
                default,
                _allowed(key),
                key.meaning.replace("<", "&lt;"),
                ", ".join(also),
            )
            rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
        parts.append("\n".join(rows))
    renamed = "\n".join(f"| `{old}` | `{new}` |" for old, new in OLD_KEYS.items())
    parts.append(f"## Renamed keys\n\n| before | now |\n|---|---|\n{renamed}")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _allowed(key: Key) -> str:
    choices = ", ".join(f"`{choice}`" for choice in key.choices)
    if choices and key.kind is not TEXTS:
        return choices
    text = key.kind.written + (f": {choices}" if choices else "")
    if key.range and key.kind is not COLOUR:
        text += f", {key.range}"
    return f"{text} ({key.unit})" if key.unit else text


if __name__ == "__main__":
    PAGE.write_text(render())
