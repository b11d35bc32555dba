"""The config tree: lengths, checks, its written form, and the files that start from it."""

import functools
import json
import math
import operator
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import project_files

from bcjax import config as configs
from bcjax import models
from bcjax.config.table import OLD_NOT_SET
from bcjax.engine import optimizer as optimizers
from bcjax.engine import plan, schedules
from bcjax.runtime.errors import UserError

FILES = project_files("configs/*.py")
COUNTS = st.integers(1, 10**6)


def changed(**leaves):
    config = configs.default()
    config.update_from_flattened_dict({key.replace("__", "."): v for key, v in leaves.items()})
    return config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 steps", 7),
        ("1 step", 1),
        ("0 steps", 0),
        ("2 epochs", 25),
        ("1 epoch", 13),
        ("0.5 epochs", 7),
        ("100 examples", 13),
        ("  96  examples ", 12),
        ("1e3 steps", 1000),
    ],
)
def test_a_length_in_any_unit_becomes_steps_rounded_up(text, expected):
    assert configs.resolve_length(text, examples=100, batch_size=8) == expected


@given(epochs=st.integers(0, 1000), examples=COUNTS, batch_size=COUNTS)
def test_epochs_and_the_examples_in_them_are_the_same_length(epochs, examples, batch_size):
    def steps(text):
        return configs.resolve_length(text, examples=examples, batch_size=batch_size)

    exact = -(-epochs * examples // batch_size)
    assert steps(f"{epochs} epochs") == steps(f"{epochs * examples} examples") == exact


@pytest.mark.parametrize(
    "text",
    ["", "20", "epochs", "20 epoch years", "-1 steps", "nan steps", "inf epochs", "1,5 steps"],
)
def test_what_is_no_length_is_refused_with_examples_of_lengths(text):
    with pytest.raises(UserError, match=r'config\.x\.y is .*"20 epochs"'):
        configs.resolve_length(text, examples=1, batch_size=1, key="x.y")


def test_the_default_is_valid_and_locked():
    config = configs.check(configs.default())
    with pytest.raises(AttributeError, match="lrr"):
        config.optim.lrr = 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.image_size", 0),
        ("data.on_bad_image", "ignore"),
        ("data.store", "ram"),
        ("data.val_fraction", 1.0),
        ("data.crop_fraction", 1e-9),
        ("train.shown", (1,)),
        ("model.dtype", "float16"),
        ("model.dropout", -0.1),
        ("model.mean", (0.5, 0.5)),
        ("model.std", (0.25, 0.0, 0.25)),
        ("finetune.layer_decay", 0.0),
        ("finetune.layer_decay", 1.5),
        ("finetune.first.length", "a while"),
        ("finetune.first.schedule", "cosin"),
        ("finetune.first.lr", -0.1),
        ("finetune.first.patience", -1),
        ("optim.step_at", ("half",)),
        ("optim.ema", 1.0),
        ("train.batch_size", 0),
        ("train.length", "soon"),
        ("eval.every", "0 epochs"),
        ("checkpoint.best", "loss"),
        ("checkpoint.keep", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("optim.plateau.factor", math.nan),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(key, value):
    config = configs.default()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=rf"^config\.{key} is .*: .*\.$"):
        configs.check(config)


def test_a_key_that_is_not_set_is_none_and_takes_values_of_its_type_alone():
    config = configs.default()
    assert config.model.dropout is None
    config.model.dropout = 0  # a whole number does where a number is wanted
    assert config.model.dropout == 0.0
    config.model.dropout = None
    with pytest.raises(TypeError, match="dropout"):
        config.model.dropout = "much"


@pytest.mark.parametrize("key", OLD_NOT_SET)
def test_what_once_meant_not_set_is_refused_with_none_in_its_place(key):
    before = OLD_NOT_SET[key]
    if before == () and key != "model.mean":
        return  # a list with nothing on it is honest
    with pytest.raises(UserError, match=rf"config\.{key} is .*"):
        configs.check(configs.replaced(configs.default(), {key: before}))


def test_checking_changes_nothing():
    config = changed(model__dropout=0.5)
    before = configs.flatten(config)
    assert configs.flatten(configs.check(config)) == before
    assert configs.flatten(config) == before


def test_a_copy_with_changes_leaves_the_config_as_it_was():
    config = configs.default()
    new = configs.replaced(config, {"model.dropout": 0.5, "optim.lr": 1, "model.hidden": [8, 4]})
    assert (new.model.dropout, new.optim.lr, new.model.hidden) == (0.5, 1.0, (8, 4))
    assert configs.flatten(config) == configs.flatten(configs.default())
    assert new.is_locked
    assert configs.replaced(new, {"model.dropout": None}).model.dropout is None


def test_each_schedule_may_be_that_of_the_first_phase():
    for name in (None, *schedules.SCHEDULES):
        configs.check(changed(finetune__first__schedule=name))


def test_each_member_must_have_a_seed_that_is_one():
    configs.check(changed(seed=2**32 - 3, train__members=3))
    with pytest.raises(UserError, match=r"config\.seed is 4294967294, .* have 4294967296"):
        configs.check(changed(seed=2**32 - 2, train__members=3))


@pytest.mark.parametrize(
    ("folds", "fold", "said"),
    [
        (1, 0, r"config\.data\.folds is 1: write 2 or more, or 0"),
        (2, 2, r"config\.data\.fold is 2, but config\.data\.folds is 2"),
        (0, 1, r"config\.data\.fold is 1, but config\.data\.folds is 0"),
    ],
)
def test_a_fold_must_be_one_of_several(folds, fold, said):
    configs.check(changed(data__folds=2, data__fold=1))
    with pytest.raises(UserError, match=said):
        configs.check(changed(data__folds=folds, data__fold=fold))


def test_a_length_that_no_counter_holds_is_refused():
    with pytest.raises(UserError, match=r"config\.a\.b is '1e9 epochs', more than 2147483647"):
        configs.resolve_length("1e9 epochs", examples=100, batch_size=10, key="a.b")


def test_a_batch_must_divide_into_micro_batches():
    with pytest.raises(UserError, match=r"64 cannot be divided .* = 3"):
        configs.check(changed(optim__accumulate=3))


def test_what_is_saved_is_loaded_again_tuples_and_all(tmp_path):
    config = changed(
        data__classes=("a", "b"), model__mean=(0.1, 0.2, 0.3), optim__step_at=(), optim__lr=1e-30
    )
    configs.save(config, tmp_path / "config.json")
    loaded = configs.load(tmp_path)
    assert configs.flatten(loaded) == configs.flatten(config)
    assert loaded.is_locked
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_config_saved_before_a_key_existed_has_its_default():
    tree = configs.default().to_dict()
    del tree["optim"]["ema"], tree["mesh"]
    assert configs.flatten(configs.from_dict(tree)) == configs.flatten(configs.default())


def test_a_config_saved_before_averages_were_corrected_says_that_they_were_not():
    tree = configs.default().to_dict()
    assert configs.from_dict(tree).optim.correct_averages is None
    del tree["optim"]["correct_averages"]
    assert configs.from_dict(tree).optim.correct_averages is False


def test_a_config_of_an_earlier_version_is_translated():
    tree = configs.default().to_dict()
    for key, value in OLD_NOT_SET.items():
        *branches, last = key.split(".")
        functools.reduce(operator.getitem, branches, tree)[last] = value
    tree["optim"]["final_lr"] = tree["optim"].pop("final_lr_fraction")
    assert configs.flatten(configs.from_dict(tree)) == configs.flatten(configs.default())


def test_a_list_with_nothing_on_it_is_kept():
    config = changed(model__hidden=())
    assert configs.from_dict(json.loads(json.dumps(config.to_dict()))).model.hidden == ()


def test_a_saved_key_that_is_unknown_is_named(tmp_path):
    tree = configs.default().to_dict()
    tree["optim"]["magic"] = 1
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(UserError, match=r"'optim\.magic'"):
        configs.load(tmp_path)


def test_a_folder_without_a_run_is_no_config(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        configs.load(tmp_path)


def test_only_what_changes_the_result_is_a_difference():
    free = changed(workdir="b", data__store="disk", mesh__fsdp=4, checkpoint__keep=9)
    assert configs.differences(configs.default(), free) == {}
    other = changed(optim__lr=3e-3, data__classes=("a", "b"))
    assert configs.describe(configs.differences(configs.default(), other)) == [
        "data.classes (None there, ('a', 'b') here)",
        "optim.lr (0.001 there, 0.003 here)",
    ]


def test_there_are_config_files():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_config_file_describes_a_run_that_can_be_built(path: Path):
    config = configs.get(path)
    assert configs.flatten(config).keys() == configs.KEYS.keys()
    lengths = plan.resolve(config, examples=10_000, steps_per_call=1)
    assert 0 <= lengths.warmup < lengths.length
    optimizers.create(config.optim, total_steps=lengths.length, warmup_steps=lengths.warmup)
    models.create(config.model.name, classes=8, dtype=config.model.dtype)
