"""Mistakes in the data as a person meets them: one sentence, its mend, and the way on."""

import csv
import json
import shutil

import pytest
from commandline import TINY, refused

from bcjax.data.prepared import PreparedSet


@pytest.fixture
def leaking(snapshots, tmp_path):
    """Splits of drawings, in a table, one of which is in two of them."""
    folder = snapshots(tmp_path / "cells")
    shutil.copy(folder / "ig/000000.jpg", folder / "ig/000009.jpg")
    splits = ("train", "train", "train", "val", "test")
    with (folder / "splits.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("filename", "label", "split"))
        for path in sorted(folder.rglob("*.jpg")):
            split = splits[int(path.stem) % 5]
            table.writerow((path.relative_to(folder), path.parent.name, split))
    return folder


LEAK = "ig/000000.jpg (train) = ig/000009.jpg (test)"


def test_to_train_on_a_split_that_leaks_is_refused(train, leaking):
    ran = train(f"--config.data.source={leaking}")
    refused(ran, LEAK, "--config.data.drop=duplicates", "--allow-leaks")


def test_training_goes_on_with_leave_and_the_run_knows(bcjax, leaking, tmp_path):
    flags = (*TINY, f"--config.data.source={leaking}", f"--workdir={tmp_path / 'run'}")
    ran = bcjax("train", *flags, "--allow-leaks")
    assert ran.status == 0, ran.err
    assert "the scores are too good" in " ".join(ran.out.split())
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["allow_leaks"]
    where = json.loads((tmp_path / "run" / "pictures.json").read_text())["path"]
    assert (
        LEAK
        in json.loads((tmp_path / "run").joinpath(where, "datasheet.json").read_text())["leaks"][
            "sentence"
        ]
    )


def test_prepare_refuses_a_leak_and_mends_it_without_a_config_file(bcjax, leaking, tmp_path):
    flags = (f"--data.source={leaking}", f"--out={tmp_path / 'out'}", "--nocanary")
    refused(bcjax("prepare", *flags), LEAK)
    assert not (tmp_path / "out").exists()
    ran = bcjax("prepare", *flags, "--config.data.drop=duplicates")
    assert ran.status == 0, ran.err
    assert "1 picture is left out" in ran.out
    made = PreparedSet(tmp_path / "out")
    assert "ig/000009.jpg" in made.ids("test")  # it is training that loses the copy
    assert "ig/000000.jpg" not in made.ids("train")


def test_prepare_scores_the_canary_unless_told_not_to(bcjax, snapshots, tmp_path):
    folder = snapshots(tmp_path / "cells")
    ran = bcjax("prepare", f"--data.source={folder}", f"--out={tmp_path / 'out'}")
    assert "Colours alone get" in ran.out
    ran = bcjax("prepare", f"--data.source={folder}", f"--out={tmp_path / 'mute'}", "--nocanary")
    assert "Colours alone get" not in ran.out
    assert PreparedSet(tmp_path / "mute").datasheet.canary is None


def test_a_mistyped_rule_is_answered_with_what_was_meant(bcjax, snapshots, tmp_path):
    folder = snapshots(tmp_path / "cells")
    flags = ("prepare", f"--data.source={folder}", f"--out={tmp_path / 'out'}")
    refused(bcjax(*flags, "--config.data.drop=duplicate"), "did you mean 'duplicates'?")
    refused(bcjax(*flags, "--config.data.drop_classes=platelets"), "did you mean 'platelet'?")
    refused(bcjax(*flags, "--config.data.drop_clases=ig"), "did you mean 'data.drop_classes'?")
    assert not (tmp_path / "out").exists()
