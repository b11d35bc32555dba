"""A dataset of TensorFlow Datasets, read without TensorFlow."""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from bcjax.config import nearest
from bcjax.data.records import Record, Source, fingerprint, split_from_name
from bcjax.runtime import scratch
from bcjax.runtime.errors import UserError


def read(name: str, data_dir: str | None = None) -> Source:
    """Reads `dataset`, `dataset/config` or `dataset/config:1.0.0`, prepared or to be prepared.

    The picture and the label are found by type, `Image` and `ClassLabel`. Labels are read here,
    in one pass over the files; pictures stay encoded.

    Args:
      name: The dataset, as `tfds.load` takes it.
      data_dir: Folder of the prepared files; None: TFDS's own folder.

    Raises:
      UserError: If there is no such dataset, it cannot be prepared here, its files need TensorFlow,
        or it does not have exactly one picture and one label.
    """
    import tensorflow_datasets as tfds

    builder = _prepared_builder(name, data_dir)
    label = _only_feature(builder, tfds.features.ClassLabel)
    named = {key: split_from_name(key) for key in builder.info.splits}
    known = {key: split for key, split in named.items() if split}
    notes = [
        f"Ignored the split {key!r}, which is none of train, val and test."
        for key in named
        if known and key not in known
    ]
    records, unlabelled = [], 0
    for key, split in (known or named).items():
        for i, (value, read_) in enumerate(_labelled_readers(builder, key, label)):
            if value < 0:  # how TFDS marks a label that is withheld
                unlabelled += 1
            else:
                records.append(Record(f"{key}/{i}", value, read_, split=split or ""))
    if unlabelled:
        notes.append(f"Left out {unlabelled} pictures without a label.")
    stored = sorted(builder.data_path.iterdir(), key=lambda path: path.name)
    local = [path for path in map(Path, stored) if path.is_file()]
    return Source(
        kind="TFDS dataset",
        location=name,
        classes=tuple(builder.info.features[label].names),
        records=records,
        fingerprint=fingerprint(
            builder.info.full_name,
            *(() if local else [(str(f), f.stat().length, f.stat().mtime) for f in stored]),
        ),
        notes=tuple(notes),
        files=local,  # none on Google's storage, where a file has no inode
    )


def _labelled_readers(
    builder: Any, split: str, label: str
) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Yields the label of each example, and a function that reads its picture, still encoded."""
    import tensorflow_datasets as tfds

    image = _only_feature(builder, tfds.features.Image)
    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        examples = builder.as_data_source(split=split, decoders=encoded)
    except NotImplementedError as error:
        raise UserError(
            f"{builder.info.full_name} in {builder.data_path} is stored as "
            f"{builder.info.file_format.value}, which needs TensorFlow to read: prepare it "
            "again with file_format='array_record' into another data.tfds_dir"
        ) from error
    for i in range(len(examples)):
        yield int(examples[i][label]), functools.partial(_read_picture, examples, i, image)


def _read_picture(examples: Sequence[dict[str, Any]], index: int, image: str) -> bytes:
    return examples[index][image]


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a dataset that is on disk; it is downloaded if it is not there yet."""
    import tensorflow_datasets as tfds

    try:
        # TFDS leaves a folder in $TMPDIR for what it asks about a dataset that is not there yet.
        with (
            scratch.beside(Path(tempfile.gettempdir()) / "bcjax-tfds") as temporary,
            mock.patch.object(tempfile, "tempdir", str(temporary)),
        ):
            temporary.mkdir()
            builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        dataset = name.split("/")[0].split(":")[0]
        known = tfds.list_builders(with_community_datasets=False)
        # A misspelt name may be a folder here, or a dataset that was prepared elsewhere.
        for folder in filter(os.path.isdir, {".", data_dir or "."}):
            known += os.listdir(folder)
        raise UserError(
            f"data.source is {name!r}, which is neither a file or folder nor a dataset of TFDS"
            f"{nearest(dataset, known)}"
        ) from error
    except (AssertionError, ValueError, ImportError) as error:  # config, version, requirements
        raise UserError(
            f"TFDS cannot open {name!r} ({_last_line(error)}): correct the name, or install what "
            "it needs"
        ) from error
    if not builder.is_prepared():
        try:
            builder.download_and_prepare(file_format="array_record")
        except Exception as error:  # whatever a network, a disk or a dataset's own code raises
            raise UserError(
                f"{name!r} is not in {builder.data_path} and cannot be prepared here "
                f"({type(error).__name__}: {_last_line(error)}): where TensorFlow and the network "
                f"are at hand run tfds.builder({name!r}).download_and_prepare("
                "file_format='array_record') and copy the folder here"
            ) from error
    return builder


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[-1]


def _only_feature(builder: Any, kind: type) -> str:
    """Returns the one feature of this type; of several, the one that is supervised."""
    matching = [key for key, value in builder.info.features.items() if isinstance(value, kind)]
    supervised = [key for key in matching if key in (builder.info.supervised_keys or ())]
    if len(matching) == 1 or len(supervised) == 1:
        return (matching if len(matching) == 1 else supervised)[0]
    features = ", ".join(sorted(builder.info.features))
    raise UserError(
        f"{builder.info.full_name} has {len(matching)} features of the type {kind.__name__} where "
        f"one is needed (its features: {features}): choose another dataset or config"
    )
