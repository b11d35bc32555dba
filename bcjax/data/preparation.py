"""Writes any source as a TFDS set in ArrayRecord files, checked and split, without TensorFlow.

Training always reads such a set: `prepare` writes a source into a cache on first use.
"""

import csv
import dataclasses
import glob
import hashlib
import io
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow_datasets as tfds
from filelock import FileLock
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data import contents
from bcjax.data.curate import curation, datasheet, datasheet_page
from bcjax.data.decode import MAX_PIXELS
from bcjax.data.prepared import MANIFEST, SKIPPED, PreparedSet
from bcjax.data.records import SPLITS, Record, Source
from bcjax.data.sources import open_source, synthetic
from bcjax.runtime import files, progress_log, scratch
from bcjax.runtime.errors import UserError, disk_faults_told

log = logging.getLogger("bcjax")

# Part of the cache's key: raise it when what is written changes.
FORMAT = 3
_NAMED = 5  # unlabelled entries listed in a message; the rest are counted
_CHUNK = 256  # pictures that the threads read at a time
_SHARD = 20_000  # pictures in a file
_PART = 16  # pictures that one of them reads: to ask for one costs more than to read it


class _OwnInfo(tfds.core.DatasetInfo):
    """What TFDS would ask Google's servers about these pictures is known here."""

    def initialize_from_bucket(self) -> None:
        """Asks nothing: each time, TFDS leaves a folder for the answer in $TMPDIR."""


class Cells(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Labelled cell pictures from records, encoded as they were found.

    Bytes are passed through (never re-encoded) and the records' order is kept.

    Not registered with TFDS: the user may have a dataset called "cells".
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, records: Sequence[Record], classes: Sequence[str], **kwargs):
        self.records = records
        self.classes = list(classes)
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=self.classes),
                "id": tfds.features.Text(),
                "group": tfds.features.Text(),
            }
        )
        return _OwnInfo(
            builder=self,
            description="Blood-cell pictures, prepared by bcjax.",
            features=features,
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def examples(self) -> dict[str, Iterator[dict]]:
        """Returns the examples of each split that there is; they are read as they are drawn."""
        present = {record.split for record in self.records}
        return {name: self._generate_examples(name) for name in SPLITS if name in present}

    def _split_generators(self, dl_manager):
        return {name: enumerate(examples) for name, examples in self.examples().items()}

    def _generate_examples(self, split: str) -> Iterator[dict]:
        records = [record for record in self.records if record.split == split]
        read = progress_log.told(_read_ahead(records), len(records), f"written to {split}")
        for record, encoded in read:
            yield {
                "image": io.BytesIO(encoded),
                "label": record.label,
                "id": record.id,
                "group": record.group,
            }


def _read_ahead(records: Sequence[Record]) -> Iterator[tuple[Record, bytes]]:
    """Yields records with what threads have read of them, in parts that bound the memory."""

    def read(start: int) -> list[tuple[Record, bytes]]:
        return [(record, record.read()) for record in records[start : start + _PART]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(records), _CHUNK):
            parts = range(start, min(start + _CHUNK, len(records)), _PART)
            yield from itertools.chain.from_iterable(pool.map(read, parts))


class SyntheticCells(Cells):
    """The drawn cells of `sources.synthetic` as a TFDS set: `tfds.builder("synthetic_cells")`."""

    def __init__(self, *, images: int = 2400, seed: int = 0, **kwargs):
        source = synthetic.source(images, seed=seed)
        super().__init__(records=source.records, classes=source.classes, **kwargs)


def prepare(
    data: ConfigDict,
    out: Path | None = None,
    *,
    complete: bool = True,
    own_names: bool = False,
) -> PreparedSet:
    """Measures, cleans, groups and splits the pictures of `data.source`, and writes the result.

    Without `out` the set lies in a cache: it is written on first use, and opened from then on. A
    `data.source` that is a prepared set already is opened where it is. Several processes may call
    this at the same time, on one machine or on a shared disk: one writes, the others wait for it.

    Args:
      data: The config's `data` branch: which pictures, which of them stay, how they are split.
      out: Folder to make, which must be empty or not exist; None: in `data.cache_dir`.
      complete: Whether the pictures are to train on: each class must occur, in training too.
      own_names: Whether classes keep the names of the source; see `open_source`.

    Returns:
      The set, with its digest, counts, findings and leaks.

    Raises:
      UserError: If the source cannot be recognised or read, the rules do not fit it, its splits
        leak, or `out` is not empty.
    """
    configs.check_source(data)
    if not complete:
        data = curation.without_training_rules(data)
    if out is None and _is_prepared(data):
        prepared = PreparedSet(Path(data.source).absolute())
        _check_rules(prepared, data)
        return prepared
    source = read_source(data, complete=complete, own_names=own_names)
    known = _cache_folder(data) / "contents"
    identified = contents.identified(source, known)

    def check_source() -> None:
        if contents.identified(source, known).fingerprint != identified.fingerprint:
            raise UserError(
                f"Pictures of {data.source} were changed while they were prepared: repeat the "
                "command when they stay as they are."
            )

    if out is not None:
        # Where links lead: the folder takes the place of what is there, and a link stays one.
        out = Path(os.path.realpath(out))
        return write_set(identified, out, data, complete=complete, check_source=check_source)
    key = _key(identified, data, complete=complete)
    folder = (_cache_folder(data) / "data").absolute()
    if (found := _find(folder, key)) is not None:  # the disk may be read-only
        return found
    with disk_faults_told(folder, ", with BCJAX_CACHE or config.data.cache_dir"):
        folder.mkdir(parents=True, exist_ok=True)
    stem = Path(source.location).stem or "data"
    with FileLock(folder / f"{key}.lock"):
        # What a process that was killed has left, on any host: a living one would hold the lock.
        for left in folder.glob(f".*-{key}.*"):
            shutil.rmtree(left, ignore_errors=True)
        if (found := _find(folder, key)) is not None:
            return found
        for earlier in _prepared_by_name_and_time(folder, stem, source.location):
            log.info(
                "pictures: %s was prepared by an earlier version of bcjax, which knew pictures by "
                "name, size and time alone: they are prepared again. Delete it when no run needs "
                "it any more.", earlier,
            )  # fmt: skip
        return write_set(
            identified, folder / f"{stem}-{key}", data, complete=complete, check_source=check_source
        )


def _key(source: Source, data: ConfigDict, *, complete: bool) -> str:
    """Returns 16 hexadecimal digits that name the set which the rules make of a source."""
    # None counts as "", as in sets that were prepared when "" meant "not set".
    rules = ("" if data[key] is None else data[key] for key in datasheet.KEYS)
    identity = (FORMAT, source.fingerprint, *rules,
                *([] if complete else ["partial"]),
                *([] if data.max_pixels == MAX_PIXELS else [data.max_pixels]))  # fmt: skip
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:16]


