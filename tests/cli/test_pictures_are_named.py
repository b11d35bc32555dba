"""A config of a network trains on the pictures that are named, and on no others."""

import pytest
from commandline import refused

import bcjax
from bcjax import config as configs
from bcjax.runtime.errors import UserError

# These say what they train on.
WITH_PICTURES = {
    "quickstart": "synthetic", "bccd": "dataset-master", "an2dl": "training_set.npz",
    "published/an2dl_convnext": "training_set.npz", "published/bccd_raw": "dataset-master",
    "published/edge_impulse": "dataset2-master",
    "published/elu_resnet50": "dataset2-master",
}  # fmt: skip
ASKED = ("Give the pictures: --", "data.source=FOLDER", "data.source=synthetic")

COMMANDS = {
    "train": (),
    "benchmark": (),
    "preview": (),
    "explore": (),
    "prepare": ("--out=set",),
    "sweep": ("--space=space.yaml", "--out=sweep"),
    "ablate": ("--switches=switches.yaml", "--out=ablation"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("optim.lr: [0.1, 0.2]\n")
    (tmp_path / "switches.yaml").write_text("decay: {optim.weight_decay: 0}\n")
    return tmp_path


def test_only_configs_that_say_so_have_pictures():
    found = {name: configs.get(name).data.source for name in configs.names()}
    assert {name: source for name, source in found.items() if source} == WITH_PICTURES


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_asks_for_the_pictures(bcjax, folder, command):
    before = sorted(folder.iterdir())
    refused(bcjax(command, "--config=resnet50", *COMMANDS[command]), *ASKED)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("command", ["explore", "prepare"])
def test_commands_without_a_config_ask_for_the_pictures(bcjax, command):
    refused(bcjax(command, *COMMANDS[command]), "--data.source=FOLDER", *ASKED)
    refused(bcjax(command, *COMMANDS[command], "--config.data.image_size=32"), *ASKED)


SWITCHES = {"decay": {"optim.weight_decay": 0}}


@pytest.mark.parametrize(
    "ask",
    [
        bcjax.train,
        lambda config: bcjax.sweep(config, {"optim.lr": [0.1, 0.2]}, "sweep"),
        lambda config: bcjax.ablate(config, SWITCHES, "ablation"),
    ],
)
def test_python_asks_for_the_pictures(folder, ask):
    before = sorted(folder.iterdir())
    with pytest.raises(UserError) as caught:
        ask(bcjax.get_config("resnet50"))
    assert all(words in str(caught.value) for words in ASKED)
    assert sorted(folder.iterdir()) == before
