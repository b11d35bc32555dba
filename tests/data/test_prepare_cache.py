"""The cache of prepared sets: made once, whoever asks, and made anew when something changes."""

import signal
import subprocess
import sys
import threading

import pytest
from picture_sources import class_folder, picture, settings, source, spread

from bcjax.data import preparation
from bcjax.runtime.errors import UserError


@pytest.fixture
def counted(monkeypatch):
    """The folders that `preparation.write_set` was asked to make."""
    made = []
    write = preparation.write_set
    monkeypatch.setattr(
        preparation,
        "write_set",
        lambda source, out, *a, **k: made.append(out) or write(source, out, *a, **k),
    )
    return made


def test_ensure_prepares_once_and_anew_when_something_changes(tmp_path, counted):
    location = class_folder(tmp_path / "in")

    def ensure(**changes):
        return preparation.prepare(settings(location, cache_dir=str(tmp_path / "cache"), **changes))

    first = ensure()
    assert ensure().path == first.path
    assert ensure().digest == first.digest
    assert counted == [first.path]
    assert first.path.parent == tmp_path / "cache" / "data"

    changed = [
        ensure(split_seed=1),
        ensure(val_fraction=0.3),
        ensure(test_fraction=0.3),
        ensure(on_bad_image="skip"),
        ensure(classes=("ä", "b, c")),
    ]
    (location / "ä" / "0.jpeg").write_bytes(picture(99, "JPEG"))
    changed.append(ensure())
    (location / "ä" / "new.png").write_bytes(picture(98))
    changed.append(ensure())
    assert len({first.path, *(prepared.path for prepared in changed)}) == 8
    assert len(counted) == 8

    # What does not change the set does not prepare it anew.
    assert ensure(image_size=48, store="disk", threads=1).path == changed[-1].path
    assert len(counted) == 8


def test_the_cache_may_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path))
    assert preparation.prepare(settings("synthetic")).path.parent == tmp_path / "data"


def test_a_source_that_fails_leaves_no_set_in_the_cache(tmp_path):
    location = class_folder(tmp_path / "in")
    (location / "ä" / "0.jpeg").write_bytes(b"")
    data = settings(location, cache_dir=str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(UserError, match=r"1 of 20 pictures cannot be read \(ä/0\.jpeg: empty"):
            preparation.prepare(data)
    assert not [path for path in (tmp_path / "cache" / "data").iterdir() if path.is_dir()]


def test_a_prepared_set_is_its_own_source(tmp_path, monkeypatch, counted):
    written = preparation.write_set(source(spread()), tmp_path / "cells", settings())
    counted.clear()
    monkeypatch.setenv("HOME", str(tmp_path))
    for location in (tmp_path / "cells", "~/cells"):
        prepared = preparation.prepare(settings(location, cache_dir=str(tmp_path / "cache")))
        assert prepared.path == tmp_path / "cells"
        assert prepared.digest == written.digest
        assert prepared.describe_splits() == "train (8), val (4), test (4)"
        with pytest.raises(UserError, match="is a prepared set already: train on it as it is"):
            preparation.read_source(settings(location))
    assert not counted
    assert not (tmp_path / "cache").exists()


# Killed, and at once

PROGRAM = """
import logging, pathlib, sys, time
from bcjax import config
from bcjax.data import decode, preparation

whole, seconds = decode.decode, float(sys.argv[3])
def slow(encoded):
    print("decoding", file=sys.__stdout__, flush=True)  # TFDS is kept silent
    time.sleep(seconds)
    return whole(encoded)
decode.decode = slow
logging.basicConfig(level=logging.INFO)
data = config.default().data
data.source, data.cache_dir = sys.argv[1:3]
print(preparation.prepare(data).path)
"""


def ensuring(location, cache, seconds):
    """A process that ensures `location`, `seconds` per picture."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, location, cache, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_prepare_leaves_is_no_set_and_is_cleared_by_the_next(tmp_path):
    location, cache = class_folder(tmp_path / "in"), tmp_path / "cache"
    process = ensuring(location, cache, seconds=60)
    assert process.stdout.readline().startswith("decoding")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = [path.name for path in (cache / "data").iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].startswith(".in-")  # beside the target, which is not there

    prepared = preparation.prepare(settings(location, cache_dir=str(cache)))
    assert sum(prepared.size(split) for split in prepared.counts) == 20
    assert [path for path in (cache / "data").iterdir() if path.is_dir()] == [prepared.path]


def test_of_two_processes_at_once_one_prepares(tmp_path):
    location, cache = class_folder(tmp_path / "in"), tmp_path / "cache"
    both = [ensuring(location, cache, seconds=0.1) for _ in range(2)]
    ended = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert len({out.splitlines()[-1] for out, _ in ended}) == 1
    assert sum(err.count("Preparing 20 pictures") for _, err in ended) == 1


def test_of_two_threads_at_once_one_prepares(tmp_path, monkeypatch):
    location = class_folder(tmp_path / "in")
    data = settings(location, cache_dir=str(tmp_path / "cache"))
    written = []
    both_asked = threading.Barrier(2)
    open_named, write = preparation.read_source, preparation.write_set
    monkeypatch.setattr(
        preparation, "write_set", lambda *a, **k: written.append(a) or write(*a, **k)
    )
    monkeypatch.setattr(
        preparation,
        "read_source",
        lambda data, **k: both_asked.wait(30) is None or open_named(data, **k),
    )
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(preparation.prepare(data).path))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert len(paths) == 2
    assert len(set(paths)) == 1
