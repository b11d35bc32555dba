"""`bcjax predict` answers whatever names pictures, and with --out writes as many as there are."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import ready_runs
from commandline import refused, run_bcjax
from many_pictures import BAD, drawings, listed, zipped
from pyarrow import parquet

import bcjax

COUNT = 21


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return ready_runs.near_each_other(tmp_path_factory.mktemp("runs"), "ab")


@pytest.fixture
def cells(tmp_path):
    drawings(tmp_path / "cells", COUNT)
    return tmp_path / "cells"


def predict(runs, *arguments):
    return run_bcjax("predict", f"--workdir={runs[0]}", "--batch_size=4", *arguments)


def test_places_of_every_kind_are_answered_alike(runs, cells, tmp_path):
    paths = sorted(cells.iterdir())
    table, archive = listed(paths, tmp_path / "list.csv"), zipped(paths, tmp_path / "a.zip")

    def labels(word):
        ran = predict(runs, "--json", word)
        assert ran.status == 0, ran.err
        return [(row["label"], row["probabilities"]) for row in json.loads(ran.out)]

    expected = labels(cells)
    assert len(expected) == COUNT
    for word in (table, archive, f"{cells}/*.png"):
        assert labels(word) == expected


def test_a_csv_file_is_the_table_that_is_printed(runs, cells, tmp_path):
    printed = predict(runs, "--csv", cells).out
    ran = predict(runs, f"--out={tmp_path}/a.csv", cells)
    assert (ran.status, ran.out) == (0, f"{COUNT} pictures are labelled in {tmp_path}/a.csv.\n")
    assert (tmp_path / "a.csv").read_text() == printed
    assert re.search(rf"{COUNT}/{COUNT} pictures  [\d,]+ pictures/s\n$", ran.err)


def test_json_lines_are_the_objects_that_are_printed(runs, cells, tmp_path):
    several = f"--with={runs[1]}"
    printed = json.loads(predict(runs, several, "--json", cells).out)
    assert predict(runs, several, f"--out={tmp_path}/a.jsonl", cells).status == 0
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == printed
    assert "mutual_information" in printed[0]


def test_parquet_holds_calibrated_answers_to_the_last_bit(trained, cells, tmp_path, own_run):
    ran = run_bcjax("calibrate", f"--workdir={own_run}", "--split=val")
    assert ran.status == 0, ran.err
    out = tmp_path / "a.parquet"
    stated = "--prevalence=" + ",".join(f"{name}=0.125" for name in bcjax.load(own_run).classes)
    for flags, prevalence in (([], None), ([stated], stated.partition("=")[2])):
        out.unlink(missing_ok=True)
        assert (
            run_bcjax("predict", f"--workdir={own_run}", f"--out={out}", *flags, cells).status == 0
        )
        predictions = bcjax.load(own_run).predict(cells, prevalence=prevalence)
        for row, each in zip(parquet.read_table(out).to_pylist(), predictions, strict=True):
            assert row["set"] == list(each.set)
            assert row["distance"] == each.distance
            assert {name: row[name] for name in each.probabilities} == each.probabilities
            assert ("prevalence" in row) == bool(flags)


def test_bad_pictures_are_counted_and_listed(runs, tmp_path):
    cells = tmp_path / "cells"
    drawings(cells, COUNT, bad=True)
    out = tmp_path / "a.csv"
    ran = predict(runs, f"--out={out}", cells)
    assert ran.status == 2
    assert ran.err.splitlines()[-1] == (
        f"bcjax: 1 of {COUNT} pictures cannot be read: {out}.unreadable.csv says why; {out} holds "
        "the labels of the others."
    )
    (row,) = csv.DictReader(io.StringIO((tmp_path / "a.csv.unreadable.csv").read_text()))
    assert row["filename"] == str(cells / f"{BAD:03}.png")
    assert len(out.read_text().splitlines()) == COUNT


# The program, killed when it has put the part in place that ends with the twelfth picture.
KILLED = """
import os, signal, sys
from bcjax.evaluation import prediction_file
from bcjax.main import main
prediction_file._PART = 4
put = os.replace
def replace(source, target):
    put(source, target)
    if "-000000000012." in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
sys.exit(main())
"""


def killed(*arguments):
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL


def test_the_same_command_goes_on_after_a_kill(runs, cells, tmp_path, monkeypatch):
    out, command = tmp_path / "a.csv", ["predict", f"--workdir={runs[0]}", "--batch_size=2", cells]
    arguments = [*map(str, command), f"--out={out}"]
    killed(*arguments)
    parts = sorted(path.name for path in (tmp_path / "a.csv.part").glob("0*.csv"))
    assert parts[0] == "000000000000-000000000004.csv"
    assert len(parts) == 3
    assert not out.exists()
    read = []
    from bcjax.evaluation import picture_stream

    genuine = picture_stream._Folder.read
    monkeypatch.setattr(
        picture_stream._Folder, "read", lambda self, key: read.append(key) or genuine(self, key)
    )
    ran = run_bcjax(*arguments)
    assert ran.status == 0, ran.err
    assert ran.out == f"{COUNT} pictures are labelled in {out} (12 of them before).\n"
    assert sorted(read) == [str(path) for path in sorted(cells.iterdir())[12:]]
    assert not (tmp_path / "a.csv.part").exists()
    assert run_bcjax(*map(str, command), f"--out={tmp_path}/b.csv").status == 0
    assert out.read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_finished_file_is_left_alone(runs, cells, tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    refused(predict(runs, f"--out={tmp_path}/a.csv", cells), "a.csv is there already, and finished")
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_another_run_for_a_file_that_was_begun_is_refused(runs, cells, tmp_path):
    out = f"--out={tmp_path}/a.csv"
    arguments = [f"--workdir={runs[0]}", "--batch_size=2", str(cells), out]
    killed("predict", *arguments)
    before = sorted(os.listdir(tmp_path / "a.csv.part"))
    other = run_bcjax("predict", f"--workdir={runs[1]}", *arguments[1:])
    refused(other, "was begun with run", runs[0], "and now it is", runs[1], "delete that folder")
    assert sorted(os.listdir(tmp_path / "a.csv.part")) == before


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--out=a.xlsx"], ["a.xlsx", ".parquet or .csv or .jsonl"]),
        (["--out=a.csv", "--json"], ["leave out --json and --csv"]),
        (["--out=gs://bucket/a.csv"], ["remote path"]),
    ],
)
def test_flags_that_make_no_file_are_refused(runs, cells, tmp_path, monkeypatch, flags, named):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    refused(predict(runs, *flags, cells), *named)
    assert sorted(os.listdir()) == before


def test_places_that_hold_no_picture_are_refused_before_anything_is_written(runs, tmp_path):
    (tmp_path / "a.csv").write_text("name\nb.png\n")
    zipped([], tmp_path / "empty.zip")
    out = f"--out={tmp_path}/out.csv"
    refused(predict(runs, out, tmp_path / "a.csv"), "has no column filename or file")
    refused(predict(runs, out, tmp_path / "empty.zip"), "empty.zip holds no picture")
    refused(predict(runs, out, f"{tmp_path}/*.png"), "Nothing matches the pattern")
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "empty.zip"]
