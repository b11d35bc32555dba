"""Writes what was found in a set and done to it: JSON for programs, a page for people.

After Gebru et al., "Datasheets for Datasets" (CACM 2021), as far as a program can fill one in. The
bytes depend on the pictures and the rules alone: no date, no path of this machine but the source.
"""

import base64
import csv
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from ml_collections import ConfigDict

from bcjax.data.curate.curation import CuratedPictures
from bcjax.data.curate.datasheet import Datasheet
from bcjax.data.curate.measured_pictures import MeasuredPictures
from bcjax.data.prepared import DATASHEET, HASHES
from bcjax.data.records import Record, Source
from bcjax.runtime.page_templates import environment

PAGE = "datasheet.html"

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
    sheet = Datasheet.of(source, curated, data)
    text = json.dumps(sheet.to_dict(), indent=1, ensure_ascii=False)
    (folder / DATASHEET).write_text(f"{text}\n")
    records = {record.id: record for record in source.records}
    (folder / PAGE).write_text(_page(sheet, records))
    _write_hashes(folder / HASHES, curated.pictures)


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


def _page(sheet: Datasheet, records: Mapping[str, Record]) -> str:
    shown = {
        id_
        for finding in sheet.findings
        for cluster in finding.clusters[:_CLUSTERS]
        for id_ in cluster[:_MEMBERS]
    }
    return (
        environment("bcjax.data.curate")
        .get_template("datasheet.html")
        .render(
            sheet=sheet,
            thumbnails={id_: _thumbnail(records[id_]) for id_ in shown},
            class_of={id_: sheet.source.classes[records[id_].label] for id_ in shown},
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
