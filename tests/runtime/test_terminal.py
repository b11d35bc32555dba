"""Output that nobody reads any more stops neither a command nor a training run."""

import json
import os
import shutil
import sys

import processes
import pytest
from commandline import TINY, contents

from bcjax.main import main


@pytest.fixture(params=[os.pipe, os.openpty], ids=["pipe", "terminal"])
def nobody(request, monkeypatch):
    """Makes stdout a pipe or terminal that is gone; returns a function that calls `bcjax`."""
    reading, writing = request.param()
    os.close(reading)

    def call(*arguments):
        with os.fdopen(writing, "w") as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "argv", ["bcjax", *map(str, arguments)])
            patch.setattr(sys, "unraisablehook", sys.unraisablehook)
            patch.setattr("bcjax.runtime.memory.keep_freed", lambda: None)
            return main()

    return call


@pytest.mark.parametrize("nobody", [os.pipe], ids=["pipe"], indirect=True)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["models"],
        ["models", "--json"],
        ["evaluate", "--workdir=RUN", "--split=val"],
        ["predict", "--workdir=RUN", "PICTURES"],
        ["predict", "--workdir=RUN", "--csv", "PICTURES"],
        ["predict", "--workdir=RUN", "--json", "PICTURES"],
        ["calibrate", "--workdir=RUN"],
        ["report", "--workdir=RUN"],
        ["explore", "--data.source=PICTURES", "--out=OUT/explore.html"],
        ["compare", "RUN", "OTHER", "--out=OUT"],
        ["prepare", "--data.source=PICTURES", "--out=OUT/set"],
    ],
    ids=" ".join,
)
def test_a_command_ends_well_when_nobody_reads_it(
    arguments, nobody, capfd, own_run, snapshots, tmp_path
):
    places = {"RUN": own_run, "OTHER": tmp_path / "other", "OUT": tmp_path / "out"}
    if "PICTURES" in " ".join(arguments):
        places["PICTURES"] = snapshots(tmp_path / "pictures")
    if "OTHER" in arguments:
        shutil.copytree(own_run, places["OTHER"])
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
    assert nobody(*arguments) == 0
    assert "Traceback" not in capfd.readouterr().err
    if "OUT" in str(arguments):
        assert contents(tmp_path / "out")


def test_a_command_ends_well_when_its_terminal_is_closed(nobody, caplog):
    assert nobody("configs") == 0
    assert "Nobody reads the output any more" in caplog.text


@pytest.mark.slow
def test_training_goes_on_when_nobody_reads_it(tmp_path):
    """As in `bcjax train | head -1`."""
    process = processes.start(tmp_path / "run", *TINY)
    assert process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 0, said
    assert "Nobody reads the output any more" in said
    assert "Traceback" not in said
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 6
    assert (tmp_path / "run" / "eval" / "test.json").exists()
