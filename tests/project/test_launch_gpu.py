"""`launch/gpu.sh`, run as a user runs it, with a recorder in the place of Python."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE
from places import ROOT
from signals import hear_signals

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CHECKOUT = ROOT
SCRIPT = CHECKOUT / "launch/gpu.sh"
AWKWARD = ["it's", 'a "b" $HOME `id`', "two  spaces;*", "line\nbreak", ""]


def write_executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def wait_until(condition, what: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


# In the place of Python: writes down what it was given, then does as the test asks of its index:
# exits with a status, waits for SIGTERM ("wait"), or ignores it ("hang").
RECORDER = f"""#!{sys.executable} -IS
import json, os, pathlib, signal, sys
index = int(os.environ.get("JAX_PROCESS_ID", 0))
doing = os.environ["DOING"].split()[index]
signal.signal(signal.SIGTERM, signal.SIG_IGN if doing == "hang" else lambda *_: sys.exit(143))
record = pathlib.Path(os.environ["RECORDS"], str(index))
record.with_suffix(".new").write_text(
    json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid()}})
)
record.with_suffix(".new").rename(record)
while doing in ("wait", "hang"):
    signal.pause()
while len(list(record.parent.iterdir())) < len(os.environ["DOING"].split()):
    pass
sys.exit(int(doing))
"""


class Gpu:
    """`gpu.sh` with the recorder for its Python."""

    def __init__(self, root: Path):
        self.venv = root / "venv"
        self.records = root / "records"
        self.records.mkdir()
        write_executable(self.venv / "bin/python", RECORDER)
        write_executable(self.venv / "bin/bcjax", "")

    def start(self, *arguments, doing="0", **env) -> subprocess.Popen:
        env = {**os.environ, "RECORDS": str(self.records), "DOING": doing, **env}
        command = [SCRIPT, f"--venv={self.venv}", *arguments]
        return subprocess.Popen(
            command, env=env, preexec_fn=hear_signals, stdout=subprocess.PIPE, text=True
        )

    def run(self, *arguments, **kwargs) -> int:
        return self.start(*arguments, **kwargs).wait(timeout=PATIENCE)

    def record(self, index=0) -> dict:
        return json.loads((self.records / str(index)).read_text())

    def wait_for(self, processes: int) -> None:
        for index in range(processes):
            wait_until((self.records / str(index)).exists, f"the start of process {index}")


@pytest.fixture
def gpu(tmp_path) -> Gpu:
    return Gpu(tmp_path)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_gpu_passes_arguments_gpus_and_exit_status(gpu):
    assert gpu.run("--gpus=2,0", "--", *AWKWARD, doing="7") == 7
    assert gpu.record()["argv"] == ["-m", "bcjax.main", *AWKWARD]
    assert gpu.record()["env"]["CUDA_VISIBLE_DEVICES"] == "2,0"
    assert "JAX_NUM_PROCESSES" not in gpu.record()["env"]


def test_gpu_leaves_the_visible_gpus_alone_by_default(gpu):
    assert gpu.run(CUDA_VISIBLE_DEVICES="5") == 0
    assert gpu.record()["env"]["CUDA_VISIBLE_DEVICES"] == "5"


def test_gpu_single_program_takes_the_place_of_the_script(gpu):
    script = gpu.start("--gpus=0", doing="wait")
    gpu.wait_for(1)
    assert gpu.record()["pid"] == script.pid
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=PATIENCE) == 143


def test_gpu_processes_share_the_gpus_and_one_coordinator(gpu):
    assert gpu.run("--gpus=0,1,2,3,4,5", "--processes=3", "--", "--x=1", doing="0 0 0") == 0
    records = [gpu.record(index) for index in range(3)]
    environments = [record["env"] for record in records]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in environments] == ["0,1", "2,3", "4,5"]
    assert [env["JAX_PROCESS_ID"] for env in environments] == ["0", "1", "2"]
    assert {env["JAX_NUM_PROCESSES"] for env in environments} == {"3"}
    (address,) = {env["JAX_COORDINATOR_ADDRESS"] for env in environments}
    assert re.fullmatch(r"127\.0\.0\.1:2\d{4}", address)
    assert {env["JAX_COORDINATOR_BIND_ADDRESS"] for env in environments} == {address}
    assert all(record["argv"] == ["-m", "bcjax.main", "--x=1"] for record in records)


def test_gpu_processes_share_what_nvidia_smi_lists(gpu, tmp_path):
    write_executable(tmp_path / "bin/nvidia-smi", "#!/bin/sh\nprintf '0\\n1\\n'\n")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    assert gpu.run("--processes=2", doing="0 0", PATH=path, CUDA_VISIBLE_DEVICES="") == 0
    assert [gpu.record(i)["env"]["CUDA_VISIBLE_DEVICES"] for i in range(2)] == ["0", "1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_gpu_passes_a_stop_on_to_every_process(gpu, number):
    script = gpu.start("--gpus=0,1", "--processes=2", doing="wait wait")
    gpu.wait_for(2)
    script.send_signal(number)
    assert script.wait(timeout=PATIENCE) == 143
    assert not any(alive(gpu.record(index)["pid"]) for index in range(2))


def test_gpu_one_failing_process_ends_those_that_hang(gpu):
    assert gpu.run("--gpus=0,1,2", "--processes=3", doing="hang 3 hang") == 3
    assert not any(alive(gpu.record(index)["pid"]) for index in range(3))


def test_gpu_dry_run_prints_the_commands_and_does_nothing(gpu):
    script = gpu.start("--dry-run", "--gpus=0,1", "--processes=2", "--", *AWKWARD, doing="0 0")
    lines = shlex.split(
        script.communicate(timeout=PATIENCE)[0].replace("$'line\\nbreak'", "line-break")
    )
    assert lines.count("env") == 2
    assert "CUDA_VISIBLE_DEVICES=1" in lines
    given = ["line-break" if "\n" in argument else argument for argument in AWKWARD]
    assert lines[-len(given) - 3 :] == [str(gpu.venv / "bin/python"), "-m", "bcjax.main", *given]
    assert not any(gpu.records.iterdir())


def test_gpu_makes_a_missing_environment_from_the_checkout(gpu, tmp_path):
    script = gpu.start("--dry-run", f"--venv={tmp_path / 'new'}", "--", "--x=1")
    commands = [shlex.split(line) for line in script.communicate(timeout=PATIENCE)[0].splitlines()]
    python = str(tmp_path / "new/bin/python")
    assert commands == [
        ["python3", "-m", "venv", str(tmp_path / "new")],
        [python, "-m", "pip", "install", "-e", f"{CHECKOUT}[cuda]"],
        ["env", python, "-m", "bcjax.main", "--x=1"],
    ]
    assert not (tmp_path / "new").exists()


def test_help_is_printed():
    for flag in ("-h", "--help"):
        done = subprocess.run([SCRIPT, flag], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: launch/gpu.sh")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--gpu=0"], "no option --gpu=0"),
        (["runs/a"], "come after --"),
        (["--gpus=0,,1"], "--gpus=0,1,2"),
        (["--gpus="], "--gpus=0,1,2"),
        (["--venv="], "names no folder"),
        (["--processes=0"], "1 or more"),
        (["--processes=two"], "1 or more"),
        (["--gpus=0,1,2", "--processes=2"], "3 GPUs cannot be shared equally among 2"),
    ],
)
def test_a_mistake_ends_with_one_sentence_and_status_2(options, sentence):
    done = subprocess.run([SCRIPT, *options], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("gpu.sh: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
