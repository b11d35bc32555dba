import os
import subprocess
import sys

import jax
import pytest
from places import SUPPORT

from bcjax import config as configs
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError


def test_what_must_hold_on_eight_devices():
    tests = SUPPORT / "eight_devices.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", tests],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def joined(monkeypatch):
    """What `jax.distributed.initialize` is called with, in an environment that says nothing."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **asked: calls.append(asked))
    monkeypatch.setattr(jax.config, "update", lambda *setting: None)
    for name in list(os.environ):
        if name.startswith(("JAX_COORDINATOR", "JAX_NUM_PROC", "JAX_PROCESS", "SLURM_", "TPU_")):
            monkeypatch.delenv(name)
    return calls


def mesh_config(**changes):
    config = configs.default().mesh
    config.update(changes)
    return config


PATIENCE = {"initialization_timeout": 300, "heartbeat_timeout_seconds": 90}
ASKED = {"coordinator_address": "host:1234", "num_processes": 4, "process_id": 0} | PATIENCE
IN_CONFIG = {"coordinator": "host:1234", "processes": 4, "process_id": 0}
IN_ENVIRONMENT = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "0",
}


def test_a_process_alone_joins_nothing(joined):
    meshes.initialize(mesh_config())
    assert joined == []


def test_the_config_says_where_the_others_are(joined):
    meshes.initialize(mesh_config(**IN_CONFIG))
    assert joined == [ASKED]


def test_the_environment_says_where_the_others_are(joined, monkeypatch):
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    meshes.initialize(mesh_config())
    assert joined == [ASKED]


def test_the_config_goes_before_the_environment(joined, monkeypatch):
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    meshes.initialize(mesh_config(process_id=3))
    assert joined == [ASKED | {"process_id": 3}]


@pytest.mark.parametrize("missing", IN_CONFIG)
def test_a_part_of_it_is_a_mistake(joined, missing):
    said = {name: value for name, value in IN_CONFIG.items() if name != missing}
    with pytest.raises(UserError, match="need all three"):
        meshes.initialize(mesh_config(**said))
    assert joined == []


@pytest.mark.parametrize("missing", IN_ENVIRONMENT)
def test_a_part_of_it_in_the_environment_is_a_mistake(joined, monkeypatch, missing):
    for name, value in IN_ENVIRONMENT.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="need all three"):
        meshes.initialize(mesh_config())
    assert joined == []


@pytest.mark.parametrize(
    ("environment", "calls"),
    [
        ({"SLURM_NTASKS": "1"}, []),
        ({"SLURM_NTASKS": "2"}, [PATIENCE]),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, []),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, [PATIENCE]),
    ],
)
def test_a_cluster_says_for_itself_where_the_others_are(joined, monkeypatch, environment, calls):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    meshes.initialize(mesh_config())
    assert joined == calls


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"coordinator": "host"}, "'host': write host:port"),
        ({"process_id": 4}, "no process 4 among 4 processes"),
    ],
)
def test_an_address_or_a_number_that_cannot_be_is_a_mistake(joined, changes, said):
    with pytest.raises(UserError, match=said):
        meshes.initialize(mesh_config(**IN_CONFIG | changes))
    assert joined == []


def test_a_process_that_has_joined_does_not_join_again(joined, monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    meshes.initialize(mesh_config(**IN_CONFIG))
    assert joined == []


def test_a_coordinator_that_does_not_answer_is_named(joined, monkeypatch):
    def fail(**asked):
        raise RuntimeError("DEADLINE_EXCEEDED")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(UserError, match="could not join the job at host:1234: DEADLINE_EXCEEDED"):
        meshes.initialize(mesh_config(**IN_CONFIG))
