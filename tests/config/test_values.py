"""Values of single keys, and what a mistyped key was meant to be."""

import math
import re
import tomllib
from collections import Counter

import pytest

from bcjax import config as configs
from bcjax.config import docs
from bcjax.config.key import FLOAT, FLOATS, INT, INTS, LENGTH
from bcjax.config.suggest import NAMES_FILE, OTHER_NAMES
from bcjax.config.table import OLD_KEYS, OLD_NOT_SET
from bcjax.config.values import check_value
from bcjax.runtime.errors import UserError

NUMBERS = (INT, FLOAT, INTS, FLOATS, LENGTH)


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
        ("augment.ops", "flip, crop(0.8, p=0.5),turn", ("flip", "crop(0.8, p=0.5)", "turn")),
        ("augment.ops", "", ()),
        ("data.exclude", '"a, b.png", c[0-9]*', ("a, b.png", "c[0-9]*")),
        ("data.classes", "1, 2", ("1", "2")),
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
    "x" * 10_000, True, b"x", object(), 10**400, 1e300, (math.nan,), (2**63,), ("x" * 10_000,),
    "a\0b", "1e300 steps", "nan epochs", "inf steps",
)  # fmt: skip


@pytest.mark.parametrize("key", configs.KEYS)
def test_whatever_python_gives_a_key_is_taken_or_refused_in_a_sentence_that_names_it(key):
    check_value(key, configs.KEYS[key].default)
    refused = 0
    for value in ODD:
        try:
            configs.check(configs.replaced(configs.default(), {key: value}))
        except UserError as error:
            assert re.fullmatch(r"config\.\S+ .{1,300}\.", str(error)), error  # noqa: PT017
            assert f"config.{key} " in str(error), error  # noqa: PT017
            refused += 1
    assert refused > len(ODD) / 2


@pytest.mark.parametrize("key", configs.KEYS)
def test_whatever_the_command_line_gives_a_key_is_taken_or_refused_in_the_same_way(key, capsys):
    for value in ODD:
        text = str(value)
        try:
            configs.check(configs.replaced(configs.default(), {key: configs.parse(key, text)}))
        except UserError as error:
            assert re.fullmatch(r"config\.\S+ .{1,300}\.", str(error)), error  # noqa: PT017
            assert f"config.{key} " in str(error), error  # noqa: PT017


@pytest.mark.parametrize("key", [name for name, key in configs.KEYS.items() if key.kind in NUMBERS])
def test_a_number_has_two_bounds_and_is_refused_beyond_each_and_where_it_is_none(key):
    row = configs.KEYS[key]
    assert row.range or row.choices, "a number needs a range"
    for number in (math.nan, math.inf, -math.inf, 1e300, -1e300):
        value = f"{number} steps" if row.kind is LENGTH else number
        for given in ((value,) * 3, value) if row.kind.item else (value,):
            with pytest.raises(UserError, match=rf"^config\.{key} is "):
                check_value(key, given)


LISTS = [name for name, key in configs.KEYS.items() if key.kind.item]


@pytest.mark.parametrize("form", ["{}, {}, {}", "{},{},{}", "[{}, {}, {}]", "({}, {}, {},)"])
@pytest.mark.parametrize("key", LISTS)
def test_a_list_is_taken_as_people_type_it(key, form):
    row = configs.KEYS[key]
    items = (row.choices * 3)[:3] or {int: (3, 2, 1), float: (0.5, 0.25, 1.0)}.get(
        row.kind.item, ("crop(0.9, p=0.5)", "a b", "it's*")
    )
    assert configs.parse(key, form.format(*items)) == items
    assert configs.parse(key, str(items)) == configs.parse(key, str(list(items))) == items
    if row.kind.item is str:
        quoted = [f'"{item}"' for item in items]
        assert configs.parse(key, form.format(*quoted)) == items
    if row.kind.size is None:
        assert configs.parse(key, str(items[0])) == items[:1]
        assert configs.parse(key, f'("{items[0]}",)') == items[:1] or row.kind.item is not str
        assert configs.parse(key, "()") == configs.parse(key, "[]") == ()


@pytest.mark.parametrize("key", LISTS)
def test_a_list_that_is_none_is_answered_with_the_form(key):
    with pytest.raises(UserError, match=r"write (a list of|three whole numbers)"):
        check_value(key, configs.convert(key, [None]))
    if configs.KEYS[key].choices:
        with pytest.raises(UserError, match=rf"config\.{key} has 'x y': .* on the command line"):
            check_value(key, configs.parse(key, "x y"))


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
