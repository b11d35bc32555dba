"""A prepared set on disk: class names, counts, and each picture's bytes by position."""

import csv
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

MANIFEST = "splits.csv"  # filename, label, split, group of each picture, in the order written
SKIPPED = "skipped.csv"  # what was left out and why, where anything was
DATASHEET = "datasheet.json"  # what was found in the source, and done to it


class Example(NamedTuple):
    """One picture of a prepared set, still encoded."""

    image: bytes
    label: int


class Examples:
    """The pictures of one split, by position."""

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str):
        # The serialised records themselves: TFDS's own decoding of features costs six times what
        # parsing the message does, and decodes pictures that we decode differently.
        self._records = builder.as_data_source(split).data_source

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, positions: Iterable[int]) -> list[Example]:
        records = self._records.__getitems__([int(p) for p in positions])
        features = [tf_example_pb2.Example.FromString(r).features.feature for r in records]
        return [
            Example(f["image"].bytes_list.value[0], f["label"].int64_list.value[0])
            for f in features
        ]


class Prepared:
    """A set written by `prepare.write`.

    Attributes:
      path: Its folder.
      classes: Class names in label order.
      source_classes: Those that the source had, in label order: these and what was dropped. What
        `data.classes` is to be for the source to be found as it was.
      notes: What the user should know about where it came from.
      rules: The keys of the config's `data` branch, and their values, that decided which pictures
        are here and in which split.
      leaks: What the splits leak, a sentence; "": nothing.
    """

    def __init__(self, path: Path):
        self.path = path
        self._builder = tfds.builder_from_directory(path)
        self.classes = tuple(self._builder.info.features["label"].names)
        sheet = self.datasheet
        self.source_classes = tuple(sheet.get("source", {}).get("classes", self.classes))
        self.notes = tuple(sheet.get("notes", ()))
        self.leaks: str = sheet.get("leaks", {}).get("sentence", "")
        settings = {**sheet.get("rules", {}), **sheet.get("splits", {})}
        self.rules = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}

    @staticmethod
    def is_at(path: Path) -> bool:
        return (path / "dataset_info.json").exists() and (path / MANIFEST).exists()

    @functools.cached_property
    def datasheet(self) -> Mapping[str, Any]:
        """What `curate/datasheet.py` describes; empty in a set without one."""
        path = self.path / DATASHEET
        return json.loads(path.read_text()) if path.exists() else {}

    @functools.cached_property
    def counts(self) -> dict[str, list[int]]:
        """Pictures per split, each a list in label order."""
        with (self.path / MANIFEST).open(newline="") as file:
            seen = Counter((row["split"], row["label"]) for row in csv.DictReader(file))
        splits = self._builder.info.splits
        return {split: [seen[split, name] for name in self.classes] for split in splits}

    @functools.cached_property
    def digest(self) -> str:
        """Identifies the set: which pictures, labels and splits, in which order."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()[:16]

    def size(self, split: str) -> int:
        return sum(self.counts.get(split, ()))

    def named(self) -> str:
        """Returns "train (800), test (200)"."""
        return ", ".join(f"{split} ({sum(each):,})" for split, each in self.counts.items())

    def ids(self, split: str) -> list[str]:
        """Returns the stable ids of a split's pictures, by position."""
        return [row["filename"] for row in self._rows(split)]

    def groups(self, split: str) -> list[str]:
        """Returns the group of each of a split's pictures, by position; "": none."""
        return [row["group"] for row in self._rows(split)]

    def labels(self, split: str) -> list[int]:
        """Returns the labels of a split's pictures, by position."""
        label_of = {name: label for label, name in enumerate(self.classes)}
        return [label_of[row["label"]] for row in self._rows(split)]

    def _rows(self, split: str) -> list[dict[str, str]]:
        with (self.path / MANIFEST).open(newline="") as file:
            return [row for row in csv.DictReader(file) if row["split"] == split]

    def examples(self, split: str) -> Examples:
        return Examples(self._builder, split)
