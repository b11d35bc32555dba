"""What was found in a set and done to it: JSON for programs, a page for people.

After Gebru et al., "Datasheets for Datasets" (CACM 2021), as far as a program can fill one in. The
bytes depend on the pictures and the rules alone: no date, no path of this machine but the source.
"""

import base64
import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from ml_collections import ConfigDict

from bcjax.data.curate.curation import CuratedPictures
from bcjax.data.curate.findings import Finding
from bcjax.data.curate.measured_pictures import MeasuredPictures
from bcjax.data.prepared import DATASHEET, HASHES
from bcjax.data.records import SPLITS, Record, Source
from bcjax.runtime.page_templates import environment

PAGE = "datasheet.html"

# The keys of the config's `data` branch that decide which pictures stay.
RULES = (
    "exclude", "drop_classes", "drop", "max_copies", "keep", "on_bad_image", "on_unlabelled",
)  # fmt: skip
# Those that decide where pictures go.
SPLITTING = (
    "resplit", "group_by", "val_fraction", "test_fraction", "split_seed", "folds", "fold",
    "allow_leaks",
)  # fmt: skip
# All keys that change what is written.
KEYS = (*RULES, *SPLITTING, "canary")

_CLUSTERS = 48  # clusters of each finding that the page shows
_MEMBERS = 6  # pictures of each cluster that the page shows
_ROWS = 200  # removed pictures that the page lists
_THUMBNAIL = 96  # pixels of the longer side


def write_datasheet(
    folder: Path, source: Source, curated: CuratedPictures, data: ConfigDict
) -> None:
    """Writes `datasheet.json`, `datasheet.html` and `hashes.csv`.

    Args:
      folder: Folder of the prepared set.
      source: The source before curation.
      curated: The result of its curation.
      data: The config's `data` branch.
    """
    sheet = describe(source, curated, data)
    (folder / DATASHEET).write_text(json.dumps(sheet, indent=1, ensure_ascii=False) + "\n")
    records = {record.id: record for record in source.records}
    (folder / PAGE).write_text(_page(sheet, curated.found, records))
    _write_hashes(folder / HASHES, curated.pictures)


def describe(source: Source, curated: CuratedPictures, data: ConfigDict) -> dict[str, Any]:
    """Returns the content of `datasheet.json`."""
    records = curated.pictures.records
    return {
        "source": {
            "location": source.location,
            "kind": source.kind,
            "fingerprint": source.fingerprint,
            "classes": list(source.classes),
            "notes": list(source.notes),
        },
        "classes": list(curated.classes),
        "counts": {
            "before": _counts(source.records, source.classes),
            "after": _counts(records, curated.classes),
        },
        "rules": {key: _plain(data[key]) for key in RULES},
        "splits": {
            **{key: _plain(data[key]) for key in SPLITTING},
            "carving": list(curated.carving),
            "groups": len({record.group for record in records if record.group}),
        },
        "findings": [finding.to_dict() for finding in curated.found],
        "removed": [{"id": id_, "reason": reason} for id_, reason in curated.removed.items()],
        "leaks": curated.leaks.to_dict(),
        "canary": dataclasses.asdict(curated.canary) if curated.canary else None,
        "notes": list(curated.notes),
    }


def _counts(records: Sequence[Record], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns the number of pictures by split and class; "" is the split of those without one."""
    counts = Counter((record.split, record.label) for record in records)
    present = [s for s in ("", *SPLITS) if any(split == s for split, _ in counts)]
    return {s: {name: counts[s, label] for label, name in enumerate(classes)} for s in present}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _write_hashes(path: Path, pictures: MeasuredPictures) -> None:
    measures = pictures.measures
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("filename", "file_sha256", "pixel_sha256", "perceptual"))
        for record, of_file, of_pixels, perceptual in zip(
            pictures.records,
            measures.file_sha256,
            measures.pixel_sha256,
            measures.perceptual,
            strict=True,
        ):
            table.writerow((record.id, of_file.decode(), of_pixels.decode(), f"{perceptual:016x}"))


def _page(sheet: Mapping[str, Any], found: Sequence[Finding], records: Mapping[str, Record]) -> str:
    shown = {
        id_
        for finding in found
        for cluster in finding.clusters[:_CLUSTERS]
        for id_ in cluster[:_MEMBERS]
    }
    return (
        environment("bcjax.data.curate")
        .get_template("datasheet.html")
        .render(
            sheet=sheet,
            findings=found,
            thumbnails={id_: _thumbnail(records[id_]) for id_ in shown},
            class_of={id_: sheet["source"]["classes"][records[id_].label] for id_ in shown},
            most={"clusters": _CLUSTERS, "members": _MEMBERS, "rows": _ROWS},
        )
    )


def _thumbnail(record: Record) -> str:
    """Returns a small version of the picture, as a data URI."""
    pixels = record.pixels()
    scale = _THUMBNAIL / max(pixels.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        pixels = np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    encoded = simplejpeg.encode_jpeg(pixels, quality=80, colorspace="RGB")
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
