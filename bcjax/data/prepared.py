"""A prepared set on disk: its classes, counts, findings, and each picture's bytes by position."""

import bisect
import csv
import functools
import hashlib
import itertools
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt64

from bcjax.data import decode
from bcjax.data.curate.datasheet import Datasheet
from bcjax.data.curate.leaks import LeakReport
from bcjax.data.curate.measured_pictures import pixel_sha256
from bcjax.runtime import extras
from bcjax.runtime.errors import UserError, disk_fault
from bcjax.runtime.run_dir import TrainedOn

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow_datasets as tfds

MANIFEST = "splits.csv"  # filename, label, split, group of each picture, in the order written
SKIPPED = "skipped.csv"  # the pictures that were left out, and why; missing if there are none
HASHES = "hashes.csv"  # digests of each picture; missing in sets of early versions
DATASHEET = "datasheet.json"  # what was found in the source, and done to it

_BUFFER = 1 << 15  # bytes
_BLOCK = 32  # pictures that are read together
# Blocks that are kept. Pictures are measured by up to two threads for each core, each of which is
# in a block of its own: with fewer kept, blocks would be read again and again.
_BLOCKS = 2 * (os.cpu_count() or 1) + 4

_MEND = "delete the folder and prepare it again"


def _damaged(path: Path, error: Exception) -> UserError:
    """Returns what to raise where files of a prepared set cannot be read."""
    if fault := disk_fault(error, path):
        return UserError(f"{fault}.")
    return UserError(f"The prepared set {path} cannot be read ({error}): {_MEND}.")


class EncodedExample(NamedTuple):
    """One picture of a prepared set, still encoded, and its label."""

    image: bytes
    label: int


class EncodedExamples:
    """The pictures of one split, still encoded, by position."""

    def __init__(self, builder: "tfds.core.DatasetBuilder", split: str):
        self._path = builder.data_path
        info = builder.info.splits[split]
        self._shards = [_Shard(str(path)) for path in info.filepaths]
        self._starts = list(itertools.accumulate(info.shard_lengths, initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, positions: Iterable[int]) -> list[EncodedExample]:
        of_shard: dict[int, list[tuple[int, int]]] = {}  # row in the result, position in the file
        for row, position in enumerate(map(int, positions)):
            if not 0 <= position < len(self):
                raise IndexError(f"Position {position} of {len(self)} pictures.")
            shard = bisect.bisect_right(self._starts, position) - 1
            of_shard.setdefault(shard, []).append((row, position - self._starts[shard]))
        read: dict[int, EncodedExample] = {}
        try:
            for shard, asked in of_shard.items():
                rows, inside = zip(*asked, strict=True)
                records = map(_parsed, self._shards[shard].read(inside))
                read.update(zip(rows, records, strict=True))
        except RuntimeError as error:
            raise _damaged(self._path, error) from error
        return [read[row] for row in range(len(read))]


class BlockReader:
    """Reads the pictures of one split one by one, each with the block of pictures around it.

    In a block a picture takes an eighth of the time that it takes alone. The last blocks are kept,
    so that threads which read pictures near each other read each block once.
    """

    def __init__(self, examples: EncodedExamples):
        self._examples = examples
        self._lock = threading.Lock()  # else several threads would read the same block
        self._block = functools.lru_cache(_BLOCKS)(self._read)

    def __call__(self, position: int) -> bytes:
        """Returns the picture at a position."""
        block, row = divmod(position, _BLOCK)
        with self._lock:
            return self._block(block)[row]

    def _read(self, block: int) -> list[bytes]:
        stop = min((block + 1) * _BLOCK, len(self._examples))
        return [example.image for example in self._examples[range(block * _BLOCK, stop)]]


def _parsed(record: bytes) -> EncodedExample:
    from tensorflow_datasets.proto import tf_example_pb2  # here, as TFDS in `PreparedSet`

    feature = tf_example_pb2.Example.FromString(record).features.feature
    return EncodedExample(
        feature["image"].bytes_list.value[0], feature["label"].int64_list.value[0]
    )


class _Shard:
    """One file of serialised examples, which is opened when the first of them is read.

    TFDS's own data source starts a thread for each file of each batch, and its decoding of features
    takes six times as long as parsing the message, and decodes pictures in another way than
    `decode` does. Reading record by record takes less CPU time than a batch in one call, but gives
    the interpreter away for each, and waits to have it back: beside two busy programs on two cores
    `disk` fed 0.64 times what it did by TFDS, and in one call it feeds 1.2 times that.
    """

    def __init__(self, path: str):
        self._path = path
        self._reader: Any = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["_Shard"], tuple[str]]:
        return _Shard, (self._path,)  # another process opens the file itself

    def read(self, positions: Sequence[int]) -> Sequence[bytes]:
        """Returns the records at these positions; threads may read at the same time."""
        with self._lock:
            if self._reader is None:
                self._reader = self._open()
        return self._reader.read(positions)

    def _open(self) -> Any:
        from array_record.python import array_record_module  # not there on every system

        return array_record_module.ArrayRecordReader(
            self._path, options="readahead_buffer_size:0", file_reader_buffer_size=_BUFFER
        )


