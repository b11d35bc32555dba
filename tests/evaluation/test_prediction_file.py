"""Predictions in a file: as `predict` gives them, and whole however often a writer was killed."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from commandline import contents
from many_pictures import BAD, Means, drawings
from places import SUPPORT
from pyarrow import parquet

from bcjax.evaluation import prediction_file, prediction_formats
from bcjax.evaluation.picture_stream import open_pictures
from bcjax.runtime.errors import UserError

ENDINGS = [".csv", ".jsonl", ".parquet"]
COUNT = 19


@pytest.fixture
def cells(tmp_path):
    drawings(tmp_path / "cells", COUNT, bad=True)
    return tmp_path / "cells"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(prediction_file, "_PART", 4)


def write(cells, out, batch_size=2, **options):
    pictures = open_pictures([cells])
    return prediction_file.write(Means(cells), pictures, out, batch_size, **options)


def rows(path):
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_holds_what_predict_says(cells, tmp_path, ending):
    out = tmp_path / f"new/labels{ending}"
    seen = []
    written = write(cells, out, progress=lambda done, total: seen.append((done, total)))
    assert written == prediction_file.Written(out, COUNT, 1, 0)
    assert seen == [(done, COUNT) for done in (*range(0, COUNT, 2), COUNT)]
    predictions = Means(cells).predict(cells, 2)
    for row, each in zip(rows(out), predictions, strict=True):
        probabilities = row.get("probabilities", row)
        assert (row["filename"], row["label"]) == (each.name, each.label)
        for name, value in each.probabilities.items():
            digits = 6 if ending == ".csv" else 17
            assert float(probabilities[name]) == pytest.approx(value, abs=10**-digits)
    (bad,) = rows(prediction_file.unreadable_path(out))
    assert bad["filename"] == str(cells / f"{BAD:03}.png")
    assert bad["reason"] == predictions.unreadable[0].reason
    assert sorted(path.name for path in out.parent.iterdir()) == [
        f"labels{ending}",
        f"labels{ending}.unreadable.csv",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_writer_may_be_killed_at_any_file_and_loses_and_doubles_nothing(cells, tmp_path, ending):
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, SUPPORT / "killed_writer.py", cells, folder, ending]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The list, the job, 5 parts, one of them with a bad picture, the bad ones, and the whole:
    # killed before and after each.
    assert int(done.stdout) >= 2 * 10
    whole = rows(folder / f"whole{ending}")
    assert len(whole) == COUNT - 1
    for path in folder.iterdir():
        if path.name.endswith(".unreadable.csv"):
            assert path.read_bytes() == (folder / f"whole{ending}.unreadable.csv").read_bytes()
        elif ending == ".parquet":
            assert rows(path) == whole, path
        else:
            assert path.read_bytes() == (folder / f"whole{ending}").read_bytes(), path
    assert not list(folder.glob("*.part"))


def interrupted(cells, out, after=5):
    """Begins a file, and stops after so many pictures."""

    def stop(done, total):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(cells, out, progress=stop)


def test_what_ctrl_c_ends_goes_on_with_what_was_done(cells, tmp_path):
    out = tmp_path / "a.csv"
    interrupted(cells, out, after=6)
    assert not out.exists()
    assert write(cells, out).resumed == 6
    write(cells, tmp_path / "b.csv")
    assert out.read_bytes() == (tmp_path / "b.csv").read_bytes()


def refused_because(sentence, cells, out, **options):
    before = contents(out.parent)
    with pytest.raises(UserError, match=sentence):
        write(cells, out, **options)
    assert contents(out.parent) == before


def test_a_finished_file_is_left_alone(cells, tmp_path):
    out = tmp_path / "a.csv"
    out.write_text("mine")
    refused_because("a.csv is there already, and finished: nothing was changed", cells, out)
    assert not (tmp_path / "a.csv.part").exists()
    interrupted(cells, tmp_path / "b.csv")
    (tmp_path / "b.csv").write_text("mine")
    refused_because("move the one you need away", cells, tmp_path / "b.csv")


def test_what_differs_from_what_was_begun_is_told(cells, tmp_path):
    out = tmp_path / "a.csv"
    interrupted(cells, out)
    refused_because("was begun with batch_size 2, and now it is 4", cells, out, batch_size=4)
    other = tmp_path / "other"
    drawings(other, COUNT)
    refused_because(r"was begun with run .*cells, and now it is .*other", other, out)
    drawings(cells / "more", 1)
    refused_because("was begun with pictures 19, and now it is 20", cells, out)
    (cells / "more" / "000.png").unlink()
    (cells / "000.png").rename(cells / "000a.png")
    refused_because("other pictures, or the same in another order", cells, out)
    (cells / "000a.png").rename(cells / "000.png")
    assert write(cells, out).pictures == COUNT


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [("step", 8, "checkpoint 7, and now it is 8"), ("__class__", type("Exported", (Means,), {}),
     "answered by Means, and now it is Exported")],
)  # fmt: skip
def test_another_network_is_told(cells, tmp_path, attribute, value, sentence):
    out = tmp_path / "a.csv"
    interrupted(cells, out)
    net = Means(cells)
    setattr(net, attribute, value)
    with pytest.raises(UserError, match=sentence):
        prediction_file.write(net, open_pictures([cells]), out, 2)


def test_pictures_that_vanish_meanwhile_are_listed(cells, tmp_path):
    def lose(done, total):
        (cells / f"{COUNT - 1:03}.png").unlink(missing_ok=True)

    out = tmp_path / "a.jsonl"
    assert write(cells, out, progress=lose).unreadable == 2
    lost = rows(prediction_file.unreadable_path(out))[-1]
    assert "No such file" in lost["reason"]
    assert len(rows(out)) == COUNT - 2


def test_a_second_writer_is_refused_while_the_first_one_writes(cells, tmp_path):
    out, seen = tmp_path / "a.csv", []

    def also(done, total):
        with pytest.raises(UserError, match=r"Another process is writing .*a\.csv: wait for it"):
            write(cells, out)
        seen.append(done)

    write(cells, out, progress=also)
    assert seen[-1] == COUNT
    assert len(rows(out)) == COUNT - 1


def test_a_second_process_is_refused_while_the_first_one_writes(cells, tmp_path):
    code = (
        "import sys; from pathlib import Path; from many_pictures import Means\n"
        "from bcjax.evaluation import prediction_file\n"
        "from bcjax.evaluation.picture_stream import open_pictures\n"
        "wait = lambda done, total: (print('writing', flush=True), sys.stdin.read())\n"
        "cells, out = map(Path, sys.argv[1:])\n"
        "prediction_file.write(Means(cells), open_pictures([cells]), out, 2, progress=wait)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(SUPPORT)])}
    with subprocess.Popen(
        [sys.executable, "-c", code, cells, tmp_path / "a.csv"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as first:  # fmt: skip
        assert first.stdout.readline() == b"writing\n"
        with pytest.raises(UserError, match="Another process is writing"):
            write(cells, tmp_path / "a.csv")
        first.send_signal(signal.SIGKILL)
    assert write(cells, tmp_path / "a.csv").pictures == COUNT  # the lock went with the process


def test_a_damaged_note_of_what_was_begun_is_told(cells, tmp_path):
    out = tmp_path / "a.csv"
    interrupted(cells, out)
    (tmp_path / "a.csv.part" / "job.json").write_text("{")
    refused_because("job.json is damaged .*delete .*a.csv.part to begin anew", cells, out)


def test_parquet_has_types_that_do_not_depend_on_the_pictures(cells, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"no picture")
    write(cells, tmp_path / "a.parquet")
    assert write(bad, tmp_path / "b.parquet").unreadable == 1
    assert parquet.read_schema(tmp_path / "a.parquet") == parquet.read_schema(
        tmp_path / "b.parquet"
    )
    assert rows(tmp_path / "b.parquet") == []


def test_parts_of_a_parquet_file_are_joined_a_group_of_rows_at_a_time(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_formats, "_ROW_GROUP", 5)
    write(cells, tmp_path / "a.parquet")
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [5, 5, 5, 3]
    names = file.read().column("filename").to_pylist()
    assert names == list(Means(cells).predict(cells).names)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_name_that_is_not_utf_8_is_written(tmp_path, ending):
    (path,) = drawings(tmp_path / "cells", 1)
    path.rename(os.fsdecode(os.fsencode(tmp_path / "cells") + b"/zell\xe9.png"))
    out = tmp_path / f"a{ending}"
    assert write(tmp_path / "cells", out).unreadable == 0
    assert b"zell" in out.read_bytes()
    if ending == ".csv":
        assert b"zell\xe9.png" in out.read_bytes()


@pytest.mark.parametrize("name", ["a", "a.xlsx", "a.json"])
def test_an_ending_that_is_no_formats_is_refused(cells, tmp_path, name):
    refused_because(r"must end in \.parquet or \.csv or \.jsonl", cells, tmp_path / "x" / name)
    assert not (tmp_path / "x").exists()


def test_answers_of_no_picture_have_a_row_of_names_alone():
    predictions = Means(None).nothing()
    assert prediction_formats.csv_header(predictions) == ["filename", "label", *predictions.classes]
    assert predictions.logits.shape == (0, 3)
    assert predictions.logits.dtype == np.float32
