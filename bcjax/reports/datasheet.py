"""What the datasheet of a prepared set says: leaks, findings, what was left out, and the rules."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker

from bcjax.data.curate.datasheet import Canary, Datasheet
from bcjax.data.prepared import DATASHEET
from bcjax.reports.pages import charts
from bcjax.reports.pages.formatting import enumeration, setting
from bcjax.reports.pages.page import Block, Chart, Charts, Details, Table, Text

_ROWS = 200  # pictures that a folded list names
_DRAWN = 40  # classes
_RELATIONS = {"same": "equal", "near": "nearly the same", "group": "of one group"}


def verdicts(leaks: str, canary: Canary | None) -> list[Block]:
    """Returns whether the splits leak, and what a model that sees only colours achieves.

    Args:
      leaks: The sentence about the leaks; empty if there are none.
      canary: The score of that model; None if it was not tried.
    """
    blocks: list[Block] = [
        Text(f"{leaks}.", "bad")
        if leaks
        else Text("No picture and no near duplicate of one lies in two splits.", "good")
    ]
    if canary:
        blocks.append(Text(canary.sentence, "bad" if canary.suspicious else "good"))
    return blocks


def datasheet(sheet: Datasheet) -> list[Block]:
    """Returns where the pictures are from, what was found, what was changed, and the rules."""
    source, removed = sheet.source, sheet.removed
    reasons = sorted({each.reason for each in removed})
    facts = {
        "source": f"`{source.location}`",
        "kind": source.kind,
        "fingerprint": f"`{source.fingerprint}`",
        "groups (patients, slides, originals)": f"{sheet.splits['groups']:,}",
        "found": "; ".join(each.sentence for each in sheet.findings) or "nothing",
        "left out": f"{len(removed):,}" + (f" ({enumeration(reasons)})" if reasons else ""),
        "splits made": enumeration(sheet.splits["carving"]) or "none: the source has its own",
        "notes": " ".join(sheet.notes) or "none",
    }
    rules = {**sheet.rules, **sheet.splits}
    for told in ("carving", "groups"):
        rules.pop(told, None)
    left_out = [[each.id, each.reason] for each in removed]
    pairs = [
        [
            *(f"{id_} ({split})" for id_, split in zip(leak.ids, leak.splits, strict=True)),
            _RELATIONS[leak.kind],
        ]
        for leak in sheet.leaks.found
    ]
    return [
        Table(["datasheet", ""], list(facts.items()), text_columns=2),
        *([Charts([_cleaning(sheet)])] if removed else []),
        Details(
            "Pictures of each class",
            [
                _counts("As they were found", sheet.counts["before"]),
                _counts("As they were prepared", sheet.counts["after"]),
            ],
        ),
        *_folded("Rules", ["rule", "value"], [[f"`{k}`", setting(v)] for k, v in rules.items()]),
        *_folded("Pictures left out", ["picture", "why"], left_out),
        *_folded("Leaks", ["picture", "and", "are"], pairs),
    ]


@charts.style()
def _cleaning(sheet: Datasheet) -> Chart:
    """Draws how many pictures each class had as it was found, and has now."""
    before, after = (_totals(sheet.counts[when]) for when in ("before", "after"))
    lost = {name: count - after.get(name, 0) for name, count in before.items()}
    names, caption = list(before), ""
    if len(names) > _DRAWN:
        names = sorted(names, key=lambda name: -lost[name])[:_DRAWN]
        caption = f"Of {len(before):,} classes, the {_DRAWN} that lost the most pictures."
    figure, axes = charts.figure_with_rows(names)
    rows = np.arange(len(names))
    found, kept = ([each.get(name, 0) for name in names] for each in (before, after))
    axes.barh(rows - 0.2, found, 0.36, color=charts.INK, alpha=0.3, label="found")
    axes.barh(rows + 0.2, kept, 0.36, color=charts.ACCENT, label="prepared")
    axes.set_xlabel("pictures")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(ncols=2, loc="outside upper right", borderpad=0, handlelength=1)
    title = "Pictures of each class before and after cleaning"
    return Chart("cleaning", title, figure, caption)


def _totals(by_split: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Returns the pictures of each class in all splits."""
    return dict(sum((Counter(counts) for counts in by_split.values()), Counter()))


def _counts(caption: str, by_split: Mapping[str, Mapping[str, int]]) -> Table:
    classes = next(iter(by_split.values()), {})
    rows = [[name, *(f"{each[name]:,}" for each in by_split.values())] for name in classes]
    rows.append(["all", *(f"{sum(each.values()):,}" for each in by_split.values())])
    return Table(["class", *(split or "no split" for split in by_split)], rows, caption)


def _folded(summary: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Block]:
    if not rows:
        return []
    blocks: list[Block] = [Table(head, rows[:_ROWS], text_columns=len(head))]
    if len(rows) > _ROWS:
        blocks.append(Text(f"The first {_ROWS}; all are in `{DATASHEET}`.", "soft"))
    return [Details(f"{summary} ({len(rows):,})", blocks)]
