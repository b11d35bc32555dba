"""What is half-written is cleared: by the process itself, or by the next one if it was killed."""

import os
import signal
import subprocess
import sys

import pytest

from bcjax.runtime import files, scratch

WRITER = """
import sys
from pathlib import Path
from bcjax.runtime import scratch
with scratch.beside(Path(sys.argv[1])) as unfinished:
    unfinished.mkdir()
    (unfinished / "half").touch()
    print(unfinished, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """A process that has half-written tmp_path/set, and the path of what it has written."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "set")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process, tmp_path / os.path.basename(process.stdout.readline().decode().strip())
        process.kill()


def test_what_a_killed_process_left_is_cleared_by_the_next_that_writes_there(writer, tmp_path):
    process, left = writer
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.exists()
    files.write_text(tmp_path / "other", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_a_living_process_writes_stays(writer, tmp_path):
    process, unfinished = writer
    files.write_text(tmp_path / "set.txt", "new")
    assert (unfinished / "half").exists()
    process.communicate(b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.txt"]


def test_what_another_host_writes_stays(writer, tmp_path):
    process, left = writer
    process.kill()
    process.wait()
    host = left.name.split(".")[2]
    elsewhere = left.rename(left.with_name(left.name.replace(host, "0" * 8)))
    files.write_text(tmp_path / "other", "new")
    assert elsewhere.exists()


def test_a_number_that_was_given_to_a_new_process_does_not_keep_the_old_ones_files(tmp_path):
    with scratch.beside(tmp_path / "a") as unfinished:
        *name, _, _ = unfinished.name.split(".")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".".join([*name, "1", "partial"])).touch()  # began at the first tick
    files.write_text(tmp_path / "in" / "b", "new")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["b"]


def test_a_failure_clears_what_was_written(tmp_path):
    with pytest.raises(ValueError, match="bad"), scratch.beside(tmp_path / "a") as unfinished:  # noqa: PT012
        unfinished.touch()
        raise ValueError("bad")
    assert list(tmp_path.iterdir()) == []
