"""The comparing scripts: how turns are taken, how programs are cut off, what tables say."""

import json
import os
import signal
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from commandline import ROOT
from patience import PATIENCE

from bcjax.data.sources import npz

sys.path.append(str(ROOT / "benchmarks"))

import accelerator
import accelerator_parts
import loops
import pictures
import programs
import steps
import turns

ABOUT = {
    "date": "2026-01-02",
    "device": "NVIDIA H200",
    "devices": 1,
    "backend": "gpu",
    "processor": "a processor",
    "cores": 16,
    "versions": {"bcjax": "0.1.0", "jax": "0.11.2"},
}
PAST = programs.Deadline(begin=0.0)


class Side:
    """Answers with one rate after the other, and writes down that it was asked."""

    def __init__(self, name, log, *rates, stolen=0.0):
        self.name, self.log, self.rates, self.stolen = name, log, iter(rates), stolen

    def __call__(self):
        self.log.append(self.name)
        rate = next(self.rates)
        if isinstance(rate, Exception):
            raise rate
        stolen = self.stolen if isinstance(self.stolen, float) else next(self.stolen)
        return {"images_per_s": rate, "process_s": 1.0, "stolen_share": stolen}


def rates(taken, side):
    return [turn[side]["images_per_s"] for turn in taken if side in turn]


def test_sides_are_asked_in_turn_and_the_ratio_is_the_median_of_the_turns():
    log = []
    asks = {"a": Side("a", log, 10.0, 1.0, 90.0), "b": Side("b", log, 5.0, 4.0, 30.0)}
    taken = turns.take(asks, 3)
    assert log == ["a", "b"] * 3
    assert turns.median(taken, "a") == 10.0
    assert turns.ratio(taken, "a", "b") == 2.0  # of 2, 1/4 and 3; of the medians: 10 / 5
    assert turns.median(taken, "a", "share_of_roof") is None


def test_an_answer_that_is_known_is_the_side_s_first_turn():
    log = []
    asks = {"a": Side("a", log, 2.0), "b": Side("b", log, 3.0, 4.0)}
    known = {"a": {"images_per_s": 1.0, "process_s": 1.0, "stolen_share": 0.0}}
    taken = turns.take(asks, 2, known)
    assert log == ["b", "a", "b"]
    assert rates(taken, "a") == [1.0, 2.0]


def test_a_turn_in_which_the_host_took_the_processors_is_taken_again():
    a, b = Side("a", [], 1.0, 2.0, 3.0, stolen=iter([0.0, 0.2, 0.01])), Side("b", [], 4.0, 5.0, 6.0)
    taken = turns.take({"a": a, "b": b}, 2)
    assert rates(taken, "a") == [1.0, 3.0]
    assert rates(taken, "b") == [4.0, 6.0]

    never_quiet = Side("a", [], 1.0, 2.0, stolen=iter([0.1, 0.2]))
    assert rates(turns.take({"a": never_quiet}, 1), "a") == [1.0]
    known = {"a": {"images_per_s": 9.0, "process_s": 1.0, "stolen_share": 0.5}}
    assert rates(turns.take({"a": Side("a", [], 1.0)}, 1, known), "a") == [1.0]


def test_a_side_with_fewer_turns_is_compared_over_those_it_has():
    asks = {"a": Side("a", [], 8.0, 1.0), "slow": Side("slow", [], 2.0)}
    taken = turns.take(asks, 2, slow=1)
    assert rates(taken, "slow") == [2.0]
    assert turns.ratio(taken, "a", "slow") == 4.0


def test_the_first_turn_and_option_are_measured_whatever_the_time():
    log = []
    assert len(turns.take({"a": Side("a", log, 1.0, 2.0)}, 2, deadline=PAST)) == 1
    tried = turns.trials({"a": {8: Side(8, log, 1.0), 16: Side(16, log, 2.0)}}, PAST)
    assert list(tried["a"]) == [8]
    assert log == ["a", 8]


def test_a_turn_that_is_cut_off_is_left_out_but_the_first():
    cut = programs.CutOffError("the time was up")
    assert len(turns.take({"a": Side("a", [], 1.0, cut)}, 2)) == 1
    with pytest.raises(programs.CutOffError):
        turns.take({"a": Side("a", [], cut)}, 2)
    with pytest.raises(programs.FailedError, match="broke"):
        turns.take({"a": Side("a", [], 1.0, programs.FailedError("broke"))}, 2)


def test_options_are_tried_in_turn_and_the_fastest_that_works_is_best():
    log = []
    full = programs.FailedError("out of memory")
    ours = {8: Side("ours 8", log, 1.0), 16: Side("ours 16", log, 3.0)}
    theirs = {8: Side("theirs 8", log, 2.0), 16: Side("theirs 16", log, full)}
    tried = turns.trials({"ours": ours, "theirs": theirs})
    assert log == ["ours 8", "theirs 8", "ours 16", "theirs 16"]
    assert turns.best(tried["ours"]) == 16
    assert turns.best(tried["theirs"]) == 8
    assert tried["theirs"][16] == {"failed": "out of memory"}
    with pytest.raises(programs.FailedError, match="out of memory"):
        turns.best({16: tried["theirs"][16]})


