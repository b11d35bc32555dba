"""A calibrated run, served in this process (ASGI) or by a process of its own."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from places import ROOT

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from fastapi.testclient import TestClient
from patience import PATIENCE
from PIL import Image

import bcjax as library
from bcjax.serve import app, server
from bcjax.serve.served_run import ServedRun
from bcjax.serve.service import Service
from bcjax.serve.settings import Settings


@pytest.fixture(scope="session")
def calibrated(trained, tmp_path_factory) -> Path:
    workdir = shutil.copytree(trained.workdir, tmp_path_factory.mktemp("runs") / "clinic")
    library.calibrate(workdir, coverage=0.8)
    return workdir


@pytest.fixture(scope="session")
def runs(calibrated):
    """Loaded once: tests that change a run load their own."""
    return [ServedRun("clinic", calibrated, "best", "jax", Settings(max_batch=4))]


@pytest.fixture
def serve(runs):
    """Returns a function that serves a run in this process, with limits of a test's own."""
    with contextlib.ExitStack() as stack:

        def start(served=None, **limits) -> TestClient:
            settings = Settings(**{"reload": 0, "max_batch": 4, **limits})
            application = app.create(Service(served or runs, settings))
            return stack.enter_context(TestClient(application, raise_server_exceptions=False))

        yield start


@pytest.fixture
def client(serve) -> TestClient:
    return serve()


@pytest.fixture
def threads(runs):
    """Returns a function that serves in a thread of this process, and returns the address."""
    with contextlib.ExitStack() as stack:

        def start(**limits) -> tuple[str, int]:
            settings = Settings(reload=0, max_batch=4, **limits)
            listening = stack.enter_context(server.listen("127.0.0.1", 0))
            running = server.server(app.create(Service(runs, settings)), settings.timeout)
            thread = threading.Thread(target=running.run, args=([listening],))
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, running, "should_exit", True)
            return listening.getsockname()

        yield start


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """Six pictures, as JPEG and PNG of several sizes."""
    rng = np.random.default_rng(0)
    sides = ((40, 40), (32, 32), (60, 33), (40, 40), (25, 80), (100, 100))
    return [
        encoded(rng.integers(0, 255, (*side, 3), np.uint8), kind)
        for side, kind in zip(sides, ("PNG", "JPEG") * 3, strict=True)
    ]


@pytest.fixture(scope="session")
def expected(calibrated, pictures):
    """What `predict` answers for them."""
    return list(library.load(calibrated).predict(pictures))


class Process:
    """`bcjax serve` as a process."""

    def __init__(self, *flags: str, **environment: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bcjax.main", "serve", "--port=0", "--max-batch=4", *flags],
            cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.match(r"ready: (http://\S+/)", line):
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.lines))
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))
        self._reader.start()

    def ended(self) -> tuple[int, str]:
        """Waits for its end; returns its status and what it wrote."""
        status = self.process.wait(PATIENCE)
        self._reader.join()
        return status, "".join(self.lines)

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False, **options)


@pytest.fixture
def processes():
    """Returns a function that starts the service; what is left of it is killed at the end."""
    started = []

    def start(*flags: str, **environment: str) -> Process:
        started.append(Process(*flags, **environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.ended()
