"""The house's own rules: imports go downward, the code is linted, formatted and typed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-cache"],
    ],
    ids=lambda command: " ".join(command),
)
def test_the_code_passes(command):
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_data_rooms_import_no_jax_of_their_own():
    """Their workers must not wake an accelerator."""
    for path in (ROOT / "bcjax" / "data").rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not line.strip().startswith(("import jax", "from jax ", "from jax.")), path


def test_no_file_holds_two_things():
    """A file that needs scrolling past 310 lines probably does."""
    for path in (ROOT / "bcjax").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 310, path


def test_no_room_is_a_grab_bag():
    names = {path.stem for path in (ROOT / "bcjax").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}