def _find(folder: Path, key: str) -> PreparedSet | None:
    """Returns the set of this key, whatever its source was called when it was prepared."""
    for path in sorted(folder.glob(f"*-{key}")):
        if PreparedSet.is_at(path):  # whole, for the last step is a rename
            return _told(PreparedSet(path), "found prepared")
    return None


def _told(prepared: PreparedSet, how: str) -> PreparedSet:
    count = sum(map(prepared.size, prepared.counts))
    log.info("pictures: %s, %s pictures, digest %s", how, f"{count:,}", prepared.digest)
    return prepared


def _prepared_by_name_and_time(folder: Path, stem: str, location: str) -> Iterator[Path]:
    """Yields the sets of a source that versions before 0.2 prepared, with keys of 12 digits."""
    for path in sorted(folder.glob(f"{glob.escape(stem)}-{'[0-9a-f]' * 12}")):
        sheet = PreparedSet(path).datasheet if PreparedSet.is_at(path) else None
        if sheet and sheet.source.location == location:
            yield path


def write_set(
    source: Source,
    out: Path,
    data: ConfigDict,
    *,
    complete: bool = True,
    check_source: Callable[[], None] = lambda: None,
) -> PreparedSet:
    """Curates `source` and writes it to the folder `out`, all of it or nothing.

    Args:
      source: The pictures.
      out: Folder to make; its parents are made too.
      data: The config's `data` branch: which pictures stay, and how they are split.
      complete: Whether the pictures are to train on; else they are to evaluate on.
      check_source: Called when all is written, before the set appears: raises if the source has
        become another one meanwhile.

    Raises:
      UserError: If `out` holds something already, or as `curation.curate` says.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: give another folder, or delete it.")
    count = f"{len(source.records):,}"
    log.info("Preparing %s pictures (%s) into %s ...", count, source.kind, out)
    # Beside the target, so that the last step is a rename: a killed process leaves no partial set.
    with scratch.beside(out) as unfinished:
        unfinished.mkdir()  # now: a path that cannot be written is refused before the work
        curated = curation.curate(source, data, complete=complete)
        records = curated.pictures.records
        builder = Cells(records=records, classes=curated.classes, data_dir=unfinished)
        folder = Path(builder.data_dir)
        with disk_faults_told(out):
            _write_examples(builder, folder)
        _write_csv(
            folder / MANIFEST,
            ("filename", "label", "split", "group"),
            [
                (r.id, curated.classes[r.label], r.split, r.group)
                for split in SPLITS
                for r in records
                if r.split == split
            ],
        )
        if curated.removed:
            _write_csv(folder / SKIPPED, ("filename", "reason"), list(curated.removed.items()))
        datasheet_page.write_datasheet(folder, source, curated, data)
        check_source()
        if out.exists():
            out.rmdir()
        folder.rename(out)
    return _told(PreparedSet(out), "prepared")


def _write_examples(builder: Cells, folder: Path) -> None:
    """Writes what `builder.download_and_prepare` would, one example after the other.

    That one holds a whole split in memory until its end, and above a gigabyte needs TensorFlow.
    """
    folder.mkdir(parents=True)
    writer = tfds.core.SequentialWriter(
        builder.info, max_examples_per_shard=_SHARD, file_format="array_record"
    )
    splits = builder.examples()
    writer.initialize_splits(list(splits))
    for split, examples in splits.items():
        writer.add_examples({split: examples})
    writer.close_all()


def read_source(data: ConfigDict, *, complete: bool = True, own_names: bool = False) -> Source:
    """Recognises and reads `data.source`, which is not prepared yet.

    Args:
      data: The config's `data` branch.
      complete: Whether each class must occur, in training too.
      own_names: Whether classes keep the source's names, whatever `data.classes` says.

    Raises:
      UserError: If the source cannot be read, or is a prepared set already; or if pictures have no
        class or several and `data.on_unlabelled` is "error".
    """
    if _is_prepared(data):
        raise UserError(f"{data.source} is a prepared set already: train on it as it is.")
    if data.on_unlabelled not in ("error", "drop"):
        raise UserError(f"data.on_unlabelled={data.on_unlabelled!r} is unknown: error or drop.")
    source = open_source(
        data.source,
        classes=data.classes or (),
        boxes=data.boxes or "",
        fine_labels=data.fine_labels,
        synthetic_images=data.synthetic_images,
        data_dir=data.tfds_dir,
        downloads=_cache_folder(data) / "downloads",
        max_pixels=data.max_pixels,
        complete=complete,
        dropped=data.drop_classes,
        resplit=data.resplit,
        own_names=own_names,
    )
    if not complete:  # to evaluate on: pictures without a label are left out, splits are kept
        return source
    if source.unlabelled and data.on_unlabelled == "error":
        count, named = len(source.unlabelled), source.unlabelled[:_NAMED]
        shown = "; ".join(f"{name} {why}" for name, why in named)
        more = f"; and {count - _NAMED:,} more" if count > _NAMED else ""
        raise UserError(
            f"{count:,} entries of {data.source} do not have exactly one label each "
            f"({shown}{more}): label them, or leave them out with "
            "--config.data.on_unlabelled=drop."
        )
    return _without_splits(source) if data.resplit else source


def _without_splits(source: Source) -> Source:
    """Returns the source without the splits that it gives, so that new ones are carved."""
    records = [dataclasses.replace(record, split="") for record in source.records]
    return dataclasses.replace(source, records=records)


def _check_rules(prepared: PreparedSet, data: ConfigDict) -> None:
    """Refuses rules other than those that a set was prepared with: they would have no effect."""
    defaults, used = configs.default().data, prepared.rules
    for key in ("exclude", "drop_classes", "drop", "keep", "resplit", "group_by", "folds", "fold"):
        if data[key] not in (defaults[key], used.get(key)):
            raise UserError(
                f"data.{key} is {data[key]!r}, but {prepared.path} is prepared already, with "
                f"{used.get(key, 'no such rule')!r}: prepare the source anew, or leave that out."
            )


def _cache_folder(data: ConfigDict) -> Path:
    return files.user_path(data.cache_dir) if data.cache_dir else files.cache_folder()


def _is_prepared(data: ConfigDict) -> bool:
    return PreparedSet.is_at(Path(data.source))


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
