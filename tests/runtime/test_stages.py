"""A long task says what it does, and a short one says nothing."""

import io
import threading

from rich.console import Console

from bcjax.runtime.stages import Stages


class Heard(io.StringIO):
    """A log that says when a word was written to it."""

    def __init__(self, word):
        super().__init__()
        self.word, self.written = word, threading.Event()

    def write(self, text):
        if self.word in text:
            self.written.set()
        return super().write(text)


def test_a_log_is_told_what_is_being_done_and_for_how_long():
    log = Heard("drawing")
    with Stages(Console(file=log), "reading", seconds=0.001) as told:
        told("drawing")
        log.written.wait()
    assert "drawing (0:0" in log.getvalue()
    assert "bcjax-stages" not in {each.name for each in threading.enumerate()}


def test_a_short_task_says_nothing():
    log = io.StringIO()
    with Stages(Console(file=log), "reading", seconds=3600.0) as told:
        told("drawing")
    assert log.getvalue() == ""


def test_a_terminal_has_one_line_that_goes_away():
    log = io.StringIO()
    with Stages(Console(file=log, force_terminal=True, width=80), "reading") as told:
        told("drawing")
    assert "drawing" in log.getvalue()
    assert log.getvalue().endswith("\x1b[2K")
