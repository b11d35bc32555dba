"""A stream gives the answers of `predict`, batch after batch, in memory that does not grow."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import ready_runs
from many_pictures import BAD, Means, drawings, listed, zipped
from places import SUPPORT

import bcjax
from bcjax.data.sources import synthetic
from bcjax.evaluation.decode_ahead import decode_ahead
from bcjax.evaluation.images import collect
from bcjax.evaluation.picture_stream import NamedImage, open_pictures
from bcjax.evaluation.predictions import joined
from bcjax.runtime.errors import UserError

COUNT = 21


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return ready_runs.near_each_other(tmp_path_factory.mktemp("runs"), "ab")


@pytest.fixture(scope="module")
def net(runs):
    return bcjax.load(runs[0])


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return drawings(tmp_path_factory.mktemp("many") / "cells", COUNT, bad=True)


def same(one, other):
    """Whether two predictions are the same, bit for bit."""
    assert (one.names, one.unreadable) == (other.names, other.unreadable)
    for name in ("logits", "probabilities", "entropy", "mutual_information", "energy"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours is None) == (theirs is None), name
        assert ours is None or (ours.dtype, ours.tobytes()) == (theirs.dtype, theirs.tobytes())


def one_by_one(net, images, batch_size):
    """The logits without threads and without a stream."""
    pixels = [net.transform(each.read()) for each in images]
    rows = []
    for start in range(0, len(pixels), batch_size):
        few = pixels[start : start + batch_size]
        batch = np.zeros((batch_size, *net.image_size, 3), np.uint8)
        batch[: len(few)] = few
        rows.append(net.outputs(batch).logits[: len(few)])
    return np.concatenate(rows)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_stream_gives_what_predict_gives_and_what_outputs_gives(net, paths, batch_size):
    folder = paths[0].parent
    batches = list(net.stream(folder, batch_size))
    predictions = net.predict(folder, batch_size)
    same(joined(batches), predictions)
    assert predictions.names == tuple(str(p) for i, p in enumerate(paths) if i != BAD)
    sizes = [len(each) + len(each.unreadable) for each in batches]
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert [each.name for each in predictions.unreadable] == [str(paths[BAD])]
    if batch_size == 1:
        good = [image for i, image in enumerate(collect(folder)) if i != BAD]
        np.testing.assert_array_equal(predictions.logits, one_by_one(net, good, 1))


def test_a_whole_stream_gives_what_outputs_gives_bit_for_bit(net, paths):
    good = collect(paths[BAD + 1 :])
    streamed = joined(list(net.stream(good, 8)))
    np.testing.assert_array_equal(streamed.logits, one_by_one(net, good, 8))


def test_every_kind_of_place_is_answered_alike(net, paths, tmp_path):
    folder = paths[0].parent
    predictions = net.predict(folder, 8)
    table = listed(paths, folder.parent / "list.csv")
    for word in (table, zipped(paths, tmp_path / "a.zip"), f"{folder}/*", open_pictures([folder])):
        other = net.predict(word, 8)
        np.testing.assert_array_equal(other.logits, predictions.logits)
        assert [each.reason for each in other.unreadable] == [
            each.reason for each in predictions.unreadable
        ]


def test_networks_that_answer_together_stream_as_they_predict(runs, paths):
    several = bcjax.load(list(runs))
    folder = paths[0].parent
    stated = "=0.125,".join(synthetic.CLASSES) + "=0.125"
    for prevalence in (None, stated):
        batches = list(several.stream(folder, 8, prevalence=prevalence))
        same(joined(batches), several.predict(folder, 8, prevalence=prevalence))
        assert len(batches) == -(-COUNT // 8)
    assert len(several.predict([])) == 0


def test_a_stream_goes_on_where_another_stopped(net, paths):
    folder = paths[0].parent
    whole = list(net.stream(folder, 8))
    for start in (8, 16):
        same(joined(list(net.stream(folder, 8, start=start))), joined(whole[start // 8 :]))
    assert list(net.stream(folder, 8, start=24)) == []
    with pytest.raises(UserError, match="start=9 is no multiple of batch_size=8"):
        net.stream(folder, 8, start=9)


def test_what_is_wrong_with_the_question_is_told_before_the_first_batch(net, paths):
    with pytest.raises(UserError, match="batch_size"):
        net.stream(paths[0], 0)
    with pytest.raises(UserError, match="no class"):
        net.stream(paths[0], prevalence="x=1")
    with pytest.raises(UserError, match="There is no picture"):
        next(net.stream("nowhere.png"))


def test_no_more_is_read_ahead_than_a_few_batches(net, paths):
    """However many images there are: the iterable has no end."""
    encoded, taken, read = paths[0].read_bytes(), [], []

    def take():
        read.append(1)
        return encoded

    def endless():
        while True:
            taken.append(1)
            yield NamedImage(f"image {len(taken)}", take)

    before = set(threading.enumerate())
    stream = net.stream(endless(), 8, threads=1)
    for answered in range(1, 20):
        next(stream)
        # Batches of 8: those answered, those begun on a device, and 2 that are decoded ahead.
        most = 8 * (answered + net.at_once + 2 + 1)
        assert 8 * answered < len(taken) <= most
        assert len(read) <= most
    stream.close()
    left = set(threading.enumerate()) - before
    assert not [each for each in left if each.name.startswith("bcjax-decode")]


def test_the_images_after_a_batch_are_decoded_while_it_is_computed(paths):
    """By threads, more than one at a time."""
    both = threading.Barrier(2, timeout=60)

    def read():
        both.wait()  # breaks unless another thread reads at the same time
        return paths[0].read_bytes()

    net = Means(paths[0].parent)
    images = [NamedImage(str(i), read) for i in range(32)]
    (decoded,) = decode_ahead(images, net.transform, net.image_size, 32, threads=2)
    assert decoded.names == tuple(map(str, range(32)))


def test_a_fault_that_is_no_bad_picture_is_raised(net):
    def read():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(net.stream([NamedImage("a", read)] * 3))


def test_whoever_answers_without_jax_streams_too(paths):
    net = Means(paths[0].parent)
    streamed = joined(list(net.stream(paths, 4)))
    pixels = net.preprocess([path for i, path in enumerate(paths) if i != BAD])
    np.testing.assert_array_equal(streamed.logits, net.outputs(pixels).logits)
    assert len(net.predict([])) == 0


def test_several_devices_give_the_answers_of_one(net, runs, paths):
    """Bit for bit, and all of them compute."""
    done = subprocess.run(
        [sys.executable, SUPPORT / "three_devices.py", runs[0], paths[0].parent],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    logits = np.frombuffer(done.stdout, np.float32).reshape(-1, len(net.classes))
    np.testing.assert_array_equal(logits, net.predict(paths[0].parent, 4).logits)
