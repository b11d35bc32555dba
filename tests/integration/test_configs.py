"""The config files: what each says, and that each trains."""

import dataclasses
import functools
import json
import os

import pytest
from commandline import ROOT, refused, run_bcjax
from places import SUPPORT, project_files

from bcjax import config as configs
from bcjax import models
from bcjax.config import published_docs

GOLDEN = SUPPORT / "configs.json"

VARIANTS = {
    "efficientnet": ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "lite0", "lite4"),
    "mobilenet_v2": ("a035_96", "a100_160"),
    "resnet18": ("small",),
    "resnet50": ("full", "partial", "frozen"),
    **{f"published/{name}": each for name, each in published_docs.VARIANTS.items()},
}  # fmt: skip
TRACKED = {path.relative_to(ROOT / "configs").with_suffix("").as_posix()
           for path in project_files("configs/**/*.py")}  # fmt: skip
NAMES = [name for name in configs.names() if name in TRACKED]
ALL = [name for stem in NAMES for name in (stem, *(f"{stem}:{v}" for v in VARIANTS.get(stem, ())))]


def resolved() -> dict[str, dict]:
    """The default tree, and for each config file what differs from it."""
    default = configs.flatten(configs.default())
    everything = {"default": default}
    for name in ALL:
        leaves = configs.flatten(configs.get(name))
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
# Of those of published projects, one for each kind of recipe.
UNTRAINED |= {name for name in ALL if name.startswith("published/")} - {
    "published/an2dl_convnext:small", "published/bccd_raw:alexnet", "published/edge_impulse:conv2d",
    "published/edge_impulse:mobilenet_v2_160", "published/elu_resnet50:resnet50_partial",
    "published/elu_resnet50:sgd_dropout", "published/pbc3200:efficientnet_lite",
}  # fmt: skip
UNTRAINED |= {f"efficientnet:{variant}" for variant in VARIANTS["efficientnet"]}


def small(entry: models.NetworkInfo) -> models.NetworkInfo:
    """The network with one narrow block in each stage: more adds compilation, not to a recipe."""
    build = entry.build if isinstance(entry.build, functools.partial) else None
    module = build.func if build else entry.build
    less = dict(build.keywords) if build else {}
    if widths := less.get("widths", getattr(module, "widths", None)):
        less["widths"] = (8,) * len(widths)
    if "width" in less:
        less["width"] = 8
    if "depths" in less:
        less["depths"] = (1,) * len(less["depths"])
    if "rows" in less:
        less["rows"] = tuple((8, 1) for _ in less["rows"])
    if "layout" in less:
        layout = less["layout"]
        rows = tuple(dataclasses.replace(row, depth=1, width=8) for row in layout.rows)
        less["layout"] = dataclasses.replace(layout, rows=rows, stem=8, top=min(8, layout.top))
    return dataclasses.replace(entry, build=functools.partial(module, **less))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name not in UNTRAINED])
def test_each_config_trains(name, tmp_path, monkeypatch):
    config = configs.get(name)
    network = config.model.name
    monkeypatch.setitem(models.MODELS, network, small(models.MODELS[network]))
    two_phases = config.finetune.first.length != "0 steps"
    hidden = config.model.hidden or {"alexnet": (9, 9), "simple_cnn": (9,)}.get(network)
    ran = run_bcjax(
        "train",
        f"--config={name}",
        f"--workdir={tmp_path}",
        f"--config.data.image_size={64 if network == 'alexnet' else 32}",
        "--config.data.source=synthetic",
        "--config.data.drop_classes=()",
        "--config.data.keep=()",
        "--config.eval.also=()",
        "--config.data.synthetic_images=80",
        "--config.train.batch_size=8",
        "--config.eval.report=false",
        "--config.train.length=1 steps",
        "--config.optim.warmup=0 steps",
        "--config.eval.resamples=0",
        *([f"--config.model.hidden={(8,) * len(hidden)}"] if hidden else []),
        *(["--config.finetune.first.length=1 steps"] if two_phases else []),
    )
    assert ran.status == 0, ran.err
    steps = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert steps[-1] == 1 + two_phases


@pytest.mark.parametrize(("phi", "side"), list(enumerate((224, 240, 260, 300, 380, 456, 528, 600))))
def test_the_pictures_of_efficientnet_grow_with_it_unless_their_side_is_given(phi, side):
    config = configs.get(f"efficientnet:b{phi}")
    assert (config.model.name, config.data.image_size) == (f"efficientnet_b{phi}", side)
    given = configs.get(f"efficientnet:b{phi}", {"data.image_size": 64})
    assert given.data.image_size == 64


def test_a_variant_that_is_not_there_is_named_with_those_that_are():
    config = f"--config={ROOT / 'configs' / 'resnet50.py'}:half"
    refused(run_bcjax("train", config), "half", ":full", ":partial", ":frozen")
