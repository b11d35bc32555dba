"""Paths as people write them, in every flag, key and argument: ~, file://, remote ones."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from commandline import refused
from places import ROOT

import bcjax
from bcjax import api
from bcjax import config as configs
from bcjax.config.key import PATH
from bcjax.main import COMMANDS
from bcjax.runtime.errors import UserError

REMOTE = "gs://bucket/cells"
CONFIG = f"--config={ROOT / 'configs' / 'elu_cnn.py'}"
PATH_KEYS = [name for name, key in configs.KEYS.items() if key.kind is PATH]
NOT_PATHS = {"split", "storage"}  # a name, and the URL of a database


def module_of(command):
    return importlib.import_module(f"bcjax.cli.{command.replace('-', '_')}")


FLAGS = [(command, flag) for command in COMMANDS for flag in module_of(command).FLAGS]
PATH_FLAGS = [(command, flag) for command, flag in FLAGS if flag.path or flag.kind is Path]
IDS = [f"{command} --{flag.name}" for command, flag in PATH_FLAGS]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of one's own, which is the current folder too; it must stay empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_each_flag_that_speaks_of_a_file_or_a_folder_is_known_as_a_path():
    for command, flag in FLAGS:
        speaks = re.search(r"\b(file|folder|page)\b", flag.meaning.lower())
        if speaks and flag.kind is str and flag.name not in NOT_PATHS:
            assert flag.path, (command, flag.name)
    assert len(PATH_FLAGS) > 20


@pytest.mark.parametrize(("command", "flag"), PATH_FLAGS, ids=IDS)
def test_a_remote_path_is_refused_by_each_flag_before_anything_else(bcjax, command, flag):
    needed = [f"--{each.name}=a" for each in module_of(command).FLAGS if each.needed]
    ran = bcjax(command, *needed, f"--{flag.name}={REMOTE}")
    refused(ran, REMOTE, "remote path", "mount or copy it")


@pytest.mark.parametrize(("command", "flag"), PATH_FLAGS, ids=IDS)
def test_each_flag_finds_the_home_folder(home, command, flag):
    several = flag.kind is list
    wanted = f"{home}/a b\n.py"
    assert flag.read("~/a b\n.py") == ([wanted] if several else flag.kind(wanted))
    assert flag.read("file:///a%20b") == (["/a b"] if several else flag.kind("/a b"))


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if getattr(module_of(name), "TAKES_WORDS", False)]
)
def test_a_remote_path_without_a_flag_is_refused_too(bcjax, command):
    needed = [f"--{each.name}=a" for each in module_of(command).FLAGS if each.needed]
    refused(bcjax(command, *needed, REMOTE), REMOTE, "remote path")


@pytest.mark.parametrize("key", PATH_KEYS)
def test_each_key_that_holds_a_path_is_resolved(bcjax, home, key):
    assert configs.parse(key, "~/a b") == configs.convert(key, Path("~/a b")) == f"{home}/a b"
    refused(bcjax("train", CONFIG, f"--config.{key}={REMOTE}"), REMOTE, "remote path")
    config = configs.default()
    config.update_from_flattened_dict({key: REMOTE})
    with pytest.raises(UserError, match="remote path"):
        configs.check(config)


def test_what_a_config_file_says_is_resolved(tmp_path_factory, home):
    file = tmp_path_factory.mktemp("configs") / "own: one.py"
    file.write_text(
        "from bcjax import config\n\ndef get_config(variant=''):\n"
        "    own = config.default()\n    own.data.source = '~/cells' + variant\n    return own\n"
    )
    assert configs.get(file).data.source == f"{home}/cells"
    assert configs.get(f"file://{file}:x").data.source == f"{home}/cellsx"


ARGUMENTS = [
    (name, parameter.name)
    for name, function in inspect.getmembers(api, inspect.isfunction)
    if not name.startswith("_") and function.__module__ == api.__name__
    for parameter in inspect.signature(function).parameters.values()
    if "Path" in str(parameter.annotation) or "Run" in str(parameter.annotation)
]


@pytest.mark.parametrize(("function", "argument"), ARGUMENTS)
def test_each_argument_of_the_library_refuses_a_remote_path(function, argument):
    called = getattr(bcjax, function)
    parameters = inspect.signature(called).parameters
    given = {
        name: "nowhere"
        for name, each in parameters.items()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    }
    given |= {"config": configs.default()} if "config" in given else {}
    given |= {"data": "nowhere", "stain": "macenko"} if argument == "stain_reference" else {}
    several = parameters[argument].kind is inspect.Parameter.VAR_POSITIONAL
    given[argument] = [REMOTE] if argument == "runs" else REMOTE
    with pytest.raises(UserError, match=f"{REMOTE} is a remote path"):
        called(REMOTE) if several else called(**given)
