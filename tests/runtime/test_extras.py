"""A library that is missing is named with the line that installs it."""

import importlib.util
import tomllib

import pytest
from places import ROOT

from bcjax.runtime import extras
from bcjax.runtime.errors import UserError


def test_what_is_missing_is_named_with_its_install_line(monkeypatch):
    extras.check("numpy", "A sum")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"A sweep needs optuna.*: pip install 'bcjax\[tune\]'\."):
        extras.check("optuna", "A sweep")
    with pytest.raises(UserError, match=r"A table needs pandas.*: pip install 'bcjax\[pandas\]'\."):
        extras.check("pandas", "A table")


def test_each_extra_installs_what_it_is_named_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installs = project["optional-dependencies"]
    for module, extra in extras.EXTRAS.items():
        named = [line.replace("-", "_") for line in installs[extra]]
        assert any(line.startswith(module) for line in named), module
        assert not any(line.startswith(module) for line in project["dependencies"]), module
    (everything,) = installs["all"]
    assert everything == f"bcjax[{','.join(dict.fromkeys(extras.EXTRAS.values()))}]"
