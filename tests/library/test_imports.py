"""`config.imports`: modules of the user's own are imported wherever a run is opened."""

import sys
import textwrap
from importlib import metadata

import pytest

import bcjax
from bcjax import config as configs
from bcjax.runtime import plugins


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Returns a function that writes a module of the user's own; it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    written = []

    def write(name, text):
        written.append(name)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_module_in_the_current_folder_is_imported_before_values_are_checked(module):
    name = module(
        "own_choice", "from bcjax import config\nconfig.add_choice('data.boxes', 'circles')\n"
    )
    kept = configs.KEYS["data.boxes"]
    try:
        config = bcjax.get_config("elu_cnn", {"imports": (name,), "data.boxes": "circles"})
    finally:
        configs.KEYS["data.boxes"] = kept
    assert config.imports == ("own_choice",)
    assert "own_choice" in sys.modules


def test_a_run_imports_its_modules_again_when_it_is_opened(module, tmp_path):
    name = module("own_module", "")
    config = configs.replaced(configs.default(), {"imports": (name,)})
    configs.save(config, tmp_path / "config.json")
    configs.load(tmp_path)
    assert "own_module" in sys.modules
    del sys.modules["own_module"]
    (tmp_path / "own_module.py").unlink()
    with pytest.raises(bcjax.UserError, match="'own_module', which is not there: install it"):
        configs.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import not_installed_anywhere", "needs the module 'not_installed_anywhere'"),
        ("x = 1\nx.y", r"own_fault.py, line 2: AttributeError: .*: mend it"),
        ("def f(:", "SyntaxError"),
    ],
    ids=["missing module", "fault", "syntax"],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_reason(module, text, sentence):
    with pytest.raises(bcjax.UserError, match=sentence):
        bcjax.get_config("elu_cnn", {"imports": (module("own_fault", text),)})


def test_an_installed_plugin_is_imported_without_being_named(module, monkeypatch):
    point = metadata.EntryPoint("mine", module("own_plugin", "loaded = True"), plugins.GROUP)
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point])
    plugins._load_installed.cache_clear()
    try:
        plugins.load(())
        assert sys.modules["own_plugin"].loaded
    finally:
        plugins._load_installed.cache_clear()


def test_a_network_that_nobody_has_registered_is_refused_with_the_nearest():
    with pytest.raises(bcjax.UserError, match="did you mean 'resnet18'"):
        bcjax.get_config("resnet81")
