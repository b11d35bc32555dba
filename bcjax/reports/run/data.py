"""What the network was asked, on which pictures, and what is known about these."""

from pathlib import Path

from bcjax.data.curate.datasheet import PAGE
from bcjax.reports.pages.formatting import NONE, enumeration
from bcjax.reports.pages.page import Block, Facts, Table, Text
from bcjax.reports.run_record import RunRecord


def task(run: RunRecord) -> list[Block]:
    """Returns the task, the data and how many pictures there are of each class."""
    result, split, config = run.evaluation, run.evaluation.split, run.config
    counts = run.trained_on.counts if run.trained_on else {}
    size = config.data.image_size
    own = split in counts and result.source == config.data.source
    learnt = f"{sum(counts['train']):,} pictures" if "train" in counts else "other pictures"
    kind = run.datasheet.get("source", {}).get("kind", "")
    where = f"the {split} split of {run.source}" if own else f"{Path(result.source).name}"
    blocks: list[Block] = [
        Text(
            f"Which of {len(result.classes)} classes is the cell in a picture of {size} by "
            f"{size} pixels? A network, {config.model.name}, was trained on {learnt} and "
            f"evaluated on {where}: {result.n:,} pictures."
        ),
        Facts(
            [
                ("data", run.source, kind),
                ("pictures measured on", f"{result.n:,}", f"{split} split"),
                ("classes", str(len(result.classes)), ""),
                ("network", config.model.name, f"checkpoint {result.checkpoint:,}"),
            ]
        ),
    ]
    if counts:
        rows = [
            [name, *(f"{each[label]:,}" for each in counts.values())]
            for label, name in enumerate(result.classes)
            if label < len(next(iter(counts.values())))
        ]
        rows.append(["all", *(f"{sum(each):,}" for each in counts.values())])
        blocks.append(Table(["class", *counts], rows, "Pictures of the prepared set"))
    return blocks


def datasheet(run: RunRecord) -> list[Block]:
    """Returns what the datasheet says: origin, findings, what was left out, leaks."""
    sheet, path = run.datasheet, run.prepared_path
    if not sheet or path is None:
        where = "" if path is None else f": {path}"
        return [Text(f"The prepared set and its datasheet are gone{where}.")]
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
        "left out": f"{len(removed):,}" + (f" ({enumeration(reasons)})" if reasons else ""),
        "splits made": enumeration(sheet["splits"]["carving"]) or "none: the source has its own",
        "full datasheet": f"`{path / PAGE}`",
    }
    return [*blocks, Table(["datasheet", ""], list(facts.items()), text_columns=2)]
