"""What is drawn is what the network is batch."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commandline import TINY, refused, run_bcjax
from PIL import Image

from bcjax import config as configs
from bcjax.augment.policy import build
from bcjax.augment.table import OPS
from bcjax.engine.step import keys_of, step_key
from bcjax.reports import preview

MIXED = ("flip", "rotate(30)", "cutmix")


def settings(**changes):
    config = configs.default()
    config.update_from_flattened_dict(
        {
            "data.source": "synthetic",
            "data.synthetic_images": 80,
            "data.image_size": 32,
            "train.batch_size": 8,
            "augment.ops": MIXED,
            **changes,
        }
    )
    return config


@pytest.fixture(scope="module")
def batch():
    return preview.training_batch(settings(), step=3)


def test_the_pictures_are_those_of_the_step(batch):
    """As `steps.train_step` draws them: from the seed, the step and the index."""
    policy = build(MIXED)
    key, _ = keys_of(step_key(0, 3))
    prepared = preview.prepare(settings().data)
    index = preview.order_of(settings(), prepared)(3)
    images, _ = jax.jit(policy)(key, batch.originals / np.float32(255), index, policy.numbers)
    np.testing.assert_allclose(batch.augmented, images, atol=1e-5)
    assert batch.ids == [prepared.ids("train")[i] for i in index]
    assert batch.labels.tolist() == [prepared.labels("train")[i] for i in index]


def test_labels_are_those_of_the_pictures_that_are_seen(batch):
    np.testing.assert_allclose(batch.soft_labels.sum(-1), 1, atol=1e-6)
    for i, labels in enumerate(batch.soft_labels):
        assert set(np.flatnonzero(labels)) <= {batch.labels[i], batch.labels[i - 1]}


def test_micro_batches_are_drawn_as_they_are_fed():
    whole = preview.training_batch(settings(**{"augment.ops": ()}), step=0)
    parts = preview.training_batch(settings(**{"augment.ops": (), "optim.accumulate": 2}), step=0)
    assert np.array_equal(whole.augmented, parts.augmented)
    mixed = preview.training_batch(
        settings(**{"augment.ops": ("mixup",), "optim.accumulate": 2}), step=0
    )
    for i, labels in enumerate(mixed.soft_labels):  # of its own micro-batch
        assert set(np.flatnonzero(labels)) <= {mixed.labels[i], mixed.labels[i - 2]}


def test_grey_pictures_are_drawn_grey():
    batch = preview.training_batch(settings(**{"model.channels": 1}), step=0)
    assert batch.augmented.shape == (8, 32, 32, 1)
    assert preview.draw_batch(batch, 3).axes


def test_soft_labels_are_printed_the_larger_share_first():
    assert preview.describe_labels(np.array([0.25, 0.0, 0.75]), "abc") == "0.75 c + 0.25 a"
    assert preview.describe_labels(np.array([0.0, 1.0, 0.0]), "abc") == "b"


def test_the_command_draws_a_batch_and_the_operations(tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "OPS", {name: OPS[name] for name in ("rotate", "hue", "invert")})
    ops = "--config.augment.ops=('flip', 'mixup(1)')"
    flags = [flag for flag in TINY if "log_every" not in flag]
    ran = run_bcjax("preview", *flags, ops, f"--out={tmp_path}", "--pictures=5")
    assert ran.status == 0, ran.err
    printed = [line for line in ran.out.splitlines() if ": " in line]
    assert len(printed) == 5
    assert any(re.search(r": 0\.\d\d \w+ \+ 0\.\d\d \w+$", line) for line in printed)
    for name in ("batch.png", "operations.png"):
        with Image.open(tmp_path / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10  # something is drawn


def test_every_operation_is_on_the_sheet(batch, monkeypatch):
    nothing = preview._Operation("", "", np.zeros(5), np.zeros((5, 4, 4, 3)))
    monkeypatch.setattr(preview, "_apply_op", lambda name, op, image: nothing._replace(name=name))
    figure = preview.draw_operations(*batch.originals[:2])
    named = [axis.get_ylabel().split("\n")[0] for axis in figure.get_axes() if axis.get_ylabel()]
    assert sorted(named) == sorted([*OPS, "mixup", "cutmix"])


def test_the_sheet_goes_from_the_picture_to_its_highest_magnitude(batch):
    pixels = jnp.asarray(batch.originals[:2] / np.float32(255))
    rotated = preview._apply_op("rotate", OPS["rotate"], pixels[0])
    assert rotated.strengths.tolist() == [0, 7.5, 15, 22.5, 30]
    mixed = preview._apply_mix("mixup", preview.mix.MIXES["mixup"][0], pixels)
    np.testing.assert_allclose(mixed.pictures[-1], pixels.mean(0), atol=1e-6)
    for row in (rotated, mixed):
        assert np.array_equal(row.pictures[0], pixels[0])
        assert not np.array_equal(row.pictures[1], pixels[0])


def test_mistakes_are_named(tmp_path):
    refused(run_bcjax("preview", *TINY, "x"), "takes flags only, not 'x'")
    refused(run_bcjax("preview", f"--out={tmp_path}"), "Give a config file")
    refused(run_bcjax("preview", *TINY, "--config.augment.ops=('flap',)"), "did you mean 'flip'?")
