"""What ended a run is said, where a person reads and where a program does."""

import dataclasses
import json
import re
import shutil

import pytest
from commandline import run_bcjax
from places import SUPPORT
from processes import log, steps
from registered import tables_restored

import bcjax
from bcjax import register
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import read_sessions
from bcjax.training import loop

CONFIG = SUPPORT / "quick_config.py"
QUICK = (f"--config={CONFIG}", "--config.eval.report=False", "--config.checkpoint.keep=9")
STILL = ("--config.optim.lr=0.0", "--config.train.patience=1")  # nothing gains


def train(workdir, *flags):
    return run_bcjax("train", *QUICK, f"--workdir={workdir}", *flags)


def endings(workdir):
    return [session.ending for session in read_sessions(RunDir(workdir).sessions)]


def test_patience_says_that_it_ended_the_run_and_what_is_kept(tmp_path):
    ran = train(tmp_path, *STILL)
    said = (
        "Ended at step 4: 1 evaluation in a row brought no gain in accuracy "
        "(config.train.patience). The best checkpoint is 4, the latest 4."
    )
    assert said in ran.out
    (ending,) = endings(tmp_path)
    assert (ending.cause, ending.step, ending.finished) == ("patience", 4, True)
    again = train(tmp_path, *STILL)
    assert said in again.out  # also where it is found at its end
    assert endings(tmp_path) == [ending]
    assert run_bcjax("report", f"--workdir={tmp_path}").status == 0
    assert said in (tmp_path / "report.md").read_text()


def test_a_phase_that_patience_ended_is_named_where_the_next_begins(tmp_path):
    first = ("--config.finetune.first.length=6 steps", "--config.finetune.first.patience=1")
    ran = train(tmp_path, "--config.optim.lr=0.0", *first)
    assert (
        "Phase 2 of 2 begins at step 4, for 1 evaluation in a row brought no gain in accuracy "
        "(config.finetune.first.patience)."
    ) in ran.out
    (ending,) = endings(tmp_path)
    assert (ending.cause, ending.step) == ("length", 10)


@pytest.fixture
def config(tmp_path):
    with tables_restored():
        yield bcjax.get_config(CONFIG, {"workdir": str(tmp_path / "run"), "eval.report": False})


def test_a_callback_that_ended_the_run_is_named_and_may_say_why(config):
    register.callback("enough")(lambda step, metrics: step == 4)
    config.train.callbacks = ("enough",)
    outcome = bcjax.train(config)
    assert (outcome.ending.cause, outcome.ending.step) == ("callback", 4)
    assert outcome.ending.why == "the callback enough returned True"
    assert endings(config.workdir) == [outcome.ending]
    other = bcjax.get_config(CONFIG, {"workdir": f"{config.workdir}-2", "eval.report": False})
    outcome = bcjax.train(other, on_evaluation=lambda step, metrics: "it is late")
    assert str(outcome.ending).startswith("Ended at step 2: it is late. The best checkpoint is 2")


def test_a_run_that_came_to_its_end_says_so_in_its_record(config, capsys):
    outcome = bcjax.train(config, progress=True)
    assert (outcome.ending.cause, outcome.ending.latest) == ("length", 6)
    assert outcome.ending.best == outcome.best
    assert "Ended at step" not in capsys.readouterr().out


def test_a_signal_is_named(config, monkeypatch):
    class Stopped(loop.Interrupts):
        def agreed(self):
            return 15

    monkeypatch.setattr(loop, "Interrupts", Stopped)
    outcome = bcjax.train(config)
    assert (outcome.ending.cause, outcome.ending.why) == ("signal", "SIGTERM (15) stopped it")
    assert endings(config.workdir) == [outcome.ending]
    assert not outcome.ending.finished


def test_what_went_wrong_is_recorded_with_what_is_kept(tmp_path):
    diverging = ("--config.optim.name=sgd", "--config.optim.lr=1000",
                 "--config.optim.weight_decay=1000", "--config.optim.nesterov=False")  # fmt: skip
    ran = train(tmp_path, *diverging, "--config.train.length=60 steps")
    assert ran.status == 2
    (ending,) = endings(tmp_path)
    assert f"Ended at step {ending.step}. {ending.kept}" in ran.out
    assert ending.cause == "fault"
    assert "not finite" in ending.why
    assert ending.latest == steps(tmp_path)[-1]


