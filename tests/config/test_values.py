"""Values of single keys, and what a mistyped key was meant to be."""

import math
import tomllib
from collections import Counter

import pytest

from bcjax import config as configs
from bcjax.config import docs
from bcjax.config.suggest import NAMES_FILE, OTHER_NAMES
from bcjax.config.table import OLD_KEYS, OLD_NOT_SET
from bcjax.config.values import check_value
from bcjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optim.lr", "3e-4", 3e-4),
        ("optim.lr", "1", 1.0),
        ("seed", "7", 7),
        ("data.grey", "True", True),
        ("data.grey", "0", False),
        ("model.name", "none", "none"),
        ("train.class_weights", "none", "none"),
        ("model.dropout", "none", None),
        ("model.dropout", "0.5", 0.5),
        ("model.weights", "", None),
        ("model.hidden", "(64, 32)", (64, 32)),
        ("model.hidden", "[64]", (64,)),
        ("model.hidden", "9", (9,)),
        ("model.hidden", "()", ()),
        ("augment.ops", "('flip', 'rotate(30)')", ("flip", "rotate(30)")),
        ("augment.ops", "flip", ("flip",)),
        ("train.length", "3 steps", "3 steps"),
    ],
)
def test_a_text_of_the_command_line_becomes_a_value(key, text, value):
    parsed = configs.parse(key, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("optim.lr", "fast", "write a number."),
        ("seed", 1.5, "write a whole number."),
        ("seed", True, "write a whole number."),
        ("seed", None, "write a whole number."),
        ("data.grey", 1, "write true or false."),
        ("model.dropout", "much", "write a number, or none."),
        ("train.length", 20, 'write a length such as "20 epochs".'),
        ("augment.ops", "flip", "write a list"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_to_write(key, value, wanted):
    with pytest.raises(UserError) as caught:
        configs.convert(key, value)
    assert str(caught.value).startswith(f"config.{key} is {value!r}: ")
    assert wanted in str(caught.value)


ODD = (
    None, -1, 0, 1e9, "x", [], {}, (), ("a",), (1,), ((),), math.nan, math.inf, 2**32, 2**63, "",
    "x" * 10_000, True, b"x", object(),
)  # fmt: skip


@pytest.mark.parametrize("key", configs.KEYS)
def test_whatever_a_key_is_given_is_taken_or_refused_in_a_sentence_that_names_it(key):
    check_value(key, configs.KEYS[key].default)
    for value in ODD:
        try:
            check_value(key, configs.convert(key, value))
        except UserError as error:
            assert str(error).startswith(f"config.{key} "), error  # noqa: PT017
            assert str(error).endswith("."), error  # noqa: PT017


@pytest.mark.parametrize(
    ("word", "key"),
    [
        # By meaning: the names of other tools.
        ("learning_rate", "optim.lr"),
        ("optim.learning_rate", "optim.lr"),
        ("epochs", "train.length"),
        ("train.epochs", "train.length"),
        ("batch_size", "train.batch_size"),
        ("eval.batch", "train.batch_size"),
        ("img-size", "data.image_size"),
        ("imgsz", "data.image_size"),
        ("num_classes", "data.classes"),
        ("weight_decay", "optim.weight_decay"),
        ("ema_decay", "optim.ema"),
        ("mixup", "augment.ops"),
        ("early_stopping", "train.patience"),
        ("pretrained", "model.weights"),
        ("drop_rate", "model.dropout"),
        ("lrf", "optim.final_lr_fraction"),
        ("num_workers", "data.workers"),
        # A key's own last part, in the branch that was named or nearest to the root.
        ("lr", "optim.lr"),
        ("train.lr", "optim.lr"),
        ("finetune.lr", "optim.lr"),
        ("model.batch_size", "train.batch_size"),
        ("data.seed", "seed"),
        # By spelling.
        ("optim.lrr", "optim.lr"),
        ("data.imagesize", "data.image_size"),
        ("learning_rat", "optim.lr"),
        ("LEARNING_RATE", "optim.lr"),
    ],
)
def test_a_mistyped_key_is_answered_with_the_one_that_was_meant(word, key):
    with pytest.raises(UserError) as caught:
        configs.check_key(word)
    assert str(caught.value) == f"There is no config key {word!r}: did you mean {key!r}?"


def test_what_is_like_no_key_is_answered_with_none():
    with pytest.raises(UserError, match=r"^There is no config key 'data\.zzzzzz'\.$"):
        configs.check_key("data.zzzzzz")


def test_a_branch_and_a_renamed_key_are_said_to_be_so():
    with pytest.raises(UserError, match=r"config\.optim is a branch, not a value"):
        configs.check_key("optim")
    with pytest.raises(UserError, match=r"final_lr is now called config\.optim\.final_lr_fraction"):
        configs.check_key("optim.final_lr")


def test_each_name_of_another_tool_stands_for_one_key():
    branches = tomllib.loads(NAMES_FILE.read_text())
    assert set(OTHER_NAMES.values()) <= configs.KEYS.keys()
    names = Counter(" ".join(row for rows in branches.values() for row in rows.values()).split())
    assert [name for name, count in names.items() if count > 1] == []


def test_the_table_is_whole():
    assert not OLD_KEYS.keys() & configs.KEYS.keys()
    assert set(OLD_KEYS.values()) <= configs.KEYS.keys()
    assert OLD_NOT_SET.keys() == {name for name, key in configs.KEYS.items() if key.optional}
    for name, key in configs.KEYS.items():
        assert key.meaning.endswith("."), name
        assert ("not set" in key.meaning) == key.optional, name


def test_the_page_about_all_settings_is_up_to_date():
    assert docs.PAGE.read_text() == docs.render(), "run python -m bcjax.config.docs"
