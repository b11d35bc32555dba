"""Values of single keys, and what a mistyped key was meant to be."""

import itertools
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


def is_refused(key, value, read):
    """Whether a value is refused, which must be in one sentence that names the key."""
    try:
        given = read(key, value)
        check_value(key, given)
        configs.check(configs.replaced(configs.default(), {key: given}))
    except UserError as error:
        assert re.fullmatch(r"config\.\S+ .{1,600}\.", str(error)), error  # noqa: PT017
        assert f"config.{key} " in str(error), error  # noqa: PT017
        return True
    return False


@pytest.mark.parametrize("key", configs.KEYS)
def test_whatever_python_gives_a_key_is_taken_or_refused_in_a_sentence_that_names_it(key):
    check_value(key, configs.KEYS[key].default)
    assert sum(is_refused(key, value, configs.convert) for value in ODD) > len(ODD) / 2


@pytest.mark.parametrize("key", configs.KEYS)
def test_whatever_the_command_line_gives_a_key_is_taken_or_refused_in_the_same_way(key):
    assert sum(is_refused(key, str(value), configs.parse) for value in ODD) >= 2


@pytest.mark.parametrize("key", [name for name, key in configs.KEYS.items() if key.kind in NUMBERS])
def test_a_number_has_two_bounds_and_is_refused_beyond_each_and_where_it_is_none(key):
    row = configs.KEYS[key]
    assert row.range or row.choices, "a number needs a range"
    for number in (math.nan, math.inf, -math.inf, 1e300, -1e300):
        value = f"{number} steps" if row.kind is LENGTH else number
        for given in ((value,) * 3, value) if row.kind.item else (value,):
            with pytest.raises(UserError, match=rf"^config\.{key} is "):
                check_value(key, given)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 0, "x", 10**400, True, 2.5, [], b"x"])
@pytest.mark.parametrize(
    ("argument", "like"),
    [("batch_size", "eval.batch_size"), ("max_pixels", "data.max_pixels")],
)
def test_an_argument_of_a_function_is_checked_like_a_key(argument, like, value):
    configs.check_argument(argument, 7, like)
    with pytest.raises(UserError, match=rf"^{argument} is .*(a whole number|be at least 1)"):
        configs.check_argument(argument, value, like)


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
    with pytest.raises(
        UserError,
        match=r"write (a list of|three whole numbers|a whole number, .* or height and width)",
    ):
        check_value(key, configs.convert(key, [None]))
    if configs.KEYS[key].choices:
        with pytest.raises(UserError, match=rf"config\.{key} has 'x y': .* on the command line"):
            check_value(key, configs.parse(key, "x y"))


# Names that people type who come from elsewhere, by the key that they mean.
TYPED = {
    # By the meaning of the last part, whatever the branch.
    "optim.lr": "lr train.lr finetune.lr model.lr lr0 learning_rate optim.learning_rate "
    "LEARNING_RATE learningRate learning-rate optimizer.lr base_lr init_lr",
    "train.batch_size": "batch_size batch bs data.batch_size model.batch_size eval.batch batchSize "
    "train_batch_size",
    "eval.batch_size": "val_batch_size eval.batchSize",
    "data.source": "data.path data_dir dataset root data.root train_dir",
    "data.image_size": "imgsz img_size img-size data.imgsz model.image_size crop_size resolution",
    "data.workers": "workers num_workers dataloader_num_workers",
    "data.val_fraction": "validation_split val_split",
    "seed": "data.seed random_state manual_seed",
    "workdir": "output_dir save_dir log_dir out_dir",
    "model.name": "arch backbone model_name",
    "model.dropout": "dropout drop_rate head_dropout train.dropout",
    "model.drop_path": "drop_path_rate stochastic_depth",
    "model.channels": "in_chans",
    "optim.name": "optimizer opt optim.optimizer optimizer.name",
    "optim.momentum": "momentum train.momentum",
    "optim.weight_decay": "weight_decay wd train.weight_decay",
    "optim.ema": "ema_decay",
    "optim.eps": "adam_eps optim.epsilon",
    "optim.clip_norm": "clip_grad gradient_clip_val max_grad_norm clipnorm",
    "optim.schedule": "sched lr_scheduler scheduler",
    "optim.final_lr_fraction": "lrf optim.alpha",
    "train.label_smoothing": "label_smoothing smoothing model.label_smoothing",
    "train.loss": "criterion",
    "train.patience": "patience early_stopping_patience",
    "checkpoint.best": "monitor metric_for_best_model",
    "checkpoint.keep": "save_total_limit",
    # By spelling.
    "data.synthetic_images": "data.sinthetic_images",
    "optim.b1": "optim.b11",
}
# The same where the value has another form, which is then in the answer.
TYPED_WITH_FORM = {
    "train.length": {
        "20 epochs": "epochs train.epochs num_epochs max_epochs trainer.max_epochs",
        "500 steps": "max_steps train.steps iterations",
    },
    "optim.warmup": {"3 epochs": "warmup_epochs optim.warmup_epochs", "500 steps": "warmup_steps"},
    "eval.every": {"1 epochs": "val_interval check_val_every_n_epoch", "500 steps": "eval_steps"},
    "checkpoint.every": {"1 epochs": "save_period save_freq", "500 steps": "save_steps"},
    "data.classes": {"names the classes": "num_classes nc model.num_classes num_labels"},
    "augment.ops": {
        "mixup(0.2)": "mixup augment.mixup mixup_alpha",
        "cutmix(1)": "cutmix",
        "flip": "hflip fliplr horizontal_flip",
        "rotate(30)": "degrees rotation_range",
        "brightness(0.2)": "color_jitter hsv_v",
        "random_erasing(": "reprob erasing",
        "rand_augment(2, 9)": "aa auto_augment",
    },
    "finetune.trainable": {"head": "freeze freeze_layers model.freeze"},
    "model.weights": {"file of weights": "pretrained model.pretrained"},
    "model.dtype": {"bfloat16": "amp half mixed_precision"},
    "optim.ema": {"0.999": "model_ema use_ema"},
    "optim.final_lr_fraction": {"fraction of optim.lr": "min_lr eta_min"},
    "optim.step_at": {"0.5,0.75": "milestones decay_epochs"},
    "optim.schedule": {"cosine": "cos_lr"},
    "train.patience": {"evaluations": "early_stopping"},
    "track.to": {"wandb": "use_wandb"},
}


