"""`--sampler=grid`: all combinations of listed values, each tried once."""

import json

import pytest
from commandline import ROOT, run_bcjax
from optuna.trial import TrialState

import bcjax
from bcjax import config as configs
from bcjax import models
from bcjax.runtime.errors import UserError
from bcjax.tune.grid import Grid
from bcjax.tune.space import Space
from bcjax.tune.study import Study
from bcjax.tune.sweep import Sweep

EXPERIMENTS = "published/edge_impulse_space"


@pytest.fixture(autouse=True, scope="module")
def _quick_network_leaves_the_table():
    yield
    models.MODELS.pop("quick", None)


@pytest.mark.parametrize("sizes", [(1,), (2,), (2, 1, 3), (5, 6), (4, 4, 4)])
def test_each_combination_has_one_number(sizes):
    grid = Grid({str(i): range(size) for i, size in enumerate(sizes)})
    points = [tuple(grid.point(number).items()) for number in range(grid.count)]
    assert len(set(points)) == grid.count == len(points)


def test_the_first_points_are_spread_over_a_grid():
    points = [Grid({"a": range(100), "b": range(100)}).point(number) for number in range(20)]
    for name in "ab":
        assert len({point[name] // 25 for point in points}) == 4  # each quarter


def test_ranges_with_steps_and_named_settings_are_points_too():
    space = Space({
        "optim.lr": {"low": 0.1, "high": 0.3, "step": 0.1},
        "train.batch_size": {"low": 16, "high": 48, "step": 16},
        "network": {"small": {"model.name": "simple_cnn"}, "grey": {"data.grey": True}},
    })  # fmt: skip
    assert {name: list(values) for name, values in space.grid().values.items()} == {
        "optim.lr": pytest.approx([0.1, 0.2, 0.3]),
        "train.batch_size": [16, 32, 48],
        "network": ["small", "grey"],
    }


SPACE = "optim.lr: [0.01, 0.1]\nsetting:\n  plain: {seed: 1}\n  ema: {optim.ema: 0.9, seed: 2}\n"


def test_a_grid_has_as_many_trials_as_it_has_points(tmp_path):
    out, space = tmp_path / "out", tmp_path / "space.yaml"
    space.write_text(SPACE)
    quick = ROOT / "tests" / "support" / "quick_config.py"
    flags = (f"--space={space}", "--sampler=grid", f"--out={out}")
    ran = run_bcjax("sweep", f"--config={quick}", *flags)
    assert ran.status == 0, ran.err
    trials = json.loads((out / "study.json").read_text())["trials"]
    tried = {(trial["params"]["optim.lr"], trial["params"]["setting"]) for trial in trials}
    assert len(trials) == 4
    assert tried == {(lr, setting) for lr in (0.01, 0.1) for setting in ("plain", "ema")}
    for trial in trials:
        saved = json.loads((out / trial["workdir"] / "config.json").read_text())
        expected = {"plain": (0, 1), "ema": (0.9, 2)}[trial["params"]["setting"]]
        assert (saved["optim"]["ema"], saved["seed"]) == expected


def test_points_survive_interruptions_and_trials_that_are_tried_again(tmp_path):
    grid = Grid({"optim.lr": (0.1, 0.2, 0.3)})

    def opened(retry=False):
        return Study(
            tmp_path / "out", storage="", directions=["maximize"], sampler=grid, pruner="none",
            seed=0, about={}, retry=retry,
        )  # fmt: skip

    def suggested(claimed):
        return claimed.trial.suggest_categorical("optim.lr", grid.values["optim.lr"])

    with opened().claim(3) as killed:
        pass  # before it asked for its values
    with opened().claim(3) as again:
        assert again.trial.number == killed.trial.number
        values = [suggested(again)]
        again.trial.study.tell(again.trial, state=TrialState.FAIL)
    with opened(retry=True).claim(3) as retried:
        assert suggested(retried) == values[0]
        retried.trial.study.tell(retried.trial, 0.5)
    one, other = opened(), opened()  # as two processes
    with one.claim(3) as first, other.claim(3) as second, one.claim(3) as more:
        values += [suggested(first), suggested(second)]
        assert more is None
        for claimed in (first, second):
            claimed.trial.study.tell(claimed.trial, 0.5)
    assert sorted(values) == [0.1, 0.2, 0.3]
    with opened().claim(3) as more:
        assert more is None


THOUSAND = {"optim.lr": {"low": 0, "high": 0.999, "step": 0.001}}
MILLION = THOUSAND | {"train.batch_size": {"low": 1, "high": 1000, "step": 1}}


@pytest.mark.parametrize(
    ("space", "named"),
    [
        ({"optim.lr": {"low": 0.1, "high": 1}}, "optim.lr is a range without steps"),
        ({"train.batch_size": {"low": 1, "high": 9, "log": True}}, "a range without steps"),
        (MILLION, "1,000,000 points, each of which is a whole training: say with --trials"),
        ({"setting": {"a": {}}}, "has a, which changes nothing"),
        ({"setting": {"a": {"optim.lrr": 1}}}, "did you mean 'optim.lr'"),
        ({"setting": {"a": {"seed": 1}}, "seed": [1, 2]}, "setting and seed both change seed"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused(space, named, tmp_path):
    config = configs.replaced(configs.default(), {"data.source": "synthetic"})
    with pytest.raises(UserError, match=named):
        bcjax.sweep(config, space, tmp_path / "out", sampler="grid")
    assert not (tmp_path / "out").exists()


def test_a_python_space_has_no_grid(tmp_path):
    (tmp_path / "space.py").write_text("def space(trial):\n    return {}\n")
    with pytest.raises(UserError, match="write the space in YAML"):
        Space(tmp_path / "space.py").grid()


def test_as_many_points_of_a_grid_are_tried_as_asked_for():
    config = configs.replaced(configs.default(), {"data.source": "synthetic"})

    def trials(space, asked):
        return Sweep.of(config, space, trials=asked, sampler="grid").trials

    assert trials(MILLION, 7) == 7
    assert trials(THOUSAND, None) == 1000
    assert trials({"seed": [1, 2]}, 7) == 2


def test_the_published_experiments_are_thirty_that_train(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # found by name, from anywhere
    space = Space(EXPERIMENTS)
    assert space.grid().count == 30
    space.check(configs.get("published/edge_impulse", {"data.source": "synthetic"}))