class PreparedSet:
    """A set that `preparation.prepare` wrote.

    Attributes:
      path: Folder of the set.
      classes: Class names in label order.
      source_classes: Class names of the source in label order, with those that were dropped. With
        these as `data.classes`, the same source is found again.
      notes: Sentences on where the set came from that the user should see.
      rules: The keys of the config's `data` branch, and their values, that decided which pictures
        are here and in which split.
      findings: What was found in the source.
      leaks: What the splits share.
    """

    def __init__(self, path: Path):
        """Opens the set in the folder `path`; see `is_at`.

        Raises:
          UserError: If it is damaged.
        """
        import tensorflow_datasets as tfds  # here, for it takes 0.2 s, and much needs no set

        self.path = path
        try:
            self._builder = tfds.builder_from_directory(path)
        except Exception as error:  # whatever TFDS's readers of JSON and protobuf raise
            raise _damaged(path, error) from error
        self.classes = tuple(self._builder.info.features["label"].names)
        sheet = self.datasheet
        self.source_classes = sheet.source.classes if sheet else self.classes
        self.notes = sheet.notes if sheet else ()
        self.findings = sheet.findings if sheet else ()
        self.leaks = sheet.leaks if sheet else LeakReport((), {})
        settings = {**sheet.rules, **sheet.splits} if sheet else {}
        self.rules = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}

    @staticmethod
    def is_at(path: Path) -> bool:
        """Returns whether `path` is the folder of a prepared set."""
        return (path / "dataset_info.json").exists() and (path / MANIFEST).exists()

    @functools.cached_property
    def datasheet(self) -> Datasheet | None:
        """The content of `datasheet.json`; None in a set without one."""
        path = self.path / DATASHEET
        return Datasheet.read_file(path, _MEND) if path.exists() else None

    @functools.cached_property
    def counts(self) -> dict[str, list[int]]:
        """Number of pictures by split, each a list in label order."""
        seen = Counter((row["split"], row["label"]) for row in self._rows())
        splits = self._builder.info.splits
        return {split: [seen[split, name] for name in self.classes] for split in splits}

    @functools.cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the pictures' names, labels and splits, and their order."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()[:16]

    @functools.cached_property
    def pixels(self) -> str:
        """16 hexadecimal digits of the pictures' pixels; "" in a set that does not tell them."""
        path = self.path / HASHES
        if not path.exists():
            return ""
        with path.open(newline="") as file:
            each = [row["pixel_sha256"] for row in csv.DictReader(file)]
        return hashlib.sha256("\n".join(each).encode()).hexdigest()[:16]

    def as_trained_on(self) -> TrainedOn:
        """Returns what a run that is trained on this set keeps of it."""
        return TrainedOn(str(self.path), self.digest, self.counts, self.pixels)

    def size(self, split: str) -> int:
        """Returns the number of pictures in a split; 0 if there is no such split."""
        return sum(self.counts.get(split, ()))

    def describe_splits(self) -> str:
        """Returns the splits and their sizes, such as "train (800), test (200)"."""
        return ", ".join(f"{split} ({sum(each):,})" for split, each in self.counts.items())

    def ids(self, split: str) -> list[str]:
        """Returns the stable ids of a split's pictures, by position."""
        return [row["filename"] for row in self._rows(split)]

    def groups(self, split: str) -> list[str]:
        """Returns the group of each of a split's pictures, by position; "" for no group."""
        return [row["group"] for row in self._rows(split)]

    def labels(self, split: str) -> list[int]:
        """Returns the labels of a split's pictures, by position."""
        label_of = {name: label for label, name in enumerate(self.classes)}
        return [label_of[row["label"]] for row in self._rows(split)]

    def digests(self, split: str) -> UInt64[np.ndarray, "N"]:
        """Returns the first 64 bits of the SHA-256 of each picture's pixels, by position.

        They were measured when the set was prepared; those of a set without them are measured now.
        """
        return self._digests.get(split, np.empty(0, np.uint64))

    @functools.cached_property
    def _digests(self) -> dict[str, UInt64[np.ndarray, "N"]]:
        known, path = {}, self.path / HASHES
        if path.exists():
            with path.open(newline="") as file:
                rows = csv.reader(file)  # of a million pictures, faster than a dictionary for each
                name, digest = map(next(rows).index, ("filename", "pixel_sha256"))
                known = {row[name]: int(row[digest][:16], 16) for row in rows}
        found: dict[str, list[int]] = {}
        for row in self._rows():
            split = found.setdefault(row["split"], [])
            measured = known.get(row["filename"])
            split.append(self._measure(row["split"], len(split)) if measured is None else measured)
        return {split: np.array(each, np.uint64) for split, each in found.items()}

    def _measure(self, split: str, position: int) -> int:
        (example,) = self.examples(split)[[position]]
        return int(pixel_sha256(decode.decode(example.image, max_pixels=sys.maxsize))[:16], 16)

    def examples(self, split: str) -> EncodedExamples:
        """Opens the encoded pictures of a split."""
        return EncodedExamples(self._builder, split)

    def to_dict(self) -> dict[str, Any]:
        """Returns the set's summary, ready for JSON."""
        return {
            "path": str(self.path),
            "digest": self.digest,
            "classes": list(self.classes),
            "counts": {
                split: dict(zip(self.classes, each, strict=True))
                for split, each in self.counts.items()
            },
            "findings": [
                {
                    "kind": finding.kind,
                    "title": finding.title,
                    "sentence": finding.sentence,
                    "mend": finding.mend,
                    "pictures": sum(map(len, finding.clusters)),
                }
                for finding in self.findings
            ],
            "leaks": self.leaks.sentence,
            "notes": list(self.notes),
        }

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a row for each picture: filename, label (the class name), split and group.

        Raises:
          UserError: If pandas is not installed.
        """
        extras.check("pandas", "A table of pictures")
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=["filename", "label", "split", "group"])

    def _rows(self, split: str | None = None) -> list[dict[str, str]]:
        with (self.path / MANIFEST).open(newline="") as file:
            return [row for row in csv.DictReader(file) if split in (None, row["split"])]
