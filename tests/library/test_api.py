"""`import bcjax` in a notebook: the functions do what the commands do, and say nothing."""

import copy
import doctest
import threading

import pytest
from commandline import TINY, run_bcjax

import bcjax
from bcjax import api

SETTINGS = {
    "data.source": "synthetic",
    "data.image_size": 32,
    "data.synthetic_images": 80,
    "data.store": "host",
    "train.batch_size": 8,
    "train.length": "6 steps",
    "optim.schedule": "constant",
    "optim.warmup": "0 steps",
    "eval.every": "3 steps",
    "checkpoint.every": "2 steps",
    "eval.report": False,
}


def tiny(**changes):
    return bcjax.get_config("elu_cnn", SETTINGS | changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_config_says_where_its_run_goes(folder):
    assert tiny().workdir == "runs/elu_cnn"
    assert bcjax.get_config("mobilenet_v1").workdir == "runs/mobilenet_v1"
    assert bcjax.get_config("resnet18:small", {"workdir": "there"}).workdir == "there"
    (folder / "mine.py").write_text("from bcjax.config import default as get_config\n")
    assert bcjax.get_config(folder / "mine.py").workdir == "runs/mine"


def test_training_from_python_is_training_on_the_command_line(folder, trained, capfd):
    config = tiny()
    before = copy.deepcopy(config)
    evaluations = []
    bcjax.train(config, on_evaluation=lambda step, metrics: evaluations.append(step))
    assert config == before
    assert evaluations == [3, 6]
    assert capfd.readouterr() == ("", "")  # nothing where nobody looks
    net, theirs = bcjax.load("runs/elu_cnn", "latest"), bcjax.load(trained.workdir, "latest")
    assert net.config.train == theirs.config.train
    images = net.preprocess(bcjax_images())
    assert (net.logits(images) == theirs.logits(images)).all()


def test_a_workdir_given_to_train_comes_before_that_of_the_config(folder):
    outcome = bcjax.train(tiny(workdir="theirs"), folder / "mine")
    assert outcome.workdir == folder / "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["mine"]
    assert bcjax.load("mine", "latest").config.workdir == str(folder / "mine")


def bcjax_images():
    from bcjax.data.sources import synthetic

    return [synthetic.draw(3, i, size=40).image for i in range(2)]


def test_two_trainings_in_one_process_and_one_in_another_thread_are_the_same(folder):
    for name in ("a", "b"):
        bcjax.train(tiny(workdir=name), progress=False)
    thread = threading.Thread(target=lambda: bcjax.train(tiny(workdir="c"), progress=False))
    thread.start()
    thread.join()
    a, b, c = (bcjax.load(name, "latest") for name in "abc")
    images = a.preprocess(bcjax_images())
    assert (a.logits(images) == b.logits(images)).all()
    assert (a.logits(images) == c.logits(images)).all()


def test_progress_is_printed_where_it_is_asked_for(folder, capsys):
    bcjax.train(tiny(), progress=True)
    assert "step 6/6" in capsys.readouterr().out


def test_a_mistake_is_an_exception_with_the_sentence_of_the_command(folder):
    with pytest.raises(bcjax.UserError) as error:
        bcjax.train(tiny(**{"data.source": "nowhere.csv"}))
    ran = run_bcjax("train", *TINY, "--config.data.source=nowhere.csv")
    assert ran.err.splitlines()[-1] == f"bcjax: {error.value}"
    config = tiny()
    config.optim.lr = -1.0
    with pytest.raises(bcjax.UserError, match=r"config\.optim\.lr is -1\.0"):
        bcjax.train(config)


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda run: bcjax.evaluate(run, soup="greed", runs=[run]), "no soup 'greed': choose of"),
        (lambda run: bcjax.sweep(tiny(), {"seed": [1]}, "s", trials=0), "trials is 0: it must be"),
        (lambda run: bcjax.ablate(tiny(), {"a": {"seed": 1}}, "a", seeds=0), "seeds is 0: it must"),
        (lambda run: bcjax.compare([run, run]), "is no run: give its folder"),
        (lambda run: bcjax.train("elu_cnn"), r"no config: give bcjax.get_config\('elu_cnn'\)"),
        (lambda run: bcjax.ablate(tiny(), {"a": {"seed": 1}}, "a", modes="all"), "no mode 'all'"),
        (lambda run: bcjax.evaluate(run, runs="there"), "^there holds no run"),
        (lambda run: bcjax.load(run).explain(bcjax_images()[0], "cam"), "no method 'cam'"),
        (lambda run: bcjax.report(run, out="file/page.html"), r"A file is .*file\): move it, or"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_written(folder, trained, mistake, sentence):
    (folder / "file").touch()
    with pytest.raises(bcjax.UserError, match=sentence):
        mistake(trained.workdir)
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_evaluating_from_python_is_evaluating_on_the_command_line(own_run, snapshots, tmp_path):
    run_bcjax("evaluate", f"--workdir={own_run}", "--split=val")
    written = (own_run / "eval" / "val.json").read_text()
    net = bcjax.load(own_run)
    evaluation = bcjax.evaluate(net, "val")
    assert evaluation.path.read_text() == written
    assert evaluation.checkpoint == net.step
    other = bcjax.evaluate(own_run, snapshots(tmp_path / "cells"))
    assert other.split == "all"
    assert other.path.name == "cells-all.json"


def test_runs_are_compared_calibrated_reported_and_explored(own_run, trained, tmp_path):
    calibration, _ = bcjax.calibrate(own_run)
    kept = bcjax.load(own_run).calibration
    assert (kept.temperature, kept.conformal) == (calibration.temperature, calibration.conformal)
    comparison = bcjax.compare(own_run, trained.workdir)
    assert [run.workdir for run in comparison.runs] == [own_run, trained.workdir]
    written = bcjax.report(bcjax.load(own_run), out=tmp_path / "page.html")
    assert written.html.exists()
    page = bcjax.explore("synthetic", tmp_path / "x.html", overrides={"data.synthetic_images": 40})
    assert page.html.exists()


def test_pictures_are_prepared_for_training(snapshots, tmp_path):
    prepared = bcjax.prepare(snapshots(tmp_path / "cells"), tmp_path / "set")
    assert prepared.path == tmp_path / "set"
    assert sum(prepared.size(split) for split in prepared.counts) == 40
    cached = bcjax.prepare(tmp_path / "cells", overrides={"data.val_fraction": 0.3})
    assert cached.path != prepared.path


def test_every_function_has_an_example_of_its_use():
    for name in bcjax.__all__:
        value = getattr(bcjax, name)
        if getattr(value, "__module__", "") == api.__name__:
            assert f"bcjax.{name}(" in value.__doc__.partition("Examples:")[2], name
    failed, tried = doctest.testmod(api, extraglobs={"bcjax": bcjax})
    assert tried
    assert not failed