@pytest.mark.parametrize(
    ("word", "key"), [(word, key) for key, words in TYPED.items() for word in words.split()]
)
def test_a_mistyped_key_is_answered_with_the_one_that_was_meant(word, key):
    with pytest.raises(UserError) as caught:
        configs.check_key(word)
    assert str(caught.value) == f"There is no config key {word!r}: did you mean {key!r}?"


@pytest.mark.parametrize(
    ("word", "key", "form"),
    [
        (word, key, form)
        for key, forms in TYPED_WITH_FORM.items()
        for form, words in forms.items()
        for word in words.split()
    ],
)
def test_where_the_value_has_another_form_the_answer_says_it(word, key, form):
    with pytest.raises(UserError) as caught:
        configs.check_key(word)
    start = f"There is no config key {word!r}: did you mean {key!r}? "
    assert str(caught.value).startswith(start)
    assert form in str(caught.value).removeprefix(start)


@pytest.mark.parametrize("word", ["resume", "device", "gpus", "shuffle", "train.deterministic"])
def test_what_has_no_key_here_is_answered_with_why(word):
    with pytest.raises(UserError, match=rf"^There is no config key '{word}'\. .{{20,}}\.$"):
        configs.check_key(word)


def test_a_form_is_one_that_its_key_takes():
    """Each form in the table that is an example of a value is read without a complaint."""
    for meant in OTHER_NAMES.values():
        assert not meant.form or meant.form.endswith("."), meant
        if given := re.fullmatch(r'Write (?:a length: )?"([^"]+)"\.', meant.form):
            check_value(meant.key, configs.parse(meant.key, given[1]))


def test_what_is_like_no_key_is_answered_with_none():
    with pytest.raises(UserError, match=r"^There is no config key 'data\.zzzzzz'\.$"):
        configs.check_key("data.zzzzzz")


def test_a_branch_and_a_renamed_key_are_said_to_be_so():
    with pytest.raises(UserError, match=r"branch, .* below it, such as config\.optim\.name"):
        configs.check_key("optim")
    with pytest.raises(UserError, match=r"final_lr is now called config\.optim\.final_lr_fraction"):
        configs.check_key("optim.final_lr")


def test_each_name_of_another_tool_stands_for_one_key():
    branches = tomllib.loads(NAMES_FILE.read_text())
    rows = [row for branch in branches.values() for row in branch.values()]
    lists = [[row] if isinstance(row, str) else [names for names, _ in row] for row in rows]
    names = Counter(" ".join(itertools.chain(*lists)).split())
    others = {meant.key for meant in OTHER_NAMES.values()} - configs.KEYS.keys()
    assert others == {f"none.{subject}" for subject in branches["none"]}
    assert [name for name, count in names.items() if count > 1] == []


def test_the_table_is_whole():
    assert not OLD_KEYS.keys() & configs.KEYS.keys()
    assert set(OLD_KEYS.values()) <= configs.KEYS.keys()
    assert OLD_NOT_SET.keys() <= {name for name, key in configs.KEYS.items() if key.optional}
    for name, key in configs.KEYS.items():
        assert key.meaning.endswith("."), name
        assert ("not set" in key.meaning) == key.optional, name


def test_the_page_about_all_settings_is_up_to_date():
    assert docs.PAGE.read_text() == docs.render(), "run python -m bcjax.config.docs"
