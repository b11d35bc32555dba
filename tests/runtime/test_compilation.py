"""The cache of compiled programs is a help, and never in the way."""

import threading

import jax
import pytest

from bcjax.runtime import compilation, environment

KEY = "jax_compilation_cache_dir"


@pytest.fixture
def no_cache():
    before = getattr(jax.config, KEY)
    jax.config.update(KEY, None)
    yield
    jax.config.update(KEY, before)


def test_programs_are_kept_where_other_things_are(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path))
    compilation.use_cache()
    assert getattr(jax.config, KEY) == str(tmp_path / "xla")


def test_without_a_place_for_the_cache_there_is_none_which_is_said_once(
    no_cache, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        compilation.use_cache()
    assert getattr(jax.config, KEY) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"Compiled programs cannot be kept in {tmp_path / 'file' / 'programs'} (Not a directory): "
        "they are compiled anew each time."
    ]


class Program:
    """What takes as long to compile as it is told to."""

    def __init__(self):
        self.begun, self.may_end = threading.Event(), threading.Event()

    def compile(self):
        self.begun.set()
        self.may_end.wait()


class FailingProgram:
    def compile(self):
        raise ValueError("no memory")


def test_who_waits_for_all_programs_waits_for_the_last_and_hears_of_its_error():
    compiler = compilation.BackgroundCompiler()
    first = Program()
    first.may_end.set()
    compiler.compile("first", first)
    compiler.compile("second", FailingProgram())
    with pytest.raises(ValueError, match="no memory"):
        compiler.wait_for_all()
    assert first.begun.is_set()


def test_what_was_not_begun_is_given_up_and_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr(environment, "usable_cores", lambda: 2)  # one compilation at once
    compiler = compilation.BackgroundCompiler()
    first, second = Program(), Program()
    compiler.compile("first", first)
    compiler.compile("second", second)
    first.begun.wait()
    compiler.give_up()
    compiler.wait("second")
    first.may_end.set()
    compiler.wait("first")
    assert not second.begun.is_set()
