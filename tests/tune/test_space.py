"""What a sweep's space and an ablation's switches may say."""

import optuna
import pytest

from bcjax import config as configs
from bcjax.runtime.errors import UserError
from bcjax.tune import ablation, objectives
from bcjax.tune.space import Space
from bcjax.tune.trials import changed

YAML = """
optim.lr: {low: 1e-4, high: 1e-2, log: true}
optim.weight_decay: {low: 0, high: 0.1, step: 0.05}
train.batch_size: {low: 16, high: 64, step: 16}
model.name: [elu_cnn, resnet18]
data.grey: [true, false]
augment.ops: [[flip, turn], ["mixup(0.2)"], []]
"""


@pytest.fixture
def write(tmp_path):
    def to(text, name="space.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return to


def drawn(space, count=30):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space(study.ask()) for _ in range(count)]


def test_a_yaml_space_draws_values_of_the_types_that_the_keys_have(write):
    draws = drawn(Space(write(YAML)))
    assert all(1e-4 <= draw["optim.lr"] <= 1e-2 for draw in draws)
    assert {draw["optim.weight_decay"] for draw in draws} == {0.0, 0.05, 0.1}
    assert {draw["train.batch_size"] for draw in draws} == {16, 32, 48, 64}
    assert {draw["model.name"] for draw in draws} == {"elu_cnn", "resnet18"}
    assert {draw["data.grey"] for draw in draws} == {True, False}
    ops = {tuple(draw["augment.ops"]) for draw in draws}
    assert ops == {("flip", "turn"), ("mixup(0.2)",), ()}
    for draw in draws:
        leaves = configs.flatten(changed(configs.default(), draw))
        assert all(
            type(leaves[key]) is type(configs.flatten(configs.default())[key]) for key in draw
        )


def test_a_space_says_the_same_of_a_trial_whenever_it_is_asked(write):
    space = Space(write(YAML))
    trial = optuna.create_study().ask()
    assert space(trial) == space(trial)


def test_a_python_space_may_let_one_key_depend_on_another(write):
    text = """
def space(trial):
    name = trial.suggest_categorical("optim.name", ["adamw", "sgd"])
    low, high = (1e-4, 1e-3) if name == "adamw" else (1e-2, 1e-1)
    return {"optim.name": name, "optim.lr": trial.suggest_float(name, low, high)}
"""
    space = Space(write(text, "space.py"))
    space.check(configs.default())
    assert all((draw["optim.lr"] > 5e-3) == (draw["optim.name"] == "sgd") for draw in drawn(space))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("optim.lrr: [1.0]", ("optim.lrr", "did you mean 'optim.lr'?")),
        ("optim: [1.0]", ("optim", "branch")),
        ("optim.lr: {low: 1, high: 0.1}", ("optim.lr", "no range")),
        ("optim.lr: {low: 0, high: 0.1, log: true}", ("optim.lr", "no range")),
        ("optim.lr: {low: .nan, high: 0.1}", ("optim.lr", "is nan: it must be at least 0")),
        ("optim.lr: {low: 0.1, high: .inf}", ("optim.lr", "is inf: it must be at least 0")),
        ("optim.lr: {low: 0.1, high: 1, step: .nan}", ("optim.lr", "the step nan")),
        ("optim.lr: [0.1, .nan]", ("optim.lr", "is nan: it must be")),
        ("optim.lr: {low: fast, high: 0.1}", ("optim.lr", "'fast'", "a number")),
        ("optim.lr: {low: 1, high: 2, logg: true}", ("optim.lr", "'logg'")),
        ("optim.lr: 0.1", ("optim.lr", "a list of values")),
        ("optim.lr: []", ("optim.lr", "a list of values")),
        ("optim.name: [adamw, lyon]", ("lyon", "lion")),
        ("optim.name: {low: adam, high: sgd}", ("optim.name", "list its values")),
        ("model.name: [elu_cnn, resnet81]", ("resnet81", "resnet18")),
        ("model.dtype: [float32, float16]", ("model.dtype", "float16", "bfloat16")),
        ("train.batch_size: [32, 0]", ("train.batch_size", "at least 1")),
        ("train.batch_size: [32.5]", ("train.batch_size", "a whole number")),
        ("train.batch_size: [true]", ("train.batch_size", "a whole number")),
        ("train.length: [20]", ("train.length", "20 epochs")),
        ("data.grey: ['yes']", ("data.grey", "true or false")),
        ("augment.ops: [flip]", ("augment.ops", "a list")),
        ("augment.ops: [[flipp]]", ("flipp", "flip")),
        ("train.members: [1, 2]", ("train.members",)),
        ("- optim.lr", ("names nothing",)),
        ("", ("names nothing",)),
        ("optim.lr: [", ("no YAML",)),
    ],
)
def test_what_no_trial_could_use_is_refused_before_the_first(write, text, named):
    with pytest.raises(UserError) as raised:
        Space(write(text)).check(configs.default())
    assert all(name in str(raised.value) for name in named), raised.value
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import nothing_of_this_name", ("does not run", "nothing_of_this_name")),
        ("def spaces(trial): return {}", ("no function space(trial)",)),
        ("def space(trial): return 1 / 0", ("fails", "division by zero")),
        ("def space(trial): return [1]", ("returns [1]", "a dict")),
        ("def space(trial): return {'optim.lrr': 1.0}", ("optim.lrr", "optim.lr'")),
        ("def space(trial): return {'model.name': 'resnet81'}", ("resnet81", "resnet18")),
    ],
)
def test_a_python_space_that_is_wrong_is_named(write, text, named):
    with pytest.raises(UserError) as raised:
        Space(write(text, "space.py")).check(configs.default())
    assert all(name in str(raised.value) for name in named), raised.value


