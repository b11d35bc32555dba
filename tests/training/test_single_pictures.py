"""Batch norm that gets one picture at a time is warned of, wherever that comes from."""

import jax
import jax.numpy as jnp
import pytest
from commandline import run_bcjax
from places import SUPPORT

from bcjax import models
from bcjax.engine.trainable import (
    NOTHING_FROZEN,
    freeze_all_but,
    layers_of,
    uses_batch_statistics,
)
from bcjax.models.norm import NORMS

SHORT = (
    "--config.train.length=1 steps",
    "--config.optim.warmup=0 steps",
    "--config.eval.report=False",
)
NORM = (f"--config={SUPPORT / 'norm_config.py'}", "--config.augment.ops=()", *SHORT)
QUICK = f"--config={SUPPORT / 'quick_config.py'}"
SAID = "Batch norm sees one picture at a time"


@pytest.mark.parametrize(
    "flags",
    [
        ("--config.train.batch_size=1",),
        ("--config.train.batch_size=4", "--config.optim.accumulate=4"),
        ("--config.train.batch_size=1", "--config.train.members=2"),
    ],
    ids=["batch", "micro-batches", "members"],
)
def test_one_picture_at_a_time_is_warned_of(flags, tmp_path):
    ran = run_bcjax("train", *NORM, *flags, f"--workdir={tmp_path}")
    assert ran.status == 0, ran.err
    (said,) = [line for line in ran.err.splitlines() if SAID in line]
    assert "config.model.norm" in said
    assert ("accumulate" in said) == any("accumulate" in flag for flag in flags)


@pytest.mark.parametrize(
    "flags",
    [
        (*NORM, "--config.train.batch_size=2"),
        (QUICK, *SHORT, "--config.train.batch_size=1"),
    ],
    ids=["two pictures", "no batch norm"],
)
def test_where_nothing_is_wrong_nothing_is_said(flags, tmp_path):
    ran = run_bcjax("train", *flags, f"--workdir={tmp_path}")
    assert (ran.status, SAID in ran.err) == (0, False)


@pytest.mark.parametrize("norm", NORMS)
def test_of_the_norms_batch_norm_alone_uses_its_batch(norm):
    model = models.create("resnet18", classes=3, norm=norm)
    assert uses_batch_statistics(model, NOTHING_FROZEN, (1, 32, 32, 3)) == (norm == "batch")


def test_a_frozen_batch_norm_does_not_use_its_batch():
    model = models.create("resnet18", classes=3)
    layers, _ = layers_of(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
    paths = [path for layer in layers for path in layer]
    head = [path for path in paths if path.startswith("head/")]
    assert not uses_batch_statistics(model, freeze_all_but(head, paths), (1, 32, 32, 3))
