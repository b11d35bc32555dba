"""What the tests stand on: caches of their own, and one small finished run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from commandline import TINY, Ran, contents, run_bcjax
from places import CACHE

# Compiled programs outlive the session: convolutions take a CPU seconds to compile. Set before any
# test imports JAX, and inherited by the processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "xla"))
# "Bit for bit" is promised, and tested, on the CPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# How fast a machine is must decide no test: examples have no deadline, and are the same each time.
# `--hypothesis-profile=explore` draws others.
hypothesis.settings.register_profile(
    "bcjax",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "explore", hypothesis.settings.get_profile("bcjax"), derandomize=False
)
hypothesis.settings.load_profile("bcjax")


@pytest.fixture(scope="session", autouse=True)
def _prepared_sets_of_this_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["BCJAX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def bcjax() -> Callable[..., Ran]:
    return run_bcjax


class Trained(NamedTuple):
    """A finished run, to be read: a test that changes it takes `own_run`."""

    workdir: Path
    ran: Ran


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    ran = run_bcjax("train", *TINY, f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    return Trained(workdir, ran)


@pytest.fixture
def own_run(trained: Trained, tmp_path: Path) -> Path:
    """Returns the workdir of a copy of the finished run."""
    return shutil.copytree(trained.workdir, tmp_path / "run")


@pytest.fixture
def snapshots() -> Callable[[Path], Path]:
    """Returns a function that makes pictures of the run's classes, 5 of each, in class folders."""
    from bcjax.data.sources import synthetic

    def make(folder: Path) -> Path:
        for record in synthetic.source(40, size=40, seed=1).records:
            path = folder / synthetic.CLASSES[record.label] / Path(record.id).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(record.read())
        return folder

    return make


@pytest.fixture
def train(bcjax, tmp_path):
    """Returns a function that trains with flags beside those of the tiny run; by default anew."""

    def call(*flags, workdir=tmp_path / "new"):
        return bcjax("train", *TINY, f"--workdir={workdir}", *flags)

    yield call
    if (tmp_path / "new").exists():  # a test that ought to leave a run gives its own workdir
        assert contents(tmp_path / "new") == {}
    assert not list((Path(os.environ["BCJAX_CACHE"]) / "data").glob(".*"))


@pytest.fixture(scope="session")
def playwright():
    """What drives browsers, of which a process has one."""
    from playwright.sync_api import expect, sync_playwright
    from webpage import CHROMIUM

    expect.set_options(timeout=60_000)  # milliseconds: both cores may be busy with other tests

    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as driver:
        yield driver