def test_a_space_that_is_not_there_is_named(tmp_path):
    for name in ("space.yaml", "space.py"):
        with pytest.raises(UserError, match=name):
            Space(tmp_path / name)


def test_objectives_are_metrics_and_costs():
    config = configs.default()
    assert objectives.parse("", config) == ("accuracy",)
    names = objectives.parse("macro_f1, latency,size,log_loss", config)
    assert names == ("macro_f1", "latency", "size", "log_loss")
    assert [objectives.direction(name) for name in names] == ["maximize"] + 3 * ["minimize"]
    for text, named in (("acuracy", "'accuracy'"), ("cost", "latency"), ("size,size", "twice")):
        with pytest.raises(UserError, match=named):
            objectives.parse(text, config)


# Switches

MIXED = ("flip", "turn", "mixup(0.2)")


@pytest.fixture
def config():
    config = configs.default()
    config.augment.ops = MIXED
    return config


SWITCHES = """
decay: {optim.weight_decay: 0}
mixing: {augment.ops: {remove: mixup}}
moves: {augment.ops: {remove: [flip, turn]}}
ema:
  with: {optim.ema: 0.99}
"""


def test_switches_leave_out_what_they_name_and_add_what_the_config_lacks(write, config):
    found = ablation.read_switches(write(SWITCHES), config)
    assert [switch.name for switch in found] == ["decay", "mixing", "moves", "ema"]

    def with_on(*on):
        leaves = configs.flatten(ablation.apply(config, found, on))
        keys = ("optim.weight_decay", "augment.ops", "optim.ema")
        return tuple(leaves[key] for key in keys)

    assert with_on("decay", "mixing", "moves", "ema") == (1e-4, MIXED, 0.99)
    assert with_on() == (0.0, (), 0.0)
    assert with_on("mixing") == (0.0, ("mixup(0.2)",), 0.0)
    assert with_on("decay", "moves") == (1e-4, ("flip", "turn"), 0.0)
    assert config.augment.ops == MIXED  # as it was


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("decay: {optim.weight_decai: 0}", ("optim.weight_decai", "optim.weight_decay")),
        ("decay: {optim.weight_decay: none}", ("optim.weight_decay", "a number")),
        ("decay: 0", ("decay", "optim.weight_decay: 0")),
        ("loss: {train.loss: dice}", ("train.loss", "dice", "focal")),
        ("decay: {optim.weight_decay: 1e-4}", ("decay", "off in this config already")),
        ("mixing: {augment.ops: {remove: cutmix}}", ("cutmix", "mixup(0.2)")),
        ("mixing: {augment.ops: {without: mixup}}", ("augment.ops", "remove")),
        ("a/b: {optim.weight_decay: 0}", ("a/b",)),
        ("on: {optim.weight_decay: 0}", ("True",)),  # as YAML reads it
        ("a: {optim.ema: 0.9}\nb: {optim.ema: 0.99}", ("b", "another", "optim.ema")),
        ("a: {augment.ops: []}\nb: {augment.ops: {remove: flip}}", ("augment.ops",)),
        ("a: {augment.ops: {remove: flip}}\nb: {augment.ops: []}", ("b", "augment.ops")),
    ],
)
def test_switches_that_cannot_be_meant_are_refused(write, config, text, named):
    with pytest.raises(UserError) as raised:
        ablation.read_switches(write(text), config)
    assert all(name in str(raised.value) for name in named), raised.value


def test_no_run_of_an_ablation_comes_twice():
    both = dict(ablation.kinds_of_run("abc", ablation.MODES))
    assert both == {
        "all": ("a", "b", "c"),
        "none": (),
        "all-but-a": ("b", "c"),
        "all-but-b": ("a", "c"),
        "all-but-c": ("a", "b"),
        "only-a": ("a",),
        "only-b": ("b",),
        "only-c": ("c",),
    }
    assert list(dict(ablation.kinds_of_run("abc", ["only-one"]))) == [
        "all", "none", "only-a", "only-b", "only-c",
    ]  # fmt: skip
    assert list(dict(ablation.kinds_of_run("ab", ablation.MODES))) == [
        "all", "none", "all-but-a", "all-but-b",
    ]  # fmt: skip
    assert list(dict(ablation.kinds_of_run("a", ablation.MODES))) == ["all", "none"]
