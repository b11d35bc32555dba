"""`bcjax.sweep` and `bcjax.ablate`: mappings in, objects out, the same files as the commands."""

import dataclasses
import json

import pytest
from places import ROOT
from registered import tables_restored

import bcjax
from bcjax import register
from bcjax.runtime.errors import UserError
from bcjax.tune import targets


@pytest.fixture(scope="module")
def config():
    with tables_restored():

        @register.metric("own_error", title="own error", higher_is_better=False)
        def own_error(probabilities, labels):
            return float((probabilities.argmax(axis=1) != labels).mean())

        yield bcjax.get_config(ROOT / "tests" / "support" / "quick_config.py")


@pytest.fixture(scope="module")
def swept(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("library") / "sweep"
    space = {"optim.lr": {"low": 1e-3, "high": 1e-1, "log": True}, "augment.ops": [(), ("flip",)]}
    arguments = {"trials": 2, "objective": "own_error", "pruner": "median"}
    return out, space, arguments, bcjax.sweep(config, space, out, **arguments)


def test_a_registered_metric_is_the_objective_of_a_sweep(swept):
    out, _, _, found = swept
    (objective,) = found.objectives
    assert (objective.name, objective.direction) == ("own_error", "minimize")
    for trial in found.trials:
        val = json.loads((out / trial.workdir / "eval" / "val.json").read_text())["metrics"]
        assert trial.values == [val["own_error"]["value"]]
        assert val["own_error"]["value"] == pytest.approx(1 - val["accuracy"]["value"])
    best, other = found.ranked()
    assert best.values <= other.values


def test_what_it_returns_is_what_it_writes_and_the_same_call_goes_on(config, swept):
    out, space, arguments, found = swept
    written = json.loads((out / "study.json").read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(found)))
    more = bcjax.sweep(config, space, out, **arguments | {"trials": 3})
    assert more.trials[:2] == found.trials
    assert len(more.trials) == 3
    with pytest.raises(UserError, match="differs in space"):
        bcjax.sweep(config, {"optim.lr": [0.1]}, out, **arguments)


def test_costs_for_a_target_are_the_estimates_and_said_to_be(config, tmp_path):
    device = {"objective": "latency,size,ram", "target": "Cortex-M7 216MHz"}
    found = bcjax.sweep(config, {"seed": [1]}, tmp_path / "out", sampler="grid", **device)
    cost = targets.cost(config, 8, targets.TARGETS["Cortex-M7 216MHz"])
    assert found.trials[0].values == [cost.latency, cost.size, cost.ram]
    assert found.target == "Cortex-M7 216MHz"
    assert any("estimates for Cortex-M7 216MHz" in caution for caution in found.cautions)
    with pytest.raises(UserError, match="differs in target"):
        bcjax.sweep(
            config, {"seed": [1]}, tmp_path / "out", objective="latency,size,ram", sampler="grid"
        )


def test_an_ablation_of_a_mapping_compares_with_the_whole(config, tmp_path, capsys):
    found = bcjax.ablate(config, {"training": {"optim.lr": 0}}, tmp_path / "out", progress=False)
    assert capsys.readouterr().out == ""
    assert [run.name for run in found.runs] == ["all", "none"]
    written = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(found)))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda c, o: bcjax.sweep(c, {"optim.lrr": [1.0]}, o), "did you mean 'optim.lr'"),
        (lambda c, o: bcjax.sweep(c, {}, o), "The mapping names nothing"),
        (lambda c, o: bcjax.sweep(c, {"seed": [1]}, o, objective="acuracy"), "'accuracy'"),
        (lambda c, o: bcjax.sweep(c, {"seed": [1]}, o, sampler="gird"), "tpe, random, grid"),
        (lambda c, o: bcjax.ablate(c, {"a": {"seed": 1}}, o, modes=["both"]), "only-one"),
        (lambda c, o: bcjax.sweep(c, {"workdir": ["a"]}, o), "config.workdir cannot be tuned"),
        (
            lambda c, o: bcjax.ablate(c, {"a": {"workdir": "b"}}, o),
            "config.workdir cannot be tuned",
        ),
        (lambda c, o: bcjax.ablate(c, {"a": {"train.batch_size": 999}}, o), "is 999, more than"),
        (lambda c, o: bcjax.ablate(c, {"a": 3}, o), "The switches: a is 3"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(config, tmp_path, call, named):
    with pytest.raises(UserError, match=named):
        call(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
