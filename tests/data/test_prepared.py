"""The encoded pictures of a prepared set: those that were written, whoever reads them and how."""

import functools
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow_datasets as tfds

from bcjax import config as configs
from bcjax.data import preparation, prepared
from bcjax.data.prepared import BlockReader, EncodedExamples
from bcjax.data.records import Record
from bcjax.data.sources import synthetic

COUNT = 23
PICTURES = [b"picture" + bytes([i]) * (1 + 97 * i) for i in range(COUNT)]  # never decoded here


@pytest.fixture(scope="module", params=[1, 4])
def examples(request, tmp_path_factory):
    """The same pictures in one file, and in several."""
    records = [
        Record(str(i), i % 3, functools.partial(PICTURES.__getitem__, i), split="train")
        for i in range(COUNT)
    ]
    builder = preparation.Cells(
        records=records, classes=("a", "b", "c"), data_dir=tmp_path_factory.mktemp("sets")
    )
    tfds.disable_progress_bar()
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=request.param)
    )
    assert len(builder.info.splits["train"].filepaths) == request.param
    return EncodedExamples(builder, "train")


def test_any_positions_in_any_order_give_what_was_written(examples):
    positions = [22, 0, 5, 5, 21, 1, 11, 12]
    assert len(examples) == COUNT
    assert examples[positions] == [(PICTURES[i], i % 3) for i in positions]


def test_threads_that_read_at_the_same_time_get_their_own_pictures(examples):
    asked = [[(i * step) % COUNT for i in range(200)] for step in (1, 3, 5, 7)]
    with ThreadPoolExecutor(len(asked)) as threads:
        for positions, read in zip(asked, threads.map(examples.__getitem__, asked), strict=True):
            assert read == [(PICTURES[i], i % 3) for i in positions]


def test_threads_that_read_one_by_one_read_each_block_once(examples, monkeypatch):
    monkeypatch.setattr(prepared, "_BLOCK", 5)  # the last block is not whole
    read = []

    class Watched:
        def __len__(self):
            return len(examples)

        def __getitem__(self, positions):
            read.append(list(positions))
            return examples[positions]

    one_by_one = BlockReader(Watched())
    parts = [range(start, min(start + 5, COUNT)) for start in range(0, COUNT, 5)]
    with ThreadPoolExecutor(len(parts)) as threads:
        found = threads.map(lambda part: [one_by_one(i) for i in part], parts)
        assert [picture for part in found for picture in part] == PICTURES
    assert sorted(read) == [list(part) for part in parts]


def test_another_process_can_be_given_examples_that_were_read(examples):
    whole = examples[range(COUNT)]
    assert pickle.loads(pickle.dumps(examples))[range(COUNT)] == whole


@pytest.mark.parametrize("position", [-1, COUNT])
def test_a_position_that_is_none_is_refused(examples, position):
    with pytest.raises(IndexError, match=f"Position {position} of 23"):
        examples[[position]]


def test_the_records_are_those_that_tfds_reads_itself(tmp_path):
    prepared = preparation.write_set(
        synthetic.source(40, size=16), tmp_path / "cells", configs.default().data
    )
    source = tfds.builder_from_directory(prepared.path).as_data_source(
        "train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    own = prepared.examples("train")[range(len(source))]
    assert own == [(example["image"], example["label"]) for example in source]
