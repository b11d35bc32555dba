"""Pictures are measured and searched for copies once, whatever is left out of them then."""

import functools
import logging

import numpy as np
import pytest
from blobs import blobs, pictures, png, record

from bcjax.data.curate import measured_pictures, near_duplicates
from bcjax.data.records import Record
from bcjax.runtime import progress_log, worker_processes
from bcjax.runtime.errors import UserError

CELLS = blobs(12)


def test_copies_among_fewer_pictures_are_found_without_a_second_search(monkeypatch):
    grey = np.full_like(CELLS[0], 90)
    images = [*CELLS, CELLS[3], CELLS[3][::-1], CELLS[5], CELLS[3], grey, grey, CELLS[5][:, ::-1]]
    records = [record(f"{i}", np.ascontiguousarray(image)) for i, image in enumerate(images)]
    whole = pictures(records)
    removed = {"3", "7", "14", "16"}  # the first of its kind, a single one, a copy, a blank one
    anew = pictures([each for each in records if each.id not in removed])
    monkeypatch.delattr(near_duplicates, "similar_hashes")
    left = whole.without(removed)
    assert len(anew.near_pairs) == 3
    assert left.records == anew.records
    np.testing.assert_array_equal(left.near_pairs, anew.near_pairs)
    assert left.without({"12"}).near_pairs.tolist() == [[4, 13], [10, 11]]


def missing(name):
    raise FileNotFoundError(f"{name} is gone")


def mixed_records():
    """More than a part, some of which cannot be read, decoded, or are larger than allowed."""
    sizes = [blobs(70, size=size) for size in (16, 33)]
    records = [record(f"{k}/{i}", image) for k, some in enumerate(sizes) for i, image in
               enumerate(some)]  # fmt: skip
    records[3] = Record("gone", 0, functools.partial(missing, "gone"))
    records[80] = Record("torn", 0, functools.partial(bytes, png(CELLS[0])[:90]))
    records[81] = Record("large", 0, functools.partial(png, CELLS[0]), max_pixels=9)
    return records


def assert_same(one, other):
    for name, column in vars(one).items():
        assert column.dtype == getattr(other, name).dtype, name
        np.testing.assert_array_equal(column, getattr(other, name), name)


@pytest.mark.parametrize("threads", [2, 3])
def test_processes_measure_what_one_thread_does(monkeypatch, threads):
    records = mixed_records()
    alone = measured_pictures.measure(records, 1)
    assert [records[i].id for i in np.flatnonzero(alone.fault)] == ["gone", "torn", "large"]
    monkeypatch.setattr(measured_pictures, "_MANY", 2)
    monkeypatch.setattr(measured_pictures, "_BATCH", 5000)  # several to a part
    monkeypatch.setattr(worker_processes, "possible", lambda: False)
    assert_same(measured_pictures.measure(records, threads), alone)
    monkeypatch.undo()
    monkeypatch.setattr(measured_pictures, "_MANY", 2)
    assert_same(measured_pictures.measure(records, threads), alone)


def test_no_pictures_have_measures_of_no_pictures():
    none, one = measured_pictures.measure([]), measured_pictures.measure([record("a", CELLS[0])])
    assert len(none) == 0
    assert_same(one[np.arange(0)], none)


def test_a_process_that_is_killed_is_told_of_with_the_mend(monkeypatch):
    started = worker_processes.WorkerProcesses.__enter__

    def killed(self):
        for process in self._all:
            process.kill()
        return started(self)

    monkeypatch.setattr(measured_pictures, "_MANY", 2)
    monkeypatch.setattr(worker_processes.WorkerProcesses, "__enter__", killed)
    with pytest.raises(UserError, match=r"has ended .* set config.data.threads=1"):
        measured_pictures.measure([record(f"{i}", cell) for i, cell in enumerate(CELLS)], 2)


def test_the_log_says_how_many_pictures_are_measured(monkeypatch, caplog):
    monkeypatch.setattr(progress_log, "SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "bcjax"):
        measured_pictures.measure([record(f"{i}", CELLS[i % 12]) for i in range(70)], 1)
    said = [each.message.rpartition(", ")[0] for each in caplog.records]
    assert said == ["pictures: 64 of 70 measured", "pictures: 70 of 70 measured"]
