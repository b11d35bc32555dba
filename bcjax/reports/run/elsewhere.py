"""What the network makes of other pictures, and what other ways of asking make of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bcjax.metrics.names import describe
from bcjax.reports.pages.numbers import NONE, interval, number, percent, span
from bcjax.reports.pages.story import Block, Fold, Table, Text
from bcjax.reports.run.answer import HEADLINE
from bcjax.reports.run.artefacts import Artefacts, Json

_ALONE = ("accuracy", "macro_f1", "log_loss")
_AMONG = {"open": "all classes", "closed": "the common ones"}


def laboratories(run: Artefacts) -> dict[str, Json]:
    """The evaluations on other data than the run's own, by name."""
    home = run.config.data.source
    return {name: each for name, each in run.others.items() if each["source"] != home}


def other_data(run: Artefacts) -> Iterator[Block]:
    """The figures on each other data set, beside those of the same classes at home."""
    for name, each in laboratories(run).items():
        yield from (Text(f"{name}: {sentence}", "bad") for sentence in each.get("cautions", ()))
        if "laboratory" in each:
            yield _beside_home(name, each["laboratory"])
        else:
            yield _table(run, {name: each}, "The same network on other pictures")


def _beside_home(name: str, section: Json) -> Table:
    home, drop = section["home"], section["drop"]
    head = ["asked among", "metric", "there", "95 % interval", "at home", "drop", "95 % interval"]
    rows = []
    for way, among in _AMONG.items():
        for metric, there in section[way].items():
            row = [among, describe(metric).label, number(there["value"]), interval(there)]
            if home:
                lost = drop[way][metric]
                row += [number(home[way][metric]["value"]), number(lost["value"]), interval(lost)]
            else:
                row += [NONE] * 3
            rows.append(row)
    pairs = ", ".join(f"{theirs} = {ours}" for theirs, ours in section["classes"].items())
    left = ", ".join(f"{theirs} ({n:,})" for theirs, n in section["left_out"].items())
    said = [
        f"{name}: n = {section['n']:,}",
        f"at home: {home['split']} split, n = {home['n']:,}" if home else section["why"],
        f"classes: {pairs}",
        f"left out: {left}" if left else "",
        f"stain: {section['stain']}",
    ]
    return Table(head, rows, "; ".join(filter(None, said)), words=2)


def other_ways(run: Artefacts) -> list[Block]:
    """The figures of views, ensembles and averages of weights, with what each is made of."""
    home = run.config.data.source
    ways = {name: each for name, each in run.others.items() if each["source"] == home}
    if not ways:
        return []
    return [_table(run, ways, "Other evaluations of this run"), *_parts(ways)]


def members(run: Artefacts) -> list[Block]:
    """How far the members of the run lie apart, where it has some."""
    found = run.result.get("members")
    if not found:
        return []
    rows = [
        [describe(key).label, number(m["mean"]), number(m["deviation"]), interval(m), f"{m['n']:,}"]
        for key, m in found["metrics"].items()
    ]
    head = ["metric", "mean", "deviation", "95 % interval of the mean", "members"]
    caption = "The members one by one; the figures above are of what they answer together"
    return [
        Table(head, rows, caption),
        Fold(f"Each of the {len(found['each']):,} members", [_alone(found["each"])]),
    ]


def _parts(ways: Mapping[str, Json]) -> Iterator[Block]:
    for name, each in ways.items():
        soup = each.get("soup", {}).get("ingredients", [])
        if parts := [*each.get("ensemble", []), *soup, *each.get("views", [])]:
            yield Fold(f"{name}: what was averaged, each alone", [_alone(parts)])


def _alone(parts: list[dict[str, Any]]) -> Table:
    rows = []
    for part in parts:
        name = part.get("view") or f"{part['workdir']}, checkpoint {part['checkpoint']:,}"
        name += "" if part.get("kept", True) else ", left out"
        rows.append([name, *(number(part["metrics"].get(key)) for key in _ALONE)])
    return Table(["", *(describe(key).label for key in _ALONE)], rows)


def _table(run: Artefacts, evaluations: Mapping[str, Json], caption: str) -> Table:
    head = ["evaluation", "pictures", "n"]
    for name in HEADLINE.values():
        head += [name, "95 % interval"]
    rows = []
    for name, each in {run.name: run.result, **evaluations}.items():
        row = [name, f"{Path(each['source']).name}, {each['split']}", f"{each['n']:,}"]
        for key in HEADLINE:
            row += [percent(each["metrics"][key]["value"]), span(each["metrics"][key])]
        rows.append(row)
    return Table(head, rows, caption, words=2)
