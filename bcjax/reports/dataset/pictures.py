"""The pictures that a page shows, with what was measured of them: read where they lie.

Nothing is written for them. A page needs each picture once to measure it and a few thousand again
to draw them; a prepared copy took as long as that, and each other `val_fraction` or `split_seed`
made a further one, though it holds the same pictures.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data import contents
from bcjax.data.curate import curation, leaks
from bcjax.data.curate.datasheet import Datasheet
from bcjax.data.curate.measured_pictures import MeasuredPictures, measure
from bcjax.data.preparation import prepare, read_source
from bcjax.data.prepared import BlockReader, EncodedExamples, PreparedSet
from bcjax.data.records import SPLITS, Record, Source
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.stages import Told

# Keys of the config's `data` branch that choose other pictures, or other splits, of a source.
_RULES = (
    "exclude", "keep", "drop", "group_by", "resplit", "val_fraction", "test_fraction",
    "split_seed", "folds", "canary",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ExploredPictures:
    """The pictures of a data set, split after split.

    Attributes:
      classes: Class names in label order.
      counts: Number of pictures by split, each a list in label order.
      measured: The pictures, with what was measured of them.
      leaks: A sentence on what the splits share; "" if there is nothing.
      datasheet: What was found in the source; None for a prepared set without one.
    """

    classes: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    measured: MeasuredPictures
    leaks: str
    datasheet: Datasheet | None


def open_pictures(
    data: ConfigDict, *, as_trained: bool, told: Told = lambda doing: None
) -> ExploredPictures:
    """Reads and measures the pictures of `data.source`, as trained on or as found.

    As it is found, a set may hold what no network should be trained on, such as a picture under
    two labels, so that a person can see it. Nothing is held back: pictures that the source puts in
    no split are shown as train.

    Args:
      data: The config's `data` branch. If it has rules for the pictures, these are applied.
      as_trained: Whether to show what is trained on even without rules.
      told: Is told how many pictures are read.

    Raises:
      UserError: If the source cannot be read, or the rules do not fit it.
    """
    default = configs.default().data
    complete = as_trained or any(data[key] != default[key] for key in _RULES)
    if not complete:
        data = curation.without_training_rules(data)
        data.update({"val_fraction": 0.0, "test_fraction": 0.0})
    if PreparedSet.is_at(Path(data.source)):
        return _prepared(prepare(data, complete=complete), data, told)
    configs.check_source(data)
    source = read_source(data, complete=complete)
    cache = files.user_path(data.cache_dir) if data.cache_dir else files.cache_folder()
    source = contents.identified(source, cache / "contents")
    counted = dataclasses.replace(source, records=_counted(source.records, told))
    return _curated(source, curation.curate(counted, data, complete=complete), data)


def _curated(
    source: Source, curated: curation.CuratedPictures, data: ConfigDict
) -> ExploredPictures:
    pictures = curated.pictures
    given = np.array([SPLITS.index(record.split) for record in pictures.records])
    order = np.argsort(given, kind="stable")
    if (order[:-1] > order[1:]).any():
        records = [pictures.records[i] for i in order]
        pictures = MeasuredPictures.from_measures(records, pictures.measures[order])
    counts = Counter((record.split, record.label) for record in pictures.records)
    splits = dict.fromkeys(record.split for record in pictures.records)
    labels = range(len(curated.classes))
    return ExploredPictures(
        curated.classes,
        {split: [counts[split, label] for label in labels] for split in splits},
        pictures,
        curated.leaks.sentence,
        Datasheet.of(source, curated, data),
    )


def _prepared(prepared: PreparedSet, data: ConfigDict, told: Told) -> ExploredPictures:
    pictures = measure_pictures(prepared, data.threads, data.max_pixels, told)
    report = prepared.leaks if prepared.datasheet else leaks.find_leaks(pictures)
    return ExploredPictures(
        prepared.classes, prepared.counts, pictures, report.sentence, prepared.datasheet
    )


def _counted(records: Sequence[Record], told: Told) -> list[Record]:
    """Returns the records; each that is read for the first time is told of."""
    number = itertools.count(1)

    def read(record: Record) -> bytes:
        if (done := next(number)) <= len(records):  # some are read again, to be drawn
            told(f"pictures read: {done:,} of {len(records):,}")
        return record.read()

    return [dataclasses.replace(each, read=partial(read, each)) for each in records]


def measure_pictures(
    prepared: PreparedSet, threads: int | None, max_pixels: int, told: Told = lambda doing: None
) -> MeasuredPictures:
    """Measures every picture of a set, split after split.

    Args:
      prepared: The set.
      threads: How many threads measure; None: one for each core.
      max_pixels: The most pixels of a picture.
      told: Is told how many pictures are read.

    Raises:
      UserError: If a picture cannot be decoded, or is too large.
    """
    records: list[Record] = []
    in_order: list[Record] = []  # the same, read faster by whoever asks for one after the other
    for split in prepared.counts:
        examples, ids = prepared.examples(split), prepared.ids(split)
        read_in_block = BlockReader(examples)
        for position, (name, label) in enumerate(zip(ids, prepared.labels(split), strict=True)):
            alone, in_block = partial(_read, examples, position), partial(read_in_block, position)
            record = Record(name, label, alone, split=split, max_pixels=max_pixels)
            records.append(record)
            in_order.append(dataclasses.replace(record, read=in_block))
    measured = measure(_counted(in_order, told), threads)
    for record, fault in zip(records, measured.fault, strict=True):
        if fault:
            raise UserError(f"{record.id} of {prepared.path} cannot be read: {fault}.")
    return MeasuredPictures.from_measures(records, measured)


def _read(examples: EncodedExamples, position: int) -> bytes:
    return examples[[position]][0].image
