"""What `bcjax evaluate` is told of other data than the run's own, and how it shows the drop."""

from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Group
from rich.table import Table

from bcjax.reports.pages.numbers import percent, span
from bcjax.runtime.errors import UserError

_STAINS = ("none", "reinhard", "macenko")
_OF_OTHER = ("map-classes", "data.stain", "data.stain_reference")


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("data.source", None, "Other data than the run's own.", flag_values=values)
    flags.DEFINE_string(
        "map-classes", None, "Its classes in the run's: theirs=ours,...; theirs=- leaves one out.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "data.stain", None, _STAINS, "How its stain is normalised; else as the run's.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "data.stain_reference", None, "The picture to whose stain.", flag_values=values
    )


def asked(values: flags.FlagValues) -> dict[str, Any]:
    """Returns what the `Evaluator` is to be told.

    Raises:
      UserError: If what is asked does not go together.
    """
    from bcjax.evaluation import matching

    source = values["data.source"].value or ""
    given = {name: str(values[name].value) for name in _OF_OTHER if values[name].value is not None}
    if given and not source:
        raise UserError(f"--{next(iter(given))} is for other data: give --data.source, too.")
    entry: dict[str, str | None] = {}
    if "data.stain" in given:
        stain = given["data.stain"]
        entry = {"stain": None if stain == "none" else stain, "stain_reference": None}
    if "data.stain_reference" in given:
        if not entry.get("stain"):
            raise UserError("--data.stain_reference needs --data.stain=reinhard or macenko.")
        entry["stain_reference"] = str(Path(given["data.stain_reference"]).absolute())
    text = given.get("map-classes")
    mapped = None if text is None else matching.read(text)
    return {"source": source, "map_classes": mapped, "entry": entry}


def named(values: flags.FlagValues, split: str) -> str:
    """Returns the name of the evaluation: the split's, or other data's and how it was stained."""
    source, stain = values["data.source"].value, values["data.stain"].value
    return "-".join(filter(None, (source and Path(source).stem, split, stain)))


def table(section: dict[str, Any]) -> Group:
    """Returns the section `laboratory` of a result: the same classes there and at home."""
    shown = Table(title=_title(section), title_justify="left")
    columns = ("among", "accuracy", "there", "95 % interval", "home", "drop", "95 % interval")
    for position, column in enumerate(columns):
        shown.add_column(column, justify="left" if position < 2 else "right")
    for way, among in (("open", "all"), ("closed", "mapped")):
        for metric, there in section[way].items():
            kind = "balanced" if metric == "balanced_accuracy" else "plain"
            row = [among, kind, percent(there["value"]), span(there)]
            if section["home"]:
                drop = section["drop"][way][metric]
                home = section["home"][way][metric]
                row += [percent(home["value"]), percent(drop["value"]), span(drop)]
            shown.add_row(*row)
    pairs = (f"{theirs} = {home}" for theirs, home in section["classes"].items())
    lines = [f"classes: {', '.join(pairs)}; stain: {section['stain']}"]
    if section["left_out"]:
        named = (f"{name} ({count:,})" for name, count in section["left_out"].items())
        lines.append(f"left out: {', '.join(named)}")
    return Group(shown, *lines, *([section["why"]] if "why" in section else []))


def _title(section: dict[str, Any]) -> str:
    home = section["home"]
    beside = f"; home: {home['split']} split, n = {home['n']:,}" if home else ""
    return f"the same classes: n = {section['n']:,}{beside}"
