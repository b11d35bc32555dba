import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from staged import Staged, layers_of_model

from bcjax import config as configs
from bcjax import models
from bcjax.engine import optimizer as optimizers
from bcjax.engine.trainable import learning_rate_scales, scale_by_path

PATHS = tuple(itertools.chain(*layers_of_model(Staged())))


def by_place(scales):
    """The factors of each stage's children."""
    return {tuple(path.split("/")[:2]): scale for path, scale in scales.items()}


def test_each_block_below_the_head_learns_slower():
    assert by_place(learning_rate_scales(PATHS, 0.5)) == {
        ("head", "logits"): 1,
        ("head", "dense1"): 1,
        ("stage2", "block2"): 1 / 2,
        ("stage2", "block1"): 1 / 4,
        ("stage2", "downsample"): 1 / 4,
        ("stage1", "block2"): 1 / 8,
        ("stage1", "block1"): 1 / 16,
        ("stage1", "downsample"): 1 / 16,
    }


def test_blocks_are_counted_by_number_and_stages_by_their_order():
    found = layers_of_model(models.create("resnet101", classes=3), 32)
    scales = learning_rate_scales(tuple(itertools.chain(*found)), 0.9)
    depth = {path: round(np.log(scale) / np.log(0.9)) for path, scale in scales.items()}
    assert depth["head/logits/kernel"] == 0
    assert depth["stage4/block3/conv1/kernel"] == 1
    assert depth["stage3/block23/conv1/kernel"] == 4
    assert depth["stage3/block9/conv1/kernel"] == 18
    assert depth["stem/conv/kernel"] == 1 + 3 + 23 + 4 + 3


def test_a_decay_of_one_is_none():
    assert set(learning_rate_scales(PATHS, 1.0).values()) == {1.0}


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_updates_are_scaled_as_the_rate_would_be(name):
    """Weight decay with them, and whatever the optimizer keeps."""
    config = configs.default().optim
    config.name, config.weight_decay = name, 0.1
    config.schedule = "constant"
    rng = np.random.default_rng(0)
    flat = {path: jnp.asarray(rng.normal(size=(4, 4)), jnp.float32) for path in PATHS}
    params = traverse_util.unflatten_dict(flat, sep="/")
    scales = learning_rate_scales(PATHS, 0.5)

    def updates(lr, *more):
        config.lr = lr
        optimizer = optax.chain(optimizers.create(config, total_steps=9, warmup_steps=0), *more)
        state = optimizer.init(params)
        for i in range(2):
            grads = jax.tree.map(lambda p, i=i: jnp.sin(p + i), params)
            found, state = optimizer.update(grads, state, params)
        return traverse_util.flatten_dict(found, sep="/")

    scaled = updates(0.5, scale_by_path(scales))
    for scale in set(scales.values()):
        own = updates(0.5 * scale)
        for path in (path for path in PATHS if scales[path] == scale):
            np.testing.assert_allclose(scaled[path], own[path], rtol=1e-6)
