"""One small app for all tests of it, and one browser."""

from pathlib import Path
from typing import NamedTuple

import pytest
from commandline import TINY, run_bcjax
from phone import chromium, opened, served

import bcjax as library

STEPS = 60  # of training: enough for answers that differ from one picture to another


class App(NamedTuple):
    """A run and its exported app: `folder` holds the page."""

    workdir: Path
    folder: Path


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    pytest.importorskip("litert_converter", reason="LiteRT's converter is not installed")
    workdir = tmp_path_factory.mktemp("runs") / "app"
    lengths = [f"--config.{key}={STEPS} steps" for key in ("train.length", "eval.every")]
    ran = run_bcjax("train", *TINY, *lengths, f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    library.calibrate(workdir, coverage=0.8)
    exported = library.export(workdir, formats="webapp")
    return App(workdir, exported.folder / "webapp")


@pytest.fixture(scope="session")
def browser(playwright):
    with chromium(playwright) as found:
        yield found


@pytest.fixture
def context(browser):
    """A visitor with an empty store."""
    made = browser.new_context()
    yield made
    made.close()


@pytest.fixture
def address(app):
    with served(app.folder) as url:
        yield url


@pytest.fixture
def page(context, address):
    return opened(context, address)