def test_a_program_answers_with_the_object_that_it_prints():
    words = "import json, os; print('Loading'); print(json.dumps({'a': os.environ['SAID']}))"
    assert programs.answer([sys.executable, "-c", words], {"SAID": "this"}) == {"a": "this"}
    with pytest.raises(programs.FailedError, match="no such thing"):
        programs.answer([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


def starts_a_child(note):
    return ["sh", "-c", f"sleep 3600 & echo $! > {note}; wait"]


def is_gone(note, within=PATIENCE):
    """Whether the child is; a process that was killed needs a moment to end."""
    try:
        child = psutil.Process(int(note.read_text()))
        end = time.monotonic() + within
        while child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.01)
        return child.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_program_that_is_cut_off_leaves_no_child_behind(tmp_path):
    """A compiler's workers, say, would go on beside what is measured next."""
    note = tmp_path / "child"
    for seconds in (1, 10, 100):  # a busy machine has not started the child so soon
        end = time.monotonic() + seconds
        with pytest.raises(programs.CutOffError):
            programs.answer(starts_a_child(note), deadline=programs.Deadline(end=end))
        if note.exists() and note.read_text():
            break
    assert is_gone(note)


def test_a_script_that_is_told_to_end_takes_its_programs_with_it(tmp_path):
    def not_reached(number, frame):
        raise AssertionError("the signal came while no program ran")

    note, before = tmp_path / "child", signal.signal(signal.SIGTERM, not_reached)
    over = threading.Event()

    def tell():
        while not (note.exists() and note.read_text()):
            if over.wait(0.01):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    telling = threading.Thread(target=tell)
    try:
        telling.start()
        with pytest.raises(SystemExit, match="143"):
            programs.answer(starts_a_child(note))
        assert signal.getsignal(signal.SIGTERM) is not_reached
    finally:
        over.set()
        telling.join()
        signal.signal(signal.SIGTERM, before)
    assert is_gone(note)


def test_random_pictures_are_a_source_without_doubles(tmp_path):
    path = pictures.write(tmp_path / "random.npz", 20, train=40, held=8)
    source = npz.read(path)
    splits = [record.split for record in source.records]
    assert [splits.count(split) for split in ("train", "val", "test")] == [40, 8, 8]
    assert len(source.classes) == pictures.CLASSES
    train = np.load(path)["train_images"]
    assert train.shape == (40, 20, 20, 3)
    assert len(np.unique(train.reshape(40, -1), axis=0)) == 40


def row(network, **changes):
    return {
        "network": network,
        "batch": {"bcjax": 256, "timm": 128, "augmented": 256},
        "images_per_s": {"bcjax": 3000.0, "timm": 2000.0, "augmented": 2500.0},
        "over": {"timm": {"bcjax": 1.5, "augmented": 1.25}},
        "roof": "bandwidth",
        "share_of_roof": 0.625,
        "turns": [{}, {}, {}],
    } | changes


SETTING = {"size": 224, "dtype": "bf16", "compile": True}


def test_the_table_of_steps_has_a_column_for_each_side_that_was_measured():
    page = {"command": "python benchmarks/steps.py", "about": ABOUT, "peers": {"timm": "1.0"}}
    text = steps.table(page | {"setting": SETTING, "networks": [row("resnet50")]})
    head, _, first, _, said = text.splitlines()
    cells = dict(zip(*(line.strip("| ").split(" | ") for line in (head, first)), strict=True))
    assert cells["bcjax over timm"] == "1.50"
    assert cells["augmenting over timm"] == "1.25"
    assert cells["bcjax of its roof"] == "62% (bandwidth)"
    assert "Keras" not in head
    for told in ("224 px", "bfloat16", "timm 1.0", "NVIDIA H200", "`python benchmarks/steps.py`"):
        assert told in said


def test_the_table_of_loops_says_what_was_measured():
    setting = {"batch": 32, "size": 96, "turns": 3}
    figures = {"bcjax": 20.0, "timm": 10.0}
    line = {"network": "resnet50", "images_per_s": figures, "over_timm": 2.0, "workers": 1}
    page = {"command": "python benchmarks/loops.py", "about": ABOUT, "setting": setting}
    text = loops.table(page | {"networks": [line | {"share_of_bare_step": 0.93}]})
    assert "| resnet50 | 20.0 | 93% | 10.0 | 1 | 2.00 |" in text
    assert "`python benchmarks/loops.py`" in text


def test_the_accelerator_s_table_names_what_the_time_did_not_suffice_for():
    page = {
        "command": "python benchmarks/accelerator.py",
        "about": ABOUT,
        "setting": SETTING,
        "parts": {
            "peaks": {"bfloat16": {"flops_per_s": 8e14, "bytes_per_s": 4e12}, "took_s": 5.0},
            "resnet50": row("resnet50") | {"took_s": 100.0},
        },
        "left_out": {"recipe": "the time was up"},
    }
    text = accelerator.table(page)
    assert "800 TFLOP/s; 4,000 GB/s" in text
    assert "| resnet50 | 256, 128 |" in text
    assert "Not measured: recipe." in text
    assert "DeepEfficientNet" not in text


def test_an_accelerator_s_page_is_gone_on_with_where_it_was_begun(tmp_path):
    out = tmp_path / f"{accelerator.name(ABOUT)}.json"
    assert out.name == "gpu_nvidia_h200.json"
    assert accelerator.before({"about": ABOUT}, out) == {}
    out.write_text(json.dumps({"about": ABOUT, "parts": {"peaks": {"took_s": 5.0}}}))
    assert accelerator.before({"about": ABOUT | {"date": "later"}}, out) == {
        "peaks": {"took_s": 5.0}
    }
    with pytest.raises(SystemExit, match="another device"):
        accelerator.before({"about": ABOUT | {"device": "TPU v5e"}}, out)


def test_every_network_of_a_sitting_has_a_peer():
    for scale in (accelerator_parts.WHOLE, accelerator_parts.SMALL):
        assert set(scale.batches) <= set(steps.PEERS)
