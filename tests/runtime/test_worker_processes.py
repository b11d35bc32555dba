import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from bcjax.runtime import worker_processes
from bcjax.runtime.errors import UserError
from bcjax.runtime.worker_processes import WorkerProcesses

UNGUARDED = """
from bcjax.runtime.worker_processes import WorkerProcesses
print("the script runs")
with WorkerProcesses(eval, 1, "") as processes:
    processes("len(__import__('bcjax.data.curate.measured_pictures').__name__)")
    print(processes("'jax' in __import__('sys').modules"))
"""


def test_threads_share_processes_and_each_gets_its_own_answer():
    with WorkerProcesses(math.factorial, 2, "") as processes, ThreadPoolExecutor(5) as pool:
        assert list(pool.map(processes, range(40))) == list(map(math.factorial, range(40)))


def test_what_the_function_raises_is_raised_and_the_process_goes_on():
    with WorkerProcesses(math.sqrt, 1, "") as processes:
        with pytest.raises(ValueError, match=r"math domain|nonnegative"):
            processes(-1)
        assert processes(4) == 2


def test_a_process_that_has_ended_is_told_of_with_its_status_and_the_mend():
    with (
        WorkerProcesses(os._exit, 1, "use fewer") as processes,
        pytest.raises(UserError, match=r"has ended \(status 3\), .* short: use fewer\."),
    ):
        processes(3)


def test_what_the_function_prints_is_no_answer(capfd):
    with WorkerProcesses(print, 1, "") as processes:
        assert processes("said") is None
    assert capfd.readouterr().out == ""


def test_no_process_is_left():
    with WorkerProcesses(abs, 2, "") as processes:
        started = processes._all
    assert all(process.returncode is not None for process in started)


def test_a_script_from_standard_input_is_not_run_again_and_jax_is_not_imported():
    done = subprocess.run(
        [sys.executable, "-"], input=UNGUARDED, text=True, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.splitlines() == ["the script runs", "False"]


def test_there_are_none_in_a_program_that_is_no_python(monkeypatch):
    assert worker_processes.possible()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not worker_processes.possible()
