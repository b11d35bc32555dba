"""The commands, end to end, as a person types them."""

import csv
import functools
import io
import json
import os
import re
import signal
import time
import types
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import processes
import pytest
from commandline import TINY
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bcjax import config as configs
from bcjax.data import decode
from bcjax.data.prepared import PreparedSet
from bcjax.data.sources import synthetic
from bcjax.evaluation import answers
from bcjax.evaluation import evaluate as evaluate_command
from bcjax.runtime.live_line import LiveLine


def read_json(path):
    return json.loads(path.read_text())


def values(result):
    return {name: figure["value"] for name, figure in result["metrics"].items()}


@pytest.fixture(scope="session")
def lines(trained):
    """The run's metrics: {step: {"train/loss": ..., "val/accuracy": ...}}."""
    found = {}
    for text in (trained.workdir / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        found.setdefault(line.pop("step"), {}).update(line)
    return found


# train


def test_train_says_what_is_about_to_happen_and_how_it_ended(trained):
    out = trained.ran.out
    assert out.index("devices") < out.index("platelet") < out.index("1,426,376 parameters")
    assert "These pictures are drawings made by bcjax, not photographs of cells." in out
    assert "6 steps of 8 pictures" in out
    assert str(trained.workdir) in out
    assert out.index("First step after") < out.index("step 6/6") < out.index("macro_auc")
    assert "confusion matrix" in out


def test_train_leaves_a_run_that_can_be_read(trained, lines):
    workdir = trained.workdir
    config = configs.load(workdir)
    assert config.data.classes == synthetic.CLASSES
    assert config.model.mean == (0.5, 0.5, 0.5)
    pictures = read_json(workdir / "pictures.json")
    assert {split: sum(each) for split, each in pictures["counts"].items()} == {
        "train": 56, "val": 16, "test": 8,
    }  # fmt: skip
    assert sorted(lines) == [2, 3, 4, 6]
    assert {"train/loss", "train/accuracy", "train/lr"} <= lines[2].keys()
    assert {"val/accuracy", "val/log_loss"} <= lines[3].keys() & lines[6].keys()
    checkpoints = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert {"4", "6"} <= checkpoints <= {"3", "4", "6"}  # the latest two, and the best
    test = read_json(workdir / "eval" / "test.json")
    assert test["n"] == 8
    assert f"checkpoint {test['checkpoint']}, n = 8" in trained.ran.out


def test_tensorboard_reads_the_same_numbers(trained, lines):
    events = EventAccumulator(str(trained.workdir / "tensorboard"))
    events.Reload()
    for tag in events.Tags()["scalars"]:
        written = {step: line[tag] for step, line in lines.items() if tag in line}
        read = {event.step: event.value for event in events.Scalars(tag)}
        assert read == pytest.approx(written, rel=1e-6)
    assert "train/loss" in events.Tags()["scalars"]


def test_the_same_command_again_says_that_it_is_at_its_end(bcjax, own_run, trained):
    before = (own_run / "metrics.jsonl").read_bytes()
    ran = bcjax("train", *TINY, f"--workdir={own_run}")
    assert ran.status == 0
    assert "Step 6 is already the end of this run." in ran.out
    assert "resumed at step 6" in ran.out
    assert read_json(own_run / "eval" / "test.json") == read_json(
        trained.workdir / "eval" / "test.json"
    )
    assert (own_run / "metrics.jsonl").read_bytes() == before


# evaluate


def test_evaluate_gives_the_very_numbers_of_the_training(bcjax, own_run, trained, lines):
    assert bcjax("evaluate", f"--workdir={own_run}").status == 0
    assert read_json(own_run / "eval" / "test.json") == read_json(
        trained.workdir / "eval" / "test.json"
    )
    ran = bcjax("evaluate", f"--workdir={own_run}", "--split=val", "--checkpoint=latest")
    assert "val split, checkpoint 6, n = 16" in ran.out
    in_training = {k: v for k, v in lines[6].items() if k.startswith("val/")}
    val = read_json(own_run / "eval" / "val.json")
    assert {f"val/{name}": value for name, value in values(val).items()} == in_training


def test_evaluate_finds_the_checkpoint_it_is_told(bcjax, own_run):
    ran = bcjax("evaluate", f"--workdir={own_run}", "--checkpoint=4")
    assert ran.status == 0
    assert "test split, checkpoint 4" in ran.out
    assert read_json(own_run / "eval" / "test.json")["checkpoint"] == 4


def test_evaluate_prepares_nothing_that_training_has_prepared(bcjax, own_run):
    assert "Preparing" not in bcjax("evaluate", f"--workdir={own_run}").err


def test_evaluate_takes_other_pictures_of_the_same_classes(bcjax, own_run, snapshots, tmp_path):
    others = snapshots(tmp_path / "others")
    ran = bcjax("evaluate", f"--workdir={own_run}", f"--data.source={others}")
    assert ran.status == 0
    result = read_json(own_run / "eval" / "others-all.json")
    assert (result["n"], result["split"], result["source"]) == (40, "all", str(others))
    assert read_json(own_run / "eval" / "test.json")["n"] == 8


def test_each_figure_can_be_made_again_from_the_answers_beside_it(bcjax, own_run):
    assert bcjax("evaluate", f"--workdir={own_run}").status == 0
    result = read_json(own_run / "eval" / "test.json")
    read = answers.read(own_run / "eval" / "test.parquet")
    assert (read.n, list(read.classes)) == (result["n"], result["classes"])
    assert len(set(read.ids)) == read.n
    assert (read.logits.argmax(axis=1) == read.labels).mean() == values(result)["accuracy"]


def test_a_result_says_which_of_its_pictures_made_the_network(bcjax, own_run):
    for split, said in (("train", "trained on these"), ("val", "chosen by these"), ("test", "")):
        assert bcjax("evaluate", f"--workdir={own_run}", f"--split={split}").status == 0
        cautions = read_json(own_run / "eval" / f"{split}.json")["cautions"]
        assert (said in cautions[0]) if said else not cautions
    trained_on = json.loads((own_run / "pictures.json").read_text())["path"]
    argument = f"--data.source={trained_on}"
    assert bcjax("evaluate", f"--workdir={own_run}", argument, "--split=train").status == 0
    name = f"{Path(trained_on).stem}-train"
    assert "on 56 of these 56" in read_json(own_run / "eval" / f"{name}.json")["cautions"][0]


def test_watching_a_run_that_has_ended_evaluates_what_is_there_and_ends(bcjax, own_run):
    ran = bcjax("evaluate", f"--workdir={own_run}", "--split=val", "--watch")
    assert ran.status == 0
    steps = sorted(int(path.name) for path in (own_run / "checkpoints").iterdir())
    for step in steps:
        assert read_json(own_run / "eval" / f"val-{step}.json")["checkpoint"] == step


def test_watching_follows_a_run_that_is_going_on(bcjax, trained, tmp_path, monkeypatch):
    workdir = tmp_path / "going-on"
    process = processes.start(
        workdir, *TINY, "--config.train.length=40 steps", "--config.checkpoint.every=10 steps",
        "--config.eval.every=40 steps", "--config.checkpoint.keep=9",
    )  # fmt: skip
    processes.wait_until(process, (workdir / "checkpoints" / "10").exists)
    process.send_signal(signal.SIGSTOP)  # so that it cannot end before it is watched
    seen_while_stopped = []

    def wake(seconds):
        if not seen_while_stopped:
            seen_while_stopped.extend(os.listdir(workdir / "eval"))
            process.send_signal(signal.SIGCONT)
        time.sleep(seconds / 20)

    monkeypatch.setattr(evaluate_command, "time", types.SimpleNamespace(sleep=wake))
    ran = bcjax("evaluate", f"--workdir={workdir}", "--split=val", "--watch")
    process.send_signal(signal.SIGCONT)
    processes.finish(process)
    assert ran.status == 0
    assert "val-10.json" in seen_while_stopped
    assert "val-40.json" not in seen_while_stopped
    assert read_json(workdir / "eval" / "val-40.json")["checkpoint"] == 40


# prepare


def test_prepare_writes_a_set_that_trains(bcjax, snapshots, tmp_path, monkeypatch):
    folder, out = snapshots(tmp_path / "cells"), tmp_path / "prepared"
    ran = bcjax("prepare", f"--data.source={folder}", f"--out={out}")
    assert ran.status == 0
    assert str(out) in ran.out
    assert "platelet" in ran.out
    assert "picture by picture" in ran.out  # of which whoever trains on it should know
    assert sum(map(sum, PreparedSet(out).counts.values())) == 40

    workdir = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    ran = bcjax("train", *TINY, "--config.data.source=prepared", f"--workdir={workdir}")
    assert ran.status == 0
    assert "Preparing" not in ran.err
    monkeypatch.chdir("/")  # the run knows its pictures from anywhere
    assert bcjax("evaluate", f"--workdir={workdir}").status == 0
    assert read_json(workdir / "pictures.json")["path"] == str(out)
    assert read_json(workdir / "eval" / "test.json")["n"] == PreparedSet(out).size("test")


# predict


@pytest.fixture
def cells(trained, tmp_path):
    """The run's test pictures as files, each with its class."""
    prepared = PreparedSet(Path(read_json(trained.workdir / "pictures.json")["path"]))
    found = {}
    for position, example in enumerate(prepared.examples("test")[range(8)]):
        path = tmp_path / "cells" / f"{position}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(example.image)
        found[str(path)] = example.label
    return found


def predict(bcjax, workdir, *arguments):
    ran = bcjax("predict", f"--workdir={workdir}", "--json", *arguments)
    return ran, {row["filename"]: row for row in json.loads(ran.out)}


def test_predict_agrees_with_evaluate(bcjax, trained, cells, tmp_path):
    ran, rows = predict(bcjax, trained.workdir, tmp_path / "cells")
    assert ran.status == 0
    assert list(rows) == list(cells)
    confusion = np.zeros((8, 8), int)
    for filename, row in rows.items():
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
        confusion[cells[filename], synthetic.CLASSES.index(row["label"])] += 1
    result = read_json(trained.workdir / "eval" / "test.json")
    assert confusion.tolist() == result["confusion_matrix"]
    losses = [
        -np.log(rows[filename]["probabilities"][synthetic.CLASSES[label]])
        for filename, label in cells.items()
    ]
    calibrated = result["calibration"]["log_loss"]
    assert calibrated["raw"] == pytest.approx(values(result)["log_loss"], rel=1e-5)
    assert np.mean(losses) == pytest.approx(calibrated["scaled"], rel=1e-5)


def test_predict_prints_the_same_as_a_table_and_as_csv(
    bcjax, trained, cells, tmp_path, monkeypatch
):
    _, rows = predict(bcjax, trained.workdir, *cells)
    read = bcjax("predict", f"--workdir={trained.workdir}", "--csv", *cells)
    table = list(csv.DictReader(io.StringIO(read.out)))
    assert [name for name in table[0] if name in synthetic.CLASSES] == list(synthetic.CLASSES)
    for line in table:
        row = rows[line["filename"]]
        assert line["label"] == row["label"]
        for name, probability in row["probabilities"].items():
            assert float(line[name]) == pytest.approx(probability, abs=1e-6)

    monkeypatch.chdir(tmp_path / "cells")
    shown = bcjax("predict", f"--workdir={trained.workdir}", *sorted(os.listdir())).out
    for filename, row in rows.items():
        (line,) = [text for text in shown.splitlines() if os.path.basename(filename) in text]
        assert row["label"] in line
        assert f"{max(row['probabilities'].values()):.1%}" in line


def test_predict_counts_the_answers_to_many_pictures_and_still_prints_all_rows_for_programs(
    bcjax, trained, cells, tmp_path, monkeypatch
):
    (tmp_path / "cells" / "5.jpg").write_text("not a picture")
    monkeypatch.setattr("bcjax.cli.predict._MANY", 7)
    ran, rows = predict(bcjax, trained.workdir, *cells, "--batch_size=3")
    assert len(rows) == 7
    assert ran.out == json.dumps(list(rows.values()), indent=2) + "\n"
    counted = bcjax("predict", f"--workdir={trained.workdir}", *cells, "--batch_size=3")
    assert counted.err == ran.err
    answers = Counter(row["label"] for row in rows.values())
    unsure = sum(bool(row["uncertain"]) for row in rows.values())
    assert not unsure or re.search(rf"all\W+8\W+100.0%\W+{unsure}\W", counted.out)
    for name, count in {**answers, "unreadable": 1, "all": 8}.items():
        assert re.search(rf"{name}\W+{count}\W+{100 * count / 8:.1f}%", counted.out), name
    assert "0.jpg" not in counted.out
    assert "--out=FILE" in counted.out


def test_predict_says_in_a_log_how_far_it_is(bcjax, trained, cells, monkeypatch):
    every_time = functools.partial(LiveLine, seconds=0)
    monkeypatch.setattr("bcjax.cli.predict.LiveLine", every_time)
    ran = bcjax("predict", f"--workdir={trained.workdir}", *cells, "--batch_size=3", "--csv")
    told = [line.split(" pictures")[0] for line in ran.err.splitlines()]
    assert told == ["3/8", "6/8"]
    assert len(ran.out.splitlines()) == 9


def test_predict_reads_pictures_of_any_size_and_mode(bcjax, trained, tmp_path):
    rgb = cv2.cvtColor(synthetic.draw(3, 0, size=48).image[:, :40], cv2.COLOR_RGB2BGR)
    grey = cv2.cvtColor(rgb, cv2.COLOR_BGR2GRAY)
    write = {
        "rgb.png": rgb,
        "rgba.png": cv2.cvtColor(rgb, cv2.COLOR_BGR2BGRA),
        "grey.png": grey,
        "grey16.png": grey.astype(np.uint16) * 257,
        "odd.png": rgb[:17, :31],
        "inside/one-pixel.bmp": rgb[:1, :1],
    }
    (tmp_path / "inside").mkdir()
    for name, pixels in write.items():
        cv2.imwrite(str(tmp_path / name), pixels)
    # 6: the camera was held upright, so the rows as stored are columns of the scene.
    exif = Image.Exif()
    exif[0x0112] = 6
    # So small that no reduced decoding (7/8) is large enough for the network.
    Image.fromarray(rgb[:36, :33]).save(tmp_path / "turned.jpg", exif=exif)
    upright = decode.decode((tmp_path / "turned.jpg").read_bytes())
    assert upright.shape == (33, 36, 3)
    Image.fromarray(upright).save(tmp_path / "upright.png")

    ran, rows = predict(bcjax, trained.workdir, tmp_path)
    assert ran.status == 0
    answers = {
        os.path.relpath(filename, tmp_path): list(row["probabilities"].values())
        for filename, row in rows.items()
    }
    assert answers.keys() == {*write, "turned.jpg", "upright.png"}
    assert answers["rgba.png"] == pytest.approx(answers["rgb.png"], abs=1e-6)
    assert answers["grey16.png"] == pytest.approx(answers["grey.png"], abs=1e-6)
    assert answers["turned.jpg"] == pytest.approx(answers["upright.png"], abs=1e-6)


def test_a_bad_picture_among_good_ones_is_named_and_the_others_answered(
    bcjax, trained, cells, tmp_path
):
    whole = list(cells)
    bad = tmp_path / "cells" / "2.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    (tmp_path / "cells" / "5.jpg").write_text("not a picture")
    ran, rows = predict(bcjax, trained.workdir, *whole)
    assert ran.status == 2
    assert list(rows) == [name for name in whole if name[-5] not in "25"]
    (sentence,) = ran.err.splitlines()
    assert sentence.startswith("bcjax: 2 of 8 pictures cannot be read")
    assert f"{bad}: damaged JPEG" in sentence
    assert "5.jpg: not a picture" in sentence
