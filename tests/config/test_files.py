"""A config by the path of its file, by its name, or by the name of a network."""

import os
import shutil
import subprocess
import sys

import pytest
from commandline import ROOT
from places import project_files

from bcjax import config as configs
from bcjax.config import files
from bcjax.runtime.errors import UserError

HEAD = (
    "from bcjax import config as configs\n\n\ndef get_config():\n    config = configs.default()\n"
)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        (ROOT / "configs" / "resnet18.py", "resnet18"),
        (str(ROOT / "configs" / "resnet18.py"), "resnet18"),
        ("transfer", "mobilenet_v2"),
        ("efficientnet:b3", "efficientnet_b3"),
        ("mobilenet_v1_050", "mobilenet_v1_050"),
    ],
)
def test_a_config_is_found_by_path_by_name_and_by_network(name, network):
    config = configs.get(name)
    assert config.model.name == network
    assert config.is_locked


def test_overrides_are_by_key_and_leave_the_rest():
    config = configs.get("quickstart", {"optim.lr": 1, "model.dropout": None, "data.drop": ["odd"]})
    assert (config.optim.lr, config.model.dropout, config.data.drop) == (1.0, None, ("odd",))
    assert config.data.image_size == configs.get("quickstart").data.image_size == 72


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "quickstrat",
            {},
            "no config file 'quickstrat': did you mean 'quickstart'? bcjax has alexnet,",
        ),
        ("no/where.py", {}, "no config file 'no/where.py'. bcjax has alexnet, an2dl,"),
        ("no/elu_cnn.py", {}, "no config file 'no/elu_cnn.py': did you mean 'elu_cnn'? bcjax has"),
        ("resnet81", {}, "no config file 'resnet81': did you mean 'resnet18'? bcjax has"),
        ("", {}, "no config file ''. bcjax has"),
        (ROOT / "docs", {}, "docs is a folder: name a config file in it, or one of alexnet,"),
        ("alexnet:small", {}, "The config alexnet has no variants: leave :small out."),
        ("quickstart", {"learning_rate": 0.1}, "did you mean 'optim.lr'?"),
        ("quickstart", {"optim.lr": "fast"}, "config.optim.lr is 'fast': write a number."),
        (
            "quickstart",
            {"optim.lr": -1},
            "config.optim.lr is -1.0: it must be at least 0 and at most 1000.",
        ),
        ("quickstart", {"optim.final_lr": 0.1}, "is now called config.optim.final_lr_fraction"),
        ("resnet50:half", {}, "no variant 'half': it has :full, :partial, :frozen."),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name, overrides, message):
    with pytest.raises(UserError) as caught:
        configs.get(name, overrides, networks=lambda: ("resnet18",))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("def get_config(:\n", ["line 1", "SyntaxError"]),
        (HEAD + "    config.seed = sed\n", ["line 6", "NameError: name 'sed' is not defined"]),
        (HEAD + "    config.optim.lrr = 1.0\n", ["line 6", "lrr", "did you mean 'optim.lr'?"]),
        (HEAD + "    config.optim.learning_rate = 1.0\n", ["line 6", "did you mean 'optim.lr'?"]),
        (HEAD + "    config.optim.final_lr = 0.1\n", ["line 6", "optim.final_lr_fraction"]),
        (HEAD + "    config.optim.lr = 'fast'\n", ["line 6", "TypeError", "lr"]),
        (HEAD + "    config.optim.lr = -1.0\n    return config\n", ["config.optim.lr is -1.0"]),
        (HEAD, ["does not return the config tree"]),
        ("def get_config():\n    return {}\n", ["does not return the config tree"]),
        ("batch = 8\n", ["has no function get_config()"]),
        ("get_config = 8\n", ["has no function get_config()"]),
        ("def get_config(variant):\n    pass\n", ["wants a variant"]),
        ("def get_config():\n    assert False\n", ["line 2, is wrong (AssertionError)"]),
        ("def get_config():\n    raise SystemExit(3)\n", ["line 2", "SystemExit: 3"]),
        ("import no_such_module\n", ["line 1", "No module named 'no_such_module'"]),
        ("\0", ["is no config file"]),
    ],
)
def test_a_file_that_gives_no_config_is_named_with_its_line(tmp_path, text, named):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        configs.get(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(word in message for word in named), message


def test_a_picture_is_no_config_file(tmp_path):
    path = tmp_path / "cell.png"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match="is no config file"):
        configs.get(path)


def test_a_name_is_one_of_a_config_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "elu_cnn").mkdir()
    monkeypatch.chdir(tmp_path)
    assert configs.get("elu_cnn").model.name == "elu_cnn"


def test_names_are_those_of_the_files_each_with_what_it_is():
    paths = [path.relative_to(ROOT / "configs") for path in project_files("configs/**/*.py")]
    names = {path.with_suffix("").as_posix() for path in paths}
    assert names - configs.names().keys() <= {"published/pbc3200_ablations"}
    assert configs.names().keys() <= names
    assert all(20 < len(meaning) < 120 for meaning in configs.names().values())


# What pyproject.toml says in a form that older versions of setuptools read as well.
SETUP_CFG = """
[options]
packages = find:
[options.packages.find]
include = bcjax*
[options.package_data]
* = *.toml
"""


def test_a_wheel_holds_the_configs_where_they_are_looked_for(tmp_path):
    shutil.copytree(ROOT / "bcjax", tmp_path / "bcjax", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "setup.cfg").write_text(SETUP_CFG)
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib=built"]
    subprocess.run(command, cwd=tmp_path, check=True)
    code = (
        "import bcjax; from bcjax import config; print(bcjax.__file__, "
        "bcjax.get_config('elu_cnn').model.name, "
        "config.find('published/edge_impulse_space', ['.yaml']))"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "built")}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path / "configs", env=env, capture_output=True, text=True)
    built = tmp_path / "built" / "bcjax"
    space = built / "configs" / "published" / "edge_impulse_space.yaml"
    assert ran.stdout.split() == [str(built / "__init__.py"), "elu_cnn", str(space)], ran.stderr


def test_a_defect_elsewhere_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "default", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        configs.get("resnet152")
