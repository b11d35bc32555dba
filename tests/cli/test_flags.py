"""`--config=FILE` and `--config.KEY=VALUE`, from the command line to a config."""

import pytest
from commandline import ROOT, refused, run_bcjax

from bcjax import config as configs
from bcjax.cli import flags, train

QUICKSTART = f"--config={ROOT / 'configs' / 'quickstart.py'}"


def described(*argv: str):
    arguments = flags.parse(train, "train", [*argv, "--config.data.source=synthetic"])
    return flags.read_config(arguments), arguments


def test_keys_on_the_command_line_change_the_file():
    config, _ = described(
        QUICKSTART, "--config.optim.lr", "3e-4", "--config.data.grey", "--noconfig.eval.report",
        "--config.model.hidden=(64, 32)", "--config.seed=1", "--config.seed=2",
    )  # fmt: skip
    changes = {"optim.lr": 3e-4, "data.grey": True, "eval.report": False, "seed": 2}
    expected = configs.get("quickstart", changes | {"model.hidden": (64, 32)})
    assert configs.flatten(config) == configs.flatten(expected)


def test_none_takes_back_what_the_file_set():
    path = f"--config={ROOT / 'configs' / 'convnext_base.py'}"
    assert described(path)[0].model.dropout == 0.35
    config, _ = described(path, "--config.model.dropout=none", "--config.model.hidden=none")
    assert (config.model.dropout, config.model.hidden) == (None, None)


def test_a_config_is_found_by_its_name():
    assert described("--config=resnet50:frozen")[0].finetune.trainable == "head"


def test_another_process_is_given_the_same_config():
    given = ("--config=resnet50:frozen", "--config.model.dropout=none", "--config.data.grey=true",
             "--config.augment.ops=('flip', 'rotate(30)')")  # fmt: skip
    config, arguments = described(*given)
    again, _ = described(*flags.config_arguments(arguments))
    assert configs.flatten(again) == configs.flatten(config)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--config.optim.lrr=1", "no config key 'optim.lrr': did you mean 'optim.lr'?"),
        ("--config.lr", "no config key 'lr': did you mean 'optim.lr'?"),
        ("--config.learning_rate=1", "no config key 'learning_rate': did you mean 'optim.lr'?"),
        ("--config.data.zzzzzz=1", "no config key 'data.zzzzzz'."),
        ("--config.optim=adam", "config.optim is a branch, not a value"),
        ("--config.optim.final_lr=0.1", "now called config.optim.final_lr_fraction"),
        (
            "--config.model.dropout=-1",
            "config.model.dropout is -1.0: it must be at least 0 and less than 1, or none",
        ),
        ("--config.seed=4294967296", "seed is 4294967296: it must be at least 0 and at most"),
        ("--config.optim.lr=nan", "config.optim.lr is nan: it must be at least 0 and at most"),
        ("--config.data.drop=copys,odd", "choose of conflicts, copies, duplicates, blank"),
        ("--config.model.norm=bach", "choose one of batch, group, layer, frozen-batch, none (did"),
        ("--config.optim.lr", "Missing value for flag --config.optim.lr."),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_written(argument, said, tmp_path):
    refused(run_bcjax("train", QUICKSTART, f"--workdir={tmp_path / 'run'}", argument), said)
    assert not list(tmp_path.iterdir())
