"""`bcjax` called as a person calls it, but in this process, and a small run to call it with."""

import contextlib
import io
import logging
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from places import ROOT

# A constant rate and pictures in RAM keep the length of the run and the number of pictures out of
# the compiled program, so that all tests that train share one.
TINY = (
    f"--config={ROOT / 'configs' / 'elu_cnn.py'}",
    "--config.data.image_size=32",
    "--config.data.source=synthetic",
    "--config.data.synthetic_images=80",
    "--config.data.store=host",
    "--config.train.batch_size=8",
    "--config.train.length=6 steps",
    "--config.optim.schedule=constant",
    "--config.optim.warmup=0 steps",
    "--config.eval.every=3 steps",
    "--config.checkpoint.every=2 steps",
    "--config.eval.report=false",
)


_ABOUT_PICTURES = ("Preparing ", "pictures: ")


class Ran(NamedTuple):
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def warnings(self) -> list[str]:
        """The lines of the standard error that do not only say which pictures are used."""
        return [line for line in self.err.splitlines() if not line.startswith(_ABOUT_PICTURES)]


def run_bcjax(*arguments: str | Path) -> Ran:
    """Calls `bcjax ARGUMENTS`; a defect (any exception) is passed on."""
    from bcjax.main import main
    from bcjax.runtime import memory

    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["bcjax", *map(str, arguments)])
        # Else pytest's own handlers would take the messages that a person reads on stderr.
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(sys, "unraisablehook", sys.unraisablehook)  # as they were, afterwards
        patch.setattr(threading, "excepthook", threading.excepthook)
        patch.setattr(memory, "keep_freed", lambda: None)  # this process has other tests to run
        status = main()
    return Ran(status, out.getvalue(), err.getvalue())


def refused(ran: Ran, *named: object) -> None:
    """Checks that a command was refused in one sentence that names all of `named`."""
    *before, sentence = ran.err.splitlines()
    assert ran.status == 2, ran
    assert all(line.startswith(_ABOUT_PICTURES) for line in before), ran.err
    assert sentence.startswith("bcjax: "), ran.err
    for name in named:
        assert str(name) in sentence, (name, sentence)


def contents(folder: Path) -> dict[Path, bytes]:
    """What is in a folder, to the byte; locks and access times are nobody's loss."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder): path.read_bytes() for path in files}