def test_a_run_killed_after_its_last_step_is_recorded_as_ended_by_the_same_command(tmp_path):
    train(tmp_path)
    path = RunDir(tmp_path).sessions
    (line,) = (json.loads(each) for each in path.read_text().splitlines())
    path.write_text(json.dumps(line | {"ending": None}) + "\n")
    shutil.rmtree(tmp_path / "eval")
    train(tmp_path)
    assert [ending.cause for ending in endings(tmp_path)] == ["length"]


def one_class_in_val(snapshots, folder):
    """Pictures whose split val has a single class, where AUC is undefined."""
    everything = snapshots(folder / "all")
    for split, classes in (("train", None), ("val", ["platelet"]), ("test", None)):
        for path in everything.iterdir():
            if classes is None or path.name in classes:
                shutil.copytree(path, folder / "split" / split / path.name)
        for path in (folder / "split" / split).rglob("*.*"):
            path.write_bytes(path.read_bytes() + split.encode())  # other bytes, the same picture
    return folder / "split"


def test_an_undefined_metric_is_said_and_counts_for_nothing(snapshots, tmp_path):
    flags = (
        f"--config.data.source={one_class_in_val(snapshots, tmp_path)}", "--allow-leaks",
        "--config.checkpoint.best=macro_auc", "--config.train.patience=1",
        "--config.optim.plateau.patience=1", "--config.checkpoint.every=6 steps",
    )  # fmt: skip
    ran = train(tmp_path / "run", *flags)
    assert ran.status == 0, ran.err
    undefined = "macro AUC is undefined here, so this evaluation does not count"
    assert ran.out.count(undefined) == 3
    assert (
        "Ended at step 6: that is its length, 6 steps. No checkpoint is known to be the best: the "
        "latest is 6."
    ) in ran.out
    assert steps(tmp_path / "run") == [6]  # no other one was kept as if it were a gain
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    rates = {line["train/lr"] for line in log(tmp_path / "run") if "train/lr" in line}
    assert len(rates) == 1
    (ending,) = endings(tmp_path / "run")
    assert (ending.cause, ending.best) == ("length", None)
    ran = run_bcjax("evaluate", f"--workdir={tmp_path / 'run'}")
    assert "has chosen a best checkpoint" in ran.err
    assert "the latest, 6, is taken" in ran.err
    ran = run_bcjax("evaluate", f"--workdir={tmp_path / 'run'}", f"--with={copy}", "--soup=greedy")
    assert ran.status == 2
    assert "macro_auc (config.checkpoint.best) is undefined on the val split" in ran.err


def test_a_resumed_run_ends_where_it_would_have_though_a_metric_was_undefined(tmp_path):
    """The metric is undefined at step 4, whichever session gets there."""
    with tables_restored():

        @register.metric("sometimes")
        def sometimes(probabilities, labels):
            return 0.5 if sometimes.defined else float("nan")

        def run(workdir, stop):
            def seen(step, metrics):
                assert ("sometimes" in metrics) == sometimes.defined
                sometimes.defined = step != 2
                return step == stop

            config = bcjax.get_config(CONFIG, {"workdir": str(workdir), "eval.report": False})
            config.checkpoint.best, config.train.patience = "sometimes", 2
            config.train.length = "20 steps"
            return bcjax.train(config, on_evaluation=seen)

        sometimes.defined = True
        through = run(tmp_path / "through", 0)
        sometimes.defined = True
        assert run(tmp_path / "parted", 2).step == 2
        parted = run(tmp_path / "parted", 0)
        assert dataclasses.asdict(parted.ending) == dataclasses.asdict(through.ending)
        assert (through.ending.cause, through.ending.step) == ("patience", 8)


def test_members_say_each_how_it_ended(tmp_path):
    ran = train(tmp_path, "--config.train.members=2", *STILL)
    for i in (0, 1):
        assert re.search(rf"^member {i}: Ended at step 4: 1 evaluation", ran.out, re.MULTILINE)
        (ending,) = endings(tmp_path / f"member-{i}")
        assert ending.cause == "patience"
