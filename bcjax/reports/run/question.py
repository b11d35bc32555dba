"""What was asked, and of which pictures; and what is known about these."""

from pathlib import Path

from bcjax.data.curate.datasheet import PAGE
from bcjax.reports.pages.numbers import NONE, listed
from bcjax.reports.pages.story import Block, Facts, Table, Text
from bcjax.reports.run.artefacts import Artefacts


def question(run: Artefacts) -> list[Block]:
    """The task, the data and how many pictures of which class."""
    result, split, config = run.result, run.split, run.config
    counts = run.pictures.get("counts", {})
    size = config.data.image_size
    own = split in counts and result["source"] == config.data.source
    learnt = f"{sum(counts['train']):,} pictures" if "train" in counts else "other pictures"
    kind = run.datasheet.get("source", {}).get("kind", "")
    where = f"the {split} split of {run.source}" if own else f"{Path(result['source']).name}"
    blocks: list[Block] = [
        Text(
            f"Which of {len(result['classes'])} classes is the cell in a picture of "
            f"{size} by {size} pixels? A network, {config.model.name}, that "
            f"learnt from {learnt} is asked about {where}: {result['n']:,} pictures."
        ),
        Facts(
            [
                ("data", run.source, kind),
                ("pictures measured on", f"{result['n']:,}", f"{split} split"),
                ("classes", str(len(result["classes"])), ""),
                ("network", config.model.name, f"checkpoint {result['checkpoint']:,}"),
            ]
        ),
    ]
    if counts:
        rows = [
            [name, *(f"{each[label]:,}" for each in counts.values())]
            for label, name in enumerate(result["classes"])
            if label < len(next(iter(counts.values())))
        ]
        rows.append(["all", *(f"{sum(each):,}" for each in counts.values())])
        blocks.append(Table(["class", *counts], rows, "Pictures of the prepared set"))
    return blocks


def data(run: Artefacts) -> list[Block]:
    """What the data sheet says: where from, what was found, left out, leaked."""
    sheet = run.datasheet
    if not sheet:
        return [Text(f"The prepared set is gone, and its data sheet with it: {_prepared(run)}.")]
    leaks, canary = sheet["leaks"]["sentence"], sheet.get("canary")
    blocks: list[Block] = [
        Text(f"{leaks}.", "bad")
        if leaks
        else Text("No picture and no near duplicate of one lies in two splits.", "good")
    ]
    if canary:
        blocks.append(Text(canary["sentence"], "bad" if canary["suspicious"] else "good"))
    removed = sheet["removed"]
    reasons = sorted({each["reason"] for each in removed})
    facts = {
        "kind": sheet["source"]["kind"],
        "fingerprint": f"`{sheet['source']['fingerprint']}`",
        "groups (patients, slides, originals)": f"{sheet['splits']['groups']:,}" or NONE,
        "found": "; ".join(each["sentence"] for each in sheet["findings"]) or "nothing",
        "left out": f"{len(removed):,}" + (f" ({listed(reasons)})" if reasons else ""),
        "carved": listed(sheet["splits"]["carving"]) or "no split: they are the source's own",
        "full sheet": f"`{_prepared(run) / PAGE}`",
    }
    return [*blocks, Table(["data sheet", ""], list(facts.items()), words=2)]


def _prepared(run: Artefacts) -> Path:
    return Path(run.pictures.get("path", ""))
