"""`bcjax sweep`: trials, their folders, and how processes share them."""

import itertools
import json
import subprocess

import optuna
import pytest
from commandline import ROOT, refused, run_bcjax

from bcjax import models
from bcjax.cli import sweep as command
from bcjax.runtime import signals
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers
from bcjax.tune import sweep as sweeping
from bcjax.tune.study import PRUNERS, Study

CONFIG = f"--config={ROOT / 'tests' / 'support' / 'quick_config.py'}"


@pytest.fixture(autouse=True, scope="module")
def _quick_network_leaves_the_table():
    yield
    models.MODELS.pop("quick", None)


def sweep(out, space, *flags):
    if not space.exists():
        space.write_text("optim.lr: {low: 1e-4, high: 1e-2, log: true}\n")
    return run_bcjax("sweep", CONFIG, f"--out={out}", f"--space={space}", *flags)


def page(out):
    return json.loads((out / "study.json").read_text())


def evaluated(workdir, metric="accuracy"):
    lines = loggers.read(RunDir(workdir).metrics)
    return [(line["step"], line[f"val/{metric}"]) for line in lines if f"val/{metric}" in line]


SPACE = """
def space(trial):
    return {"optim.lr": trial.suggest_float("lr", 1e-3, 1e-1, log=True)}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three trials with two objectives, one of which asks for more pictures than there are."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.py").write_text(SPACE)
    flags = ("--trials=3", "--objective=balanced_accuracy,size", "--config.seed=3")
    # What the space gives is checked before the first trial, so one is spoilt afterwards.
    with pytest.MonkeyPatch.context() as patch:
        given, calls = sweeping.trials.changed, itertools.count()

        def spoilt(config, changes):
            more = {"train.batch_size": 1000} if next(calls) == 1 else {}
            return given(config, {**changes, **more})

        patch.setattr(sweeping.trials, "changed", spoilt)
        return folder / "out", sweep(folder / "out", folder / "space.py", *flags)


def test_each_trial_is_an_ordinary_run_judged_by_its_best_evaluation(swept, bcjax):
    out, ran = swept
    assert ran.status == 0, ran.err
    for trial in (page(out)["trials"][i] for i in (0, 2)):
        workdir = out / trial["workdir"]
        accuracy, size = trial["values"]
        assert trial["state"] == "complete"
        assert accuracy == max(value for _, value in evaluated(workdir, "balanced_accuracy"))
        assert size == 4 * (3 * 3 * 3 * 4 + 4 + 4 * 8 + 8)  # a convolution and a dense layer
        saved = json.loads((workdir / "config.json").read_text())
        assert saved["optim"]["lr"] == trial["params"]["lr"]
        assert not (workdir / "eval" / "test.json").exists()  # no trial has seen it
        assert json.loads((workdir / "eval" / "val.json").read_text())["split"] == "val"
    assert bcjax("evaluate", f"--workdir={out / 'trial-0000'}").status == 0


def test_a_trial_that_fails_is_recorded_with_why_and_the_others_go_on(swept):
    out, ran = swept
    failed = page(out)["trials"][1]
    assert (failed["state"], failed["values"]) == ("fail", None)
    assert "batch_size is 1000" in failed["error"]
    assert "trial 1 " in ran.out
    assert failed["error"] in ran.out


def test_the_trials_than_which_none_is_better_are_named(swept):
    out, ran = swept
    done = {t["number"]: t["values"] for t in page(out)["trials"] if t["state"] == "complete"}
    best = max(accuracy for accuracy, _ in done.values())  # of one size
    assert page(out)["best"] == [n for n, (accuracy, _) in done.items() if accuracy == best]
    assert page(out)["objectives"] == [
        {"name": "balanced_accuracy", "direction": "maximize", "unit": ""},
        {"name": "size", "direction": "minimize", "unit": "bytes"},
    ]
    for number in done:
        shown = f"trial-000{number}" in ran.out.partition("2 complete")[2]
        assert shown == (number in page(out)["best"])


def test_its_page_has_each_objective_over_each_setting(swept):
    out, _ = swept
    html, markdown = ((out / f"study.{kind}").read_text() for kind in ("html", "md"))
    for title in ("Balanced accuracy over lr", "Size, bytes over lr"):
        assert title in html
        assert title in markdown
    assert "| trial-0001 | fail |" in markdown
    names = sorted(path.name for path in (out / "figures").iterdir())
    assert names == ["balanced_accuracy_lr.png", "size_lr.png"]


def test_a_sweep_that_is_done_does_nothing_more(swept):
    out, _ = swept
    before = page(out)
    flags = ("--trials=3", "--objective=balanced_accuracy,size", "--config.seed=3")
    assert sweep(out, out.parent / "space.py", *flags).status == 0
    assert page(out) == before


def test_another_sweep_in_the_same_folder_is_refused(swept, tmp_path):
    out, _ = swept
    flags = ("--trials=3", "--objective=balanced_accuracy,size")
    refused(sweep(out, out.parent / "space.py", *flags), out, "config.seed", "--out")
    refused(sweep(out, tmp_path / "a.yaml", *flags, "--config.seed=3"), "differs in space")


# Nothing that can be checked beforehand is wrong with it, and its loss is not finite.
DIVERGES = ("--config.optim.name=sgd", "--config.optim.nesterov=False", "--config.optim.lr=1000",
            "--config.optim.weight_decay=1000")  # fmt: skip


def test_where_all_trials_failed_it_says_why_once_and_the_mended_command_begins_anew(tmp_path):
    out, space = tmp_path / "out", tmp_path / "space.yaml"
    space.write_text("train.label_smoothing: [0.1, 0.2]\n")
    ran = sweep(out, space, "--trials=2", *DIVERGES)
    sentence = ran.err.splitlines()[-1]
    refused(ran, "trial-0000, trial-0001 failed: ", "not finite", "--retry")
    assert sentence.count("not finite") == 1
    assert ran.out.count("not finite") == 1  # as the first trial failed
    assert "as trial 0 did" in ran.out
    assert "best" not in ran.out
    before = page(out)
    assert [trial["state"] for trial in before["trials"]] == ["fail", "fail"]

    mended = (*DIVERGES, "--config.optim.lr=0.01", "--config.optim.weight_decay=0")
    space.write_text("train.label_smoothing: [0.0, 0.3]\n")
    refused(sweep(out, space, "--trials=1", *mended), out, "config.optim.lr", "with --retry")
    assert page(out) == before
    ran = sweep(out, space, "--trials=1", *mended, "--retry")
    assert ran.status == 0, ran.err
    assert [trial["state"] for trial in page(out)["trials"]] == ["complete"]
    assert sorted(path.name for path in (out / "failed").iterdir()) == ["trial-0000", "trial-0001"]


def test_a_failed_trial_is_tried_again_with_its_values_beside_the_others(opened):
    study = opened()
    tried = []
    for fails in (True, False):
        with study.claim(2) as claimed:
            tried.append(suggested(claimed))
            if fails:
                study.optuna.tell(claimed.trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.optuna.tell(claimed.trial, 0.5)
    again = opened(retry=True)
    with again.claim(2) as claimed:
        assert (claimed.trial.number, suggested(claimed)) == (2, tried[0])
        again.optuna.tell(claimed.trial, 0.7)
    for study in (again, opened(retry=True)):
        with study.claim(2) as claimed:
            assert claimed is None  # two in all, and none is left to be tried again


def test_what_would_fail_all_trials_is_refused_before_the_first(tmp_path):
    out, space = tmp_path / "out", tmp_path / "space.yaml"
    for text, flags, named in (
        ("optim.lr: [0.1]", ["--config.train.batch_size=1000"], "batch_size is 1000, more than"),
        ("train.batch_size: [8, 1000]", [], "batch_size is 1000, more than"),
        ("optim.warmup: [9 steps]", [], "warm"),
        ("optim.lr: [0.1]", ["--config.model.weights=nowhere.npz"], "nowhere.npz"),
        ("optim.lr: [0.1]", ["--config.data.source=nowhere"], "nowhere"),
        ("workdir: [a, b]", [], "config.workdir cannot be tuned, for it changes no result"),
        ("track.project: [a, b]", [], "config.track.project cannot be tuned"),
        ("eval.split: [val, test]", [], "config.eval.split cannot be tuned, for runs that differ"),
    ):
        space.write_text(text)
        refused(sweep(out, space, *flags), named)
        assert not out.exists()


def test_a_killed_trial_goes_on_in_its_folder_and_a_pruned_one_ends(tmp_path, monkeypatch):
    out, space = tmp_path / "out", tmp_path / "space.yaml"
    flags = ("--trials=2", "--pruner=median")
    prunes_second = optuna.pruners.NopPruner()
    monkeypatch.setattr(
        prunes_second, "prune", lambda study, trial: trial.number == 1 and trial.last_step == 2
    )
    monkeypatch.setitem(PRUNERS, "median", lambda: prunes_second)

    with monkeypatch.context() as patch:
        seen = sweeping._Watch.__call__

        def killed(watch, step, result):
            assert not seen(watch, step, result)
            raise KeyboardInterrupt if step == 4 else watch.pruned

        patch.setattr(sweeping._Watch, "__call__", lambda *a: killed(*a) if a[1] == 4 else seen(*a))
        assert sweep(out, space, *flags).status == 130
    study = Study(
        out, storage="", directions=["maximize"], sampler="tpe", pruner="none", seed=0, about={}
    )
    (killed_trial,) = study.trials()
    assert killed_trial.state == optuna.trial.TrialState.RUNNING

    ran = sweep(out, space, *flags)
    assert ran.status == 0, ran.err
    first, second = page(out)["trials"]
    assert (first["state"], second["state"]) == ("complete", "pruned")
    assert first["params"] == killed_trial.params
    sessions = loggers.read(RunDir(out / "trial-0000").sessions)
    assert len(sessions) == 2
    assert sessions[1]["first_step"] >= 2  # from a checkpoint, not from the beginning
    assert [step for step, _ in evaluated(out / "trial-0000")] == [2, 4, 6]
    assert first["values"] == [max(value for _, value in evaluated(out / "trial-0000"))]
    assert [step for step, _ in evaluated(out / "trial-0001")] == [2, 4]
    checkpoints = (out / "trial-0001" / "checkpoints").iterdir()
    assert max(int(path.name) for path in checkpoints) == 4  # where it was told to stop
    assert second["values"] == [evaluated(out / "trial-0001")[-1][1]]
    assert "pruned at" in ran.out
    assert page(out)["best"] == [0]


@pytest.fixture
def opened(tmp_path):
    """Returns a function that opens a study, as each process does."""

    def call(folder=tmp_path / "out", storage="", retry=False, **about):
        return Study(
            folder, storage=storage, directions=["maximize"], sampler="random", pruner="none",
            seed=7, about=about, retry=retry,
        )  # fmt: skip

    return call


def suggested(claimed):
    return claimed.trial.suggest_float("optim.lr", 0, 1)


def test_no_two_processes_train_one_trial(opened):
    one, other = opened(), opened()
    with one.claim(2) as first, other.claim(2) as second, one.claim(2) as third:
        assert (first.trial.number, second.trial.number) == (0, 1)
        assert first.workdir != second.workdir
        assert third is None


def test_a_trial_whose_process_died_is_taken_up_by_any_other(opened):
    with opened().claim(3) as dead:
        value = suggested(dead)
    with opened().claim(3) as taken:
        assert (taken.trial.number, taken.workdir) == (dead.trial.number, dead.workdir)
        assert suggested(taken) == value
        taken.trial.study.tell(taken.trial, 0.5)
    with opened().claim(3) as following:
        assert following.trial.number == 1


def test_hosts_without_a_common_folder_leave_each_other_s_trials_alone(opened, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    here, there = (opened(tmp_path / host / "out", url) for host in ("here", "there"))
    with here.claim(2) as mine:
        pass  # and this host is switched off
    with there.claim(2) as theirs:
        assert (mine.trial.number, theirs.trial.number) == (0, 1)
        with there.claim(2) as more:
            assert more is None
    with here.claim(2) as again:
        assert again.trial.number == 0


def test_an_interrupted_sweep_tries_what_an_unbroken_one_does(opened, tmp_path):
    def values(folder, opens):
        found = []
        for study in (opens(folder) for _ in range(4)):
            with study.claim(4) as claimed:
                found.append(suggested(claimed))
                study.optuna.tell(claimed.trial, found[-1])
        return found

    anew = values(tmp_path / "a" / "out", opened)
    kept = opened(tmp_path / "b" / "out")
    assert values(kept.out, lambda folder: kept) == anew
    assert len(set(anew)) == 4


def test_a_study_of_another_sweep_is_refused(opened):
    opened(config={"optim.lr": 0.1, "seed": 0}, space="a")
    opened(config={"optim.lr": 0.1, "seed": 0}, space="a")
    with pytest.raises(UserError, match=r"config\.seed, space"):
        opened(config={"optim.lr": 0.1, "seed": 1}, space="b")


@pytest.mark.parametrize("url", ["nonsense", "nosuch://host/db", "sqlite:////no/such/folder/a.db"])
def test_a_database_that_cannot_be_opened_is_named(opened, url):
    with pytest.raises(UserError, match="cannot be opened"):
        opened(storage=url)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ((), ("--space",)),
        (("--space=nowhere.yaml",), ("--out",)),
        (("--space=nowhere.yaml", "--out=OUT"), ("nowhere.yaml",)),
        (("--space=SPACE", "--out=OUT", "--objective=acuracy"), ("acuracy", "accuracy")),
        (
            ("--space=SPACE", "--out=OUT", "--objective=accuracy,size", "--pruner=median"),
            ("--pruner=median", "one objective"),
        ),
        (("--space=SPACE", "--out=OUT", "--sampler=gird"), ("sampler", "tpe", "grid")),
        (("--space=SPACE", "--out=OUT", "--config.train.members=2"), ("train.members",)),
        (("--space=SPACE", "--out=OUT", "more"), ("'more'",)),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, named):
    out, space = tmp_path / "out", tmp_path / "space.yaml"
    space.write_text("seed: [1, 2]\n")
    flags = [flag.replace("OUT", str(out)).replace("SPACE", str(space)) for flag in flags]
    refused(run_bcjax("sweep", CONFIG, *flags), *named)
    assert not out.exists()


def test_several_processes_end_as_the_worst_of_them(monkeypatch):
    assert command.run_processes(2, ["--help"]) == 0
    assert command.run_processes(2, ["nonsense"]) == 2


def test_a_signal_is_passed_on_to_all_processes(monkeypatch):
    started = []

    class Sleeping(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(["sleep", "60"], **options)
            started.append(self)

    class Told(signals.Interrupts):
        received = property(lambda self: 15 if len(started) == 2 else 0, lambda self, value: None)

    monkeypatch.setattr(command.subprocess, "Popen", Sleeping)
    monkeypatch.setattr(signals, "Interrupts", Told)
    assert command.run_processes(2, []) == -15
    assert [process.returncode for process in started] == [-15, -15]
