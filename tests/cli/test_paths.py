"""Paths as people write them, in every flag, key and argument: ~, file://, remote ones."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from absl import flags
from commandline import refused
from places import ROOT

import bcjax
from bcjax import api
from bcjax import config as configs
from bcjax.cli.flags import PathParser
from bcjax.config.key import PATH
from bcjax.main import COMMANDS
from bcjax.runtime.errors import UserError

REMOTE = "gs://bucket/cells"
CONFIG = f"--config={ROOT / 'configs' / 'elu_cnn.py'}"
PATH_KEYS = [name for name, key in configs.KEYS.items() if key.kind is PATH]
NOT_PATHS = {"split", "storage"}  # a name, and the URL of a database


def flags_of(command):
    """The flags that a command defines by itself, by name."""
    values = flags.FlagValues()
    importlib.import_module(f"bcjax.cli.{command.replace('-', '_')}").define(values, [command])
    return {name: values[name] for name in values if not name.startswith("config.")}


PATH_FLAGS = [
    (command, name)
    for command in COMMANDS
    for name, flag in flags_of(command).items()
    if isinstance(flag.parser, PathParser)
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of one's own, which is the current folder too; it must stay empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_each_flag_that_speaks_of_a_file_or_a_folder_is_known_as_a_path():
    for command in COMMANDS:
        for name, flag in flags_of(command).items():
            speaks = re.search(r"\b(file|folder|page)\b", flag.help.lower())
            if speaks and flag.flag_type() == "string" and name not in NOT_PATHS:
                assert (command, name) in PATH_FLAGS
    assert len(PATH_FLAGS) > 20


@pytest.mark.parametrize(("command", "flag"), PATH_FLAGS)
def test_a_remote_path_is_refused_by_each_flag_before_anything_else(bcjax, command, flag):
    refused(bcjax(command, f"--{flag}={REMOTE}"), REMOTE, "remote path", "mount or copy it")


@pytest.mark.parametrize(("command", "flag"), PATH_FLAGS)
def test_each_flag_finds_the_home_folder(home, command, flag):
    found = flags_of(command)[flag]
    found.parse("~/a b\n.py")
    assert found.value in (f"{home}/a b\n.py", (f"{home}/a b\n.py",))
    found.parse("file:///a%20b")
    assert found.value in ("/a b", ("/a b",))


@pytest.mark.parametrize("command", ["predict", "compare", "explain", "import-weights"])
def test_a_remote_path_without_a_flag_is_refused_too(bcjax, command):
    refused(bcjax(command, REMOTE), REMOTE, "remote path")


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
    given |= {"data": "nowhere", "stain": "macenko"} if argument == "stain_reference" else {}
    several = parameters[argument].kind is inspect.Parameter.VAR_POSITIONAL
    given[argument] = [REMOTE] if argument == "runs" else REMOTE
    with pytest.raises(UserError, match=f"{REMOTE} is a remote path"):
        called(REMOTE) if several else called(**given)
