"""The config files: what each says, and that each trains."""

import dataclasses
import functools
import json
import os

import pytest
from commandline import ROOT, refused, run_bcjax
from ml_collections import ConfigDict, config_flags
from places import SUPPORT

from bcjax import config as configs
from bcjax import models

GOLDEN = SUPPORT / "configs.json"

VARIANTS = {
    "elu_cnn": ("adam", "rmsprop", "sgd", "sgd_dropout"),
    "efficientnet": ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "lite0", "lite4"),
    "mobilenet_v2": ("a035_96", "a100_160"),
    "resnet18": ("small",),
    "resnet50": ("full", "partial", "frozen"),
}
NAMES = [path.stem for path in sorted((ROOT / "configs").glob("*.py"))]
ALL = [name for stem in NAMES for name in (stem, *(f"{stem}:{v}" for v in VARIANTS.get(stem, ())))]


def read(name: str) -> ConfigDict:
    stem, _, variant = name.partition(":")
    path = ROOT / "configs" / f"{stem}.py"
    return config_flags.config_flags._LoadConfigModule("golden", str(path)).get_config(
        *([variant] if variant else [])
    )


def resolved() -> dict[str, dict]:
    """The default tree, and for each config file what differs from it."""
    default = configs.flatten(configs.default())
    everything = {"default": default}
    for name in ALL:
        leaves = configs.flatten(read(name))
        everything[name] = {key: leaves[key] for key in leaves if leaves[key] != default[key]}
    return json.loads(json.dumps(everything))


def test_no_default_changes_unseen():
    """BCJAX_WRITE_GOLDEN=1 writes the golden file anew, so that a review sees the difference."""
    if os.environ.get("BCJAX_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(resolved(), indent=1, sort_keys=True) + "\n")
    assert resolved() == json.loads(GOLDEN.read_text())


# The same as without a variant, or the same network at another size, which
# tests/models/test_models_table.py traces.
UNTRAINED = {"mobilenet_v2:a035_96", "resnet50:full"}
UNTRAINED |= {"bccd", "an2dl"}  # on data of their own: tests/integration/test_roads.py trains them
UNTRAINED |= {f"efficientnet:{variant}" for variant in VARIANTS["efficientnet"]}


def shallow(entry: models.NetworkInfo) -> models.NetworkInfo:
    """The network with one block in each stage: more add compilation, and nothing to a recipe."""
    if not isinstance(entry.build, functools.partial):
        return entry
    less = dict(entry.build.keywords)
    if "depths" in less:
        less["depths"] = (1,) * len(less["depths"])
    if "layout" in less:
        rows = tuple(dataclasses.replace(row, depth=1) for row in less["layout"].rows)
        less["layout"] = dataclasses.replace(less["layout"], rows=rows)
    return dataclasses.replace(entry, build=functools.partial(entry.build.func, **less))


@pytest.mark.parametrize("name", [name for name in ALL if name not in UNTRAINED])
def test_each_config_trains(name, tmp_path, monkeypatch):
    network = read(name).model.name
    monkeypatch.setitem(models.MODELS, network, shallow(models.MODELS[network]))
    stem, _, variant = name.partition(":")
    two_phases = read(name).finetune.first.length != "0 steps"
    side = 64 if stem == "alexnet" else 32
    ran = run_bcjax(
        "train",
        f"--config={ROOT / 'configs' / stem}.py" + (f":{variant}" if variant else ""),
        f"--workdir={tmp_path}",
        f"--config.data.image_size={side}",
        "--config.data.synthetic_images=80",
        "--config.train.batch_size=8",
        "--config.eval.report=false",
        "--config.train.length=1 steps",
        "--config.optim.warmup=0 steps",
        "--config.eval.resamples=0",
        *(["--config.finetune.first.length=1 steps"] if two_phases else []),
    )
    assert ran.status == 0, ran.err
    steps = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert steps[-1] == 1 + two_phases


def test_a_variant_that_is_not_there_is_named_with_those_that_are():
    config = f"--config={ROOT / 'configs' / 'resnet50.py'}:half"
    refused(run_bcjax("train", config), "half", ":full", ":partial", ":frozen")
