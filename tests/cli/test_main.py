"""The front door: what it lists, what it imports, and how it ends."""

import errno
import importlib.metadata
import subprocess
import sys
import tomllib
import types

import jax
import pytest
from places import ROOT

import bcjax as bcjax_package
from bcjax import config as configs
from bcjax import main
from bcjax.runtime import environment
from bcjax.runtime.errors import UserError


def imported_by(*arguments: str) -> set[str]:
    """Runs the program in a process of its own; returns the modules it had at its end."""
    code = (
        f"import sys; sys.argv = {['bcjax', *arguments]}; from bcjax.main import main; main(); "
        "print(); print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help_lists_all_commands(bcjax, arguments):
    ran = bcjax(*arguments)
    assert ran.status == 0
    for name, line in main.COMMANDS.items():
        assert f"  {name} " in ran.out
        assert line in ran.out


def test_help_imports_nothing_heavy():
    assert not imported_by("--help") & {"jax", "numpy", "absl", "ml_collections", "rich"}


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_help_of_a_command_does_not_wake_jax(name):
    assert not imported_by(name, "--help") & {"jax", "tensorflow_datasets", "orbax"}


FLAGS = {
    "train": {"config", "workdir", "allow-leaks", "extend", "change"},
    "evaluate": {
        "workdir", "split", "checkpoint", "batch_size", "watch", "views", "with", "soup", "out",
        "corruptions", "data.source", "map-classes", "data.stain", "data.stain_reference",
        "data.max_pixels", "strict", "prevalence",
    },
    "prepare": {"config", "out", "data.source", "canary", "allow-leaks"},
    "predict": {
        "data.max_pixels", "workdir", "checkpoint", "batch_size", "json", "csv", "with",
        "prevalence", "out", "backend",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_the_help_of_a_command_shows_its_own_flags_alone(bcjax, name):
    ran = bcjax(name, "--help")
    shown = [line.split(":")[0] for line in ran.out.splitlines() if line.startswith("  --")]
    assert ran.status == 0
    assert {flag.removeprefix("  --") for flag in shown} == FLAGS[name]
    assert importlib.import_module(f"bcjax.cli.{name}").__doc__.splitlines()[0] in ran.out


def test_configs_are_listed_a_line_each(bcjax):
    ran = bcjax("configs")
    listed = [line.split(maxsplit=1) for line in ran.out.splitlines()]
    assert (ran.status, dict(listed)) == (0, configs.names())
    assert "not 'elu_cnn'" in bcjax("configs", "elu_cnn").err


def test_train_is_the_default_command(bcjax):
    assert bcjax("--help-me").err == bcjax("train", "--help-me").err
    assert "bcjax train has no flag --help-me" in bcjax("--help-me").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian",), "There is no command 'trian': did you mean 'train'?"),
        (("verison",), "There is no command 'verison': did you mean 'version'?"),
        (("--verison",), "has no flag --verison: did you mean 'version'?"),
        (("zzz",), "There is no command 'zzz'; bcjax --help lists the commands."),
        (
            ("evaluate", "--wrkdir=a"),
            "bcjax evaluate has no flag --wrkdir: did you mean 'workdir'?",
        ),
        (("evaluate", "a.jpg"), "bcjax evaluate takes flags only, not 'a.jpg'."),
        (("evaluate", "--batch_size=few", "--workdir=a"), "--batch_size=few"),
        (("evaluate", "--split=tset"), "<train|val|test>"),
        (("train", "--workdir"), "Missing value for flag --workdir."),
    ],
)
def test_a_mistyped_command_line_is_answered_with_what_was_meant(bcjax, arguments, said):
    ran = bcjax(*arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert said in ran.err


@pytest.mark.parametrize("name", main.COMMANDS)
def test_a_flag_with_a_letter_too_few_is_answered_with_its_name(bcjax, name):
    module = importlib.import_module(f"bcjax.cli.{name.replace('-', '_')}")
    for flag in (*(each.name for each in module.FLAGS), "help", "version"):
        ran = bcjax(name, f"--{flag[:-2]}{flag[-1]}=1")
        assert ran.status == 2
        assert f"did you mean '{flag}'?" in ran.err, (flag, ran.err)


def test_a_key_without_its_branch_is_answered_with_the_whole_flag(bcjax):
    assert "no flag --lr: did you mean 'config.optim.lr'?" in bcjax("train", "--lr=1").err
    assert "no flag --lrr." in bcjax("predict", "--lrr=1").err


def test_help_is_a_command_too(bcjax):
    assert bcjax("help", "predict") == bcjax("predict", "--help")
    assert "did you mean 'predict'?" in bcjax("help", "predikt").err


def test_help_beside_a_mistyped_flag_names_the_flag(bcjax):
    assert "did you mean 'workdir'?" in bcjax("evaluate", "--wrkdir=a", "--help").err
    assert "flags:" in bcjax("evaluate", "--workdir", "--help").out


@pytest.mark.parametrize("arguments", [("--version",), ("version",), ("train", "--version")])
def test_the_version_is_that_of_the_package_wherever_it_is_asked(bcjax, arguments):
    ran = bcjax(*arguments)
    assert ran.status == 0
    assert ran.out.startswith(f"bcjax {bcjax_package.__version__}, JAX {jax.__version__}, Python ")
    assert environment.versions()["bcjax"] == bcjax_package.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bcjax.__version__"}


@pytest.fixture
def ends_with(monkeypatch, bcjax):
    """Returns a function that runs a command which raises, or returns, what it is given."""

    def call(outcome):
        def run(arguments):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = types.ModuleType("bcjax.cli.fall", "Falls.")
        module.FLAGS, module.run = (), run
        monkeypatch.setitem(main.COMMANDS, "fall", "Falls.")
        monkeypatch.setitem(sys.modules, "bcjax.cli.fall", module)
        return bcjax("fall")

    return call


@pytest.mark.parametrize("status", [None, 0, 130, 143])
def test_the_status_of_a_command_is_the_programs(ends_with, status):
    assert ends_with(status) == (status or 0, "", "")


def test_a_users_mistake_is_one_sentence_and_status_2(ends_with):
    assert ends_with(UserError("The cup is empty: fill it.")) == (
        2, "", "bcjax: The cup is empty: fill it.\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/a"),
        RuntimeError("write() failed: No space left on device; writing /a"),
    ],
)
def test_a_full_disk_is_said_and_is_status_2(ends_with, error):
    ran = ends_with(error)
    assert ran.status == 2
    assert ran.err.startswith("bcjax: The disk is full (")
    assert "/a" in ran.err


def test_an_interrupt_is_status_130(ends_with):
    assert ends_with(KeyboardInterrupt()) == (130, "", "bcjax: interrupted.\n")


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), RuntimeError("broken")])
def test_a_defect_is_passed_on(ends_with, error):
    with pytest.raises(type(error)) as caught:
        ends_with(error)
    assert caught.value is error


def test_a_defect_ends_the_process_with_its_traceback_and_status_1():
    code = (
        "import sys; from bcjax import main; from bcjax.cli import models; models.run = 0; "
        "sys.argv = ['bcjax', 'models']; sys.exit(main.main())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Traceback")
    assert "TypeError: 'int' object is not callable" in ran.stderr


def test_the_console_script_and_the_module_are_the_same_program():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="bcjax")
    assert script.load() is main.main
    ran = subprocess.run([sys.executable, "-m", "bcjax.main", "trian"], capture_output=True)
    assert ran.returncode == 2
    assert b"did you mean 'train'?" in ran.stderr
