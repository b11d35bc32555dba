"""Writes any source as a TFDS set in ArrayRecord files, checked and split, without TensorFlow.

Training always reads such a set: `ensure` prepares an unprepared source into a cache on first use.
"""

import contextlib
import csv
import glob
import hashlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow_datasets as tfds
from filelock import FileLock
from ml_collections import ConfigDict

from bcjax.data import decode, splits, synthetic
from bcjax.data.prepared import MANIFEST, SKIPPED, Prepared
from bcjax.data.records import SPLITS, Record, Source
from bcjax.data.sources import open_source
from bcjax.errors import UserError

log = logging.getLogger("bcjax")

# Part of the cache's key: raise it when what is written changes.
FORMAT = 1
_NAMED = 5  # bad pictures listed in a message; the rest are counted


class Cells(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Labelled cell pictures from records, encoded as they were found.

    Bytes are passed through (never re-encoded) and the records' order is kept. Pictures that cannot
    be decoded are left out and collected in `bad`, as (id, reason).

    Not registered: `tfds.builder("cells")` is for a dataset of the user's that has this name.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, records: Sequence[Record], classes: Sequence[str], **kwargs):
        self.records = records
        self.classes = list(classes)
        self.bad: list[tuple[str, str]] = []
        self.written: list[Record] = []
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
        return tfds.core.DatasetInfo(
            builder=self,
            description="Blood-cell pictures, prepared by bcjax.",
            features=features,
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        present = {record.split for record in self.records}
        return {name: self._generate_examples(name) for name in SPLITS if name in present}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        records = [record for record in self.records if record.split == split]
        position = 0
        for record, encoded, fault in _read_and_check(records):
            if fault:
                self.bad.append((record.id, fault))
                continue
            self.written.append(record)
            yield (
                position,
                {
                    "image": io.BytesIO(encoded),
                    "label": record.label,
                    "id": record.id,
                    "group": record.group,
                },
            )
            position += 1


class SyntheticCells(Cells):
    """The drawn cells of `data/synthetic.py` as a TFDS set: `tfds.builder("synthetic_cells")`."""

    def __init__(self, *, images: int = 2400, seed: int = 0, **kwargs):
        source = synthetic.source(images, seed=seed)
        super().__init__(records=source.records, classes=source.classes, **kwargs)


def _read_and_check(records: Sequence[Record]) -> Iterator[tuple[Record, bytes, str]]:
    """Yields (record, encoded, fault) in order; fault is "" for a picture that decodes whole."""

    def read(record: Record) -> tuple[bytes, str]:
        encoded = b""
        try:
            encoded = record.read()
            decode.decode(encoded)
        except (decode.BadImageError, OSError) as error:
            return encoded, str(error)
        return encoded, ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(records), 256):  # bounds what is held in memory
            chunk = records[start : start + 256]
            for record, (encoded, fault) in zip(chunk, pool.map(read, chunk), strict=True):
                yield record, encoded, fault


def write(source: Source, out: Path, data: ConfigDict, *, complete: bool = True) -> Prepared:
    """Splits, checks and writes `source` to the folder `out`, all of it or nothing.

    Args:
      source: Where the pictures come from.
      out: Folder to make; its parent is made too.
      data: The config's `data` branch: fractions, split seed, what to do with bad pictures.
      complete: Whether each class needs a training picture: to train on, but not to evaluate.

    Raises:
      UserError: If `out` holds something already, a picture is bad and `on_bad_image` is "error",
        or a class is left without a training picture.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: give another folder, or delete it.")
    records = splits.assign(
        source.records,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        seed=data.split_seed,
        classes=source.classes,
    )
    log.info("Preparing %s pictures (%s) into %s ...", f"{len(records):,}", source.kind, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename: a killed prepare leaves no half a set.
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        builder = Cells(records=records, classes=source.classes, data_dir=scratch)
        tfds.disable_progress_bar()
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS talks of downloading
                builder.download_and_prepare()
        except AssertionError:  # a split without a picture: `_check` says why
            if not builder.bad:
                raise
        _check(builder, data.on_bad_image, complete)
        folder = Path(builder.data_dir)
        _write_csv(
            folder / MANIFEST,
            ("filename", "label", "split", "group"),
            [(r.id, source.classes[r.label], r.split, r.group) for r in builder.written],
        )
        if builder.bad:
            _write_csv(folder / SKIPPED, ("filename", "reason"), builder.bad)
        if out.exists():
            out.rmdir()
        folder.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _opened(out, source)


def open_named(data: ConfigDict, *, complete: bool = True) -> Source:
    """Recognises `data.source`; each of its classes must occur if `complete`.

    Raises:
      UserError: If it is nothing that can be read, or prepared already.
    """
    if _is_prepared(data):
        raise UserError(f"{data.source} is a prepared set already: train on it as it is.")
    return open_source(
        data.source,
        classes=data.classes,
        synthetic_images=data.synthetic_images,
        data_dir=data.tfds_dir or None,
        complete=complete,
    )


def ensure(data: ConfigDict, *, complete: bool = True) -> Prepared:
    """Opens `data.source` as a prepared set, preparing it into the cache if it is not one yet.

    Several processes may ask at once, on one machine or on a shared disk: one prepares, the others
    wait for it.

    Args:
      data: The config's `data` branch.
      complete: Whether each class must occur, in training too.

    Raises:
      UserError: If the source cannot be recognised or read.
    """
    if _is_prepared(data):
        return Prepared(Path(data.source).expanduser().absolute())
    source = open_named(data, complete=complete)
    asked = (FORMAT, source.fingerprint, source.classes, data.val_fraction, data.test_fraction,
             data.split_seed, data.on_bad_image, *([] if complete else ["partial"]))  # fmt: skip
    key = hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    root = Path(data.cache_dir or os.environ.get("BCJAX_CACHE") or "~/.cache/bcjax").expanduser()
    out = (root / "data" / f"{Path(source.location).stem or 'data'}-{key}").absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(out.name + ".lock")):
        for rest in out.parent.glob(f".{glob.escape(out.name)}.*"):  # of a prepare that was killed
            shutil.rmtree(rest)
        return (
            _opened(out, source)
            if Prepared.is_at(out)
            else write(source, out, data, complete=complete)
        )


def _opened(out: Path, source: Source) -> Prepared:
    carved = splits.described(source.records, Prepared(out).counts)
    return Prepared(out, (*source.notes, *carved))


def _is_prepared(data: ConfigDict) -> bool:
    return Prepared.is_at(Path(data.source).expanduser())


def _check(builder: Cells, on_bad_image: str, complete: bool) -> None:
    bad, total = builder.bad, len(builder.records)
    if bad:
        shown = "; ".join(f"{name}: {reason}" for name, reason in bad[:_NAMED])
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        sentence = f"{len(bad)} of {total:,} pictures cannot be read ({shown}{more})"
        if on_bad_image == "error":
            raise UserError(
                f"{sentence}: mend or delete them, or leave them out with "
                "--config.data.on_bad_image=skip."
            )
        log.warning("%s: left out, and listed in %s.", sentence, SKIPPED)
    left = {record.label for record in builder.written if record.split == "train"}
    empty = [name for label, name in enumerate(builder.classes) if label not in left]
    if empty and complete:
        raise UserError(f"Class {empty[0]!r} has no readable training picture: mend or add some.")
    lost = {r.split for r in builder.records} - {r.split for r in builder.written}
    if lost:  # the first of them is where TFDS gave up
        split = min(lost, key=SPLITS.index)
        raise UserError(f"The split {split} has no readable picture: mend or add some.")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
