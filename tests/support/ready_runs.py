"""Runs at step 0 of a small network with batch norm: ready at once, for nothing trains them."""

import json
from collections.abc import Sequence
from pathlib import Path

import jax
import networks
import numpy as np
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.ancestry import Ancestry
from bcjax.data.preparation import prepare
from bcjax.data.sources import synthetic
from bcjax.engine import network
from bcjax.engine.state import Variables

SIZE = 16


def settled(images: int = 80, **model) -> ConfigDict:
    """A config for that many drawings."""
    config = configs.default()
    config.data.update({"source": "synthetic", "synthetic_images": images})
    config.data.update({"image_size": SIZE, "classes": synthetic.CLASSES})
    config.train.batch_size = 8
    config.eval.resamples = 10
    config.model.update({"name": "custom_cnn", "norm": "batch", "hidden": (8,), **model})
    return network.resolve(config)


def variables_of(config: ConfigDict, seed: int = 0) -> Variables:
    model = network.build(config, len(synthetic.CLASSES))
    pictures = np.zeros((1, SIZE, SIZE, 3), np.float32)
    return jax.device_get(networks.jit(model.init)(networks.key(seed), pictures))


def noisy(variables: Variables, noise: float, seed: int) -> Variables:
    """The same network, each number multiplied at random; variances stay above 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (leaf * np.exp(noise * rng.normal(size=leaf.shape))).astype(np.float32),
        variables,
    )


def write(config: ConfigDict, variables: Variables, workdir: Path) -> Path:
    """Makes the folder of a run, which says that it was trained on the pictures of its config."""
    workdir.mkdir()
    prepared = prepare(config.data)
    ancestry = Ancestry().trained_on(prepared, str(workdir))
    pictures = {"path": str(prepared.path), "digest": prepared.digest, "counts": prepared.counts}
    (workdir / "pictures.json").write_text(json.dumps(pictures))
    network.write_run(config, variables, synthetic.CLASSES, workdir, ancestry)
    return workdir


def near_each_other(folder: Path, names: Sequence[str]) -> list[Path]:
    """Makes runs of one network, whose numbers differ a little."""
    config = settled()
    start = noisy(variables_of(config), 0.1, 0)
    return [
        write(config, noisy(start, 0.4, seed), folder / name) for seed, name in enumerate(names)
    ]
