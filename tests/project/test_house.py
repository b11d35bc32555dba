"""The house's own rules: imports go downward, the code is linted, formatted and typed."""

import re
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from places import CACHE, ROOT, project_files

CODE = project_files("**/*.py")


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", *CODE],
        ["ruff", "format", "--check", *CODE],
        ["mypy", f"--cache-dir={CACHE / 'mypy'}"],  # cold, it takes a minute
        ["lint-imports", "--no-cache"],
    ],
    ids=["ruff check", "ruff format", "mypy", "import-linter"],
)
def test_the_code_passes(command):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_example_of_a_test_has_a_deadline():
    """A loaded machine must not decide whether a test passes."""
    assert hypothesis.settings.default.deadline is None
    for path in project_files("tests/**/*.py"):
        if path.name != "conftest.py":
            assert not re.search(r"settings\([^)]*\bdeadline", path.read_text()), path


def test_the_data_rooms_import_no_jax_of_their_own():
    """Their workers must not wake an accelerator."""
    for path in project_files("bcjax/data/**/*.py"):
        for line in path.read_text().splitlines():
            assert not line.strip().startswith(("import jax", "from jax ", "from jax.")), path
