"""Compiled programs on disk: the same answers, found or not, and never in the way."""

import dataclasses
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from flax import linen as nn

from bcjax import models
from bcjax.runtime import compilation, program_cache
from bcjax.runtime.program_cache import CachedProgram

X = np.arange(6, dtype=np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache of programs; JAX's own is left out, so that each program is compiled."""
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path))
    monkeypatch.setattr(program_cache, "_own_code_alone", True)
    monkeypatch.setattr(program_cache, "_FIRST_STEP", 0.0)
    compilation.use_cache()
    program_cache._SAID.clear()
    yield tmp_path / "programs"
    program_cache.wait_until_written()


def counted(about, factor=2.0):
    """Returns a program and the list to which each of its traces is added."""
    traces = []

    def function(x):
        traces.append(x.shape)
        return factor * x

    return CachedProgram(function, about), traces


def test_a_program_that_is_found_is_not_traced(folder):
    for expected in (1, 0):
        program, traces = counted({"what": "doubled"})
        np.testing.assert_array_equal(program(X), 2 * X)
        np.testing.assert_array_equal(program(X), 2 * X)
        assert len(traces) == expected
        program_cache.wait_until_written()
    assert len(list(folder.iterdir())) == 1


def test_what_tracing_found_is_found_again(folder):
    traces = []

    def trace():
        traces.append(1)
        return ("layer1", "layer2"), jax.eval_shape(lambda: {"kernel": X})

    for expected in (1, 1):
        layers, shapes = program_cache.kept({"model": "a"}, trace)
        assert (layers, shapes["kernel"].shape) == (("layer1", "layer2"), X.shape)
        assert len(traces) == expected
        program_cache.wait_until_written()
    program_cache.kept({"model": "b"}, trace)
    program_cache.kept({"model": lambda: 1}, trace)  # has no name, and is never kept
    program_cache.kept({"model": lambda: 1}, trace)
    assert len(traces) == 4


def test_each_shape_and_each_thing_it_is_made_of_has_its_program(folder):
    counted({"factor": 2.0})[0](X)
    program_cache.wait_until_written()
    program, traces = counted({"factor": 2.0})
    program(X[:3])
    other, other_traces = counted({"factor": 3.0}, 3.0)
    np.testing.assert_array_equal(other(X), 3 * X)
    assert traces == [(3,)]
    assert other_traces == [(6,)]


def test_arguments_are_donated_as_before(folder):
    for _ in range(2):
        program = CachedProgram(lambda x: x + 1, "donated", donate_argnums=0)
        x = jax.device_put(X)
        np.testing.assert_array_equal(program(x), X + 1)
        assert x.is_deleted()
        program_cache.wait_until_written()


@dataclasses.dataclass
class Foreign:
    width: int


class OwnNetwork(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


@pytest.mark.parametrize("about", [None, lambda: 0, Foreign(3), {"model": OwnNetwork()}])
def test_what_another_process_cannot_know_is_not_kept(folder, about):
    program, traces = counted(about)
    program(X)
    program_cache.wait_until_written()
    assert traces == [(6,)]
    assert not folder.exists()


@pytest.mark.parametrize("name", models.MODELS)
def test_every_network_can_be_named_and_differs_by_its_fields(name):
    if not type(models.create(name, classes=3)).__module__.startswith("bcjax."):
        pytest.skip("a test registered it")
    named = [program_cache._named(models.create(name, classes=n)) for n in (3, 3, 4)]
    assert named[0] == named[1] != named[2]


def test_nothing_is_kept_once_other_code_is_registered(folder):
    program_cache.foreign_code()
    counted("doubled")[0](X)
    program_cache.wait_until_written()
    assert not folder.exists()


def test_a_damaged_file_is_said_once_and_compiled_anew(folder, caplog):
    counted("doubled")[0](X)
    program_cache.wait_until_written()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    for damaged in (content[:-9], b"", content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        program, traces = counted("doubled")
        with caplog.at_level(logging.WARNING, "bcjax"):
            np.testing.assert_array_equal(program(X), 2 * X)
        program_cache.wait_until_written()
        assert len(traces) == 1
    assert caplog.text.count("cannot be kept") == 1
    program, traces = counted("doubled")
    program(X)
    assert not traces  # it was written anew


def test_without_a_place_to_write_to_it_works(folder, caplog):
    folder.write_text("mine")
    program, _ = counted("doubled")
    with caplog.at_level(logging.WARNING, "bcjax"):
        np.testing.assert_array_equal(program(X), 2 * X)
        program_cache.wait_until_written()
    assert caplog.text.count("compiled anew each time") == 1
    assert folder.read_text() == "mine"


def test_a_program_of_jax_s_own_cache_is_not_written_again(folder, tmp_path, monkeypatch):
    # Serialised a second time it would have lost its functions.
    monkeypatch.setattr(program_cache, "_without_jax_cache", Used)
    counted("doubled")[0](X)
    program_cache.wait_until_written()
    assert not folder.exists()


class Used:
    def __enter__(self):
        return lambda: True

    def __exit__(self, *_):
        return None


def test_a_program_that_jax_has_compiled_before_is_whole(folder):
    for _ in range(2):  # the second time, JAX finds it in its own cache
        program, _ = counted("doubled")
        program.jitted(X)
        np.testing.assert_array_equal(program(X), 2 * X)
        program_cache.wait_until_written()
        if folder.exists():
            found, _ = counted("doubled")
            np.testing.assert_array_equal(found(X), 2 * X)
            program_cache.shrink(folder, most=0)


def test_threads_that_ask_at_once_wait_for_one_compilation(folder):
    program, traces = counted("doubled")
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(program, [X] * 8):
            np.testing.assert_array_equal(found, 2 * X)
    assert len(traces) == 1


def test_the_longest_unused_are_deleted_first(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    program_cache.shrink(tmp_path, most=25)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}
