"""Two processes of one job: what they must have in common, and what one does without the other."""

import re
import signal
import socket
import subprocess
from pathlib import Path

import patience
import pytest
from commandline import contents
from processes import logged_step, start, wait_until

FLAGS = (
    "--config=tests/support/quick_config.py",
    "--config.train.length=6 steps",
    "--config.checkpoint.every=2 steps",
    "--config.eval.report=false",
)
LONG = (*FLAGS, "--config.train.length=100000 steps", "--config.eval.every=100000 steps")
PATIENCE = 10  # seconds without a sign of life: more than a loaded machine keeps a thread waiting


@pytest.fixture
def job():
    """Returns a function that starts one of the two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    started = []

    def process(number: int, workdir: Path, *flags: str, count: int = 2) -> subprocess.Popen:
        environment = {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(count),
            "JAX_PROCESS_ID": str(number),
        }
        started.append(start(workdir, *flags, **environment))
        return started[-1]

    yield process
    for each in started:
        each.kill()
        each.communicate()


def ended(process: subprocess.Popen) -> tuple[int, str]:
    """Waits for a process; returns its exit status and the last thing that it said on stderr."""
    _, err = process.communicate(timeout=patience.PATIENCE)
    assert "stack trace" not in err
    assert "Traceback" not in err, err
    return process.returncode, err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            ("--config.optim.lr=0.1", "--config.seed=5"),
            "bcjax: The processes of this job differ in config.optim.lr (0.001 in process 0, 0.1 "
            "in process 1); config.seed (0 in process 0, 5 in process 1): give all of them the ",
        ),
        (
            ("--config.data.source=OTHER",),
            "bcjax: The processes of this job differ in the pictures, or their splits (",
        ),
    ],
)
def test_two_processes_that_were_not_given_the_same_end_at_once_and_write_nothing(
    job, snapshots, tmp_path, other, sentence
):
    pictures, others = snapshots(tmp_path / "cells"), snapshots(tmp_path / "others")
    next((others / "ig").iterdir()).unlink()
    workdir = tmp_path / "run"
    flags = (*FLAGS, f"--config.data.source={pictures}")
    other = [flag.replace("OTHER", str(others)) for flag in other]
    first, second = job(0, workdir, *flags), job(1, workdir, *flags, *other)
    for process in (first, second):
        status, said = ended(process)
        assert (status, said[: len(sentence)]) == (2, sentence)
    assert not (workdir / "config.json").exists()
    assert not (workdir / "checkpoints").exists()


@pytest.mark.slow
def test_a_process_that_expects_more_of_them_says_so_and_the_other_ends_too(job, tmp_path):
    first, second = job(0, tmp_path / "run", *FLAGS), job(1, tmp_path / "run", *FLAGS, count=3)
    for process in (first, second):
        status, said = ended(process)
        assert status == 2
        assert "Process 1 was told of 3 processes, process 0 of 2" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_workdirs_that_are_not_one_folder_are_refused_and_left_as_they_were(job, tmp_path):
    (tmp_path / "here").mkdir()
    first, second = job(0, tmp_path / "here" / "run", *FLAGS), job(1, tmp_path / "there", *FLAGS)
    for process in (first, second):
        status, said = ended(process)
        assert status == 2
        assert re.match(
            r"bcjax: Process 1 of this job \(.*/there\) cannot see what process 0", said
        )
    assert contents(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_is_lost_ends_the_other_which_names_it(job, tmp_path, lost):
    flags = (*LONG, f"--config.mesh.heartbeat_seconds={PATIENCE}")
    processes = [job(number, tmp_path / "run", *flags) for number in range(2)]
    wait_until(processes[1 - lost], lambda: logged_step(tmp_path / "run") >= 4)
    processes[lost].send_signal(signal.SIGKILL)
    status, said = ended(processes[1 - lost])
    assert status == 1
    assert re.match(rf"bcjax: Process {lost} \(host .*\) of this job was lost\.", said)
    assert "The same command" in said


@pytest.mark.slow
def test_a_process_that_ends_with_an_error_says_why_to_the_other(job, tmp_path):
    first = job(0, tmp_path / "run", *FLAGS)
    second = job(1, tmp_path / "run", *FLAGS, "--config.data.source=nowhere")
    assert ended(second)[0] == 2
    status, said = ended(first)
    assert status == 2
    assert re.match(r"bcjax: Process 1 \(host .*\) ended: data.source is 'nowhere'", said)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_waits_in_vain_says_for_whom_and_gives_up(job, tmp_path, number):
    alone = job(number, tmp_path / "run", *FLAGS, "--config.mesh.wait_seconds=12")
    _, err = alone.communicate(timeout=patience.PATIENCE)
    *before, said = err.splitlines()
    assert alone.returncode == 2, err
    waits = rf"Process {number} of 2 has waited 1\d s for process {1 - number} at 127.0.0.1:\d+"
    assert re.fullmatch(f"{waits}\\.", before[0])
    assert re.match(f"bcjax: {waits} in vain: start the same command", said)
    assert not (tmp_path / "run").exists()
