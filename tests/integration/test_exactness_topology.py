"""The same run on any store, any number of devices and any number of processes."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from processes import (
    assert_same_state,
    devices,
    evaluation,
    finish,
    logged_step,
    losses,
    start,
    steps,
    train,
    wait_until,
)

STEPS = 20
FLAGS = (
    f"--config.train.length={STEPS} steps",
    "--config.train.log_every=1 steps",
    "--config.checkpoint.every=4 steps",
    "--config.checkpoint.keep=10",
    "--config.eval.every=10 steps",
    "--config.eval.report=false",
)
NORM = ("--config=tests/support/norm_config.py", *FLAGS)
ELU = (
    "--config=configs/elu_cnn.py",
    "--config.data.source=synthetic",
    "--config.data.synthetic_images=80",
    "--config.data.image_size=32",
    "--config.train.batch_size=8",
    "--config.optim.warmup=3 steps",
    *FLAGS,
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a run of one process with one device, its pictures in RAM.

    The network has batch norm, whose statistics are those of the whole batch on any topology.
    """
    workdir = tmp_path_factory.mktemp("reference")
    train(workdir, *NORM)
    # The loss varies a thousand times more than a curve may: only the same pictures in the same
    # order give the same curve.
    assert losses(workdir).std() > 1e-2
    return workdir


def assert_same_curve(workdir: Path, reference: Path) -> None:
    assert len(losses(workdir)) == STEPS
    np.testing.assert_allclose(losses(workdir), losses(reference), rtol=1e-5)


@pytest.mark.parametrize(
    "flags",
    [
        ("--config.data.store=disk",),
        ("--config.data.store=disk", "--config.data.workers=1"),
        ("--config.data.store=device",),
        ("--config.train.steps_per_call=4", "--config.train.log_every=4 steps"),
    ],
    ids=["disk", "disk with a worker process", "device", "four steps per call"],
)
def test_bit_for_bit(flags: tuple[str, ...], reference: Path, tmp_path: Path):
    train(tmp_path, *NORM, *flags)
    assert_same_state(tmp_path, reference)
    assert evaluation(tmp_path) == evaluation(reference)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of the run on eight devices."""
    workdir = tmp_path_factory.mktemp("eight")
    said = train(workdir, *NORM, **devices(8))
    assert "8 x cpu, mesh data 8 x fsdp 1" in said
    return workdir


def test_same_curve_on_eight_devices(eight: Path, reference: Path):
    assert_same_curve(eight, reference)


@pytest.mark.parametrize(("count", "fsdp"), [(2, 1), (4, 2)])
def test_same_curve_on_a_mesh(count: int, fsdp: int, reference: Path, tmp_path: Path):
    flags = (f"--config.mesh.fsdp={fsdp}", "--config.mesh.fsdp_min_size=1024")
    said = train(tmp_path, *NORM, *flags, **devices(count))
    assert f"{count} x cpu, mesh data {count // fsdp} x fsdp {fsdp}" in said
    assert_same_curve(tmp_path, reference)


def test_same_curve_of_the_elu_cnn_on_eight_devices(tmp_path: Path):
    one, eight = tmp_path / "1", tmp_path / "8"
    train(one, *ELU)
    train(eight, *ELU, **devices(8))
    assert_same_curve(eight, one)


@pytest.mark.parametrize(("written_on", "resumed_on"), [(8, 1), (1, 8)])
def test_a_checkpoint_resumes_on_other_devices(
    written_on: int, resumed_on: int, reference: Path, eight: Path, tmp_path: Path
):
    workdir = tmp_path / "run"
    shutil.copytree(eight if written_on == 8 else reference, workdir)
    for step in steps(workdir):
        if step > 8:
            shutil.rmtree(workdir / "checkpoints" / str(step))
    said = train(workdir, *NORM, **devices(resumed_on))
    assert f"{resumed_on} x cpu" in said
    assert "resumed at step 8" in said
    assert_same_curve(workdir, reference)


def start_two(workdir: Path) -> tuple[subprocess.Popen, subprocess.Popen]:
    """Starts the run as a job of two processes with two devices each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    job = devices(2) | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    first, second = (start(workdir, *NORM, **job, JAX_PROCESS_ID=str(i)) for i in range(2))
    return first, second


def test_same_curve_in_two_processes_of_which_one_speaks(reference: Path, tmp_path: Path):
    first, second = start_two(tmp_path)
    said = finish(first)
    assert "4 x cpu, mesh data 4 x fsdp 1" in said
    assert "2 processes" in said
    # The second may carry what libraries below us print of themselves, but nothing of the run.
    assert not set(said.splitlines()) & set(finish(second).splitlines())
    assert_same_curve(tmp_path, reference)  # each step is there once
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert evaluation(tmp_path)["n"] == evaluation(reference)["n"]


def test_a_signal_to_one_of_two_processes_stops_both_with_a_checkpoint(
    reference: Path, tmp_path: Path
):
    first, second = start_two(tmp_path)
    wait_until(second, lambda: logged_step(tmp_path) >= 5)
    second.send_signal(signal.SIGTERM)
    said = finish(first, 143)
    finish(second, 143)
    saved = steps(tmp_path)[-1]
    assert f"step {saved} is saved" in said
    assert 5 <= saved < STEPS

    assert f"resumed at step {saved}" in train(tmp_path, *NORM)
    assert_same_curve(tmp_path, reference)
