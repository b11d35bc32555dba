"""The configs of published projects do what was published: each value is read back here."""

import importlib

import pytest
from places import REAL

from bcjax import config as configs
from bcjax.augment.table import CHOOSING, MIXING, OPS
from bcjax.config import published_docs
from bcjax.data.preparation import prepare

ELU = {
    "model.name": "elu_cnn", "data.resplit": True, "data.group_by": "copies", "augment.ops": (),
}  # fmt: skip
RESNET = ELU | {"model.name": "resnet50", "optim.name": "adam"}
AN2DL = {
    "data.image_size": 96, "data.drop": ("conflicts", "copies", "duplicates"),
    "model.hidden": (1024, 512), "model.dropout": 0.35, "model.l1": 1e-3, "model.l2": 1e-3,
    "train.sampling": "balanced", "train.epoch_size": 42_000, "train.batch_size": 256,
    "train.patience": 4, "optim.name": "adamw", "optim.lr": 1e-3, "optim.weight_decay": 1e-5,
    "eval.also": ("rand_augment(2, 9, rate=0.7)",), "checkpoint.best_under": None,
}  # fmt: skip
CONVNEXT = AN2DL | {
    "finetune.first.trainable": "head", "finetune.first.patience": 0,
    "finetune.trainable": "last 30%",
}  # fmt: skip
BCCD = {
    "data.boxes": None, "data.on_unlabelled": "drop", "data.drop_classes": ("BASOPHIL",),
    "data.keep": ("NEUTROPHIL=0.9",), "train.sampling": "balanced",
}  # fmt: skip
PBC = {
    "data.image_size": 224, "data.test_fraction": 0.0, "eval.final_split": "val",
    "model.dtype": "bfloat16", "train.length": "50 epochs", "train.batch_size": 32,
    "train.label_smoothing": 0.1, "optim.name": "adamw", "optim.lr": 1e-3,
    "optim.weight_decay": 1e-4, "optim.schedule": "cosine", "optim.final_lr_fraction": 1e-3,
    "optim.clip_norm": 1.0, "optim.warmup": "0 steps",
}  # fmt: skip
EDGE = {
    "data.test_fraction": 0.2, "data.resize": "squash", "model.channels": 3,
    "train.length": "20 epochs", "optim.lr": 5e-4,
}  # fmt: skip
PUBLISHED = {
    "elu_resnet50:adam": ELU | {"optim.name": "adam", "model.dropout": 0.0},
    "elu_resnet50:rmsprop": ELU | {"optim.name": "rmsprop", "model.dropout": 0.0},
    "elu_resnet50:sgd": ELU | {"optim.name": "sgd", "model.dropout": 0.0},
    "elu_resnet50:sgd_dropout": ELU | {"optim.name": "sgd", "model.dropout": 0.5},
    "elu_resnet50:resnet50_frozen": RESNET | {"finetune.trainable": "head"},
    "elu_resnet50:resnet50_partial": RESNET | {"finetune.trainable": "last 30%"},
    "elu_resnet50:resnet50_full": RESNET | {"finetune.trainable": "all"},
    "an2dl_convnext:custom": AN2DL | {"model.name": "custom_cnn"},
    "an2dl_convnext:small": CONVNEXT | {"model.name": "convnext_small", "model.drop_path": 0.1},
    "an2dl_convnext:base": CONVNEXT | {"model.name": "convnext_base", "model.drop_path": 0.2},
    "an2dl_convnext:large": CONVNEXT | {"model.name": "convnext_large", "model.drop_path": 0.3},
    "bccd_raw:resnet": BCCD | {"model.name": "resnet50"},
    "bccd_raw:efficientnet": BCCD | {"model.name": "efficientnet_b0"},
    "bccd_raw:alexnet": BCCD | {"model.name": "alexnet"},
    "pbc3200:simple_cnn": PBC | {"model.name": "simple_cnn"},
    "pbc3200:resnet18": PBC | {"model.name": "resnet18"},
    "pbc3200:efficientnet_lite": PBC | {"model.name": "cell_efficientnet_lite"},
    "pbc3200:deep_efficientnet": PBC | {
        "model.name": "deep_efficientnet", "model.squeeze": (3, 4), "model.dropout": 0.3,
        "model.drop_path": 0.2,
    },
    "edge_impulse:mobilenet_v2_160": EDGE | {
        "model.name": "mobilenet_v2_100", "data.image_size": 160, "model.hidden": (64,),
        "finetune.trainable": "head",
    },
    "edge_impulse:mobilenet_v1_96": EDGE | {
        "model.name": "mobilenet_v1_025", "data.image_size": 96, "model.hidden": (64,),
        "finetune.trainable": "head",
    },
    "edge_impulse:conv2d": EDGE | {"model.name": "conv2d", "finetune.trainable": "all"},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_has_the_published_values(name):
    leaves = configs.flatten(configs.get(f"published/{name}"))
    expected = PUBLISHED[name]
    assert {key: leaves[key] for key in expected} == expected


@pytest.mark.parametrize(
    "operation",
    ["cell_mask", "rand_augment", "grid_mask", "cutout", "mixup", "cutmix"],
)
def test_an2dl_augments_by_all_that_its_winners_name(operation):
    assert operation in " ".join(configs.get("published/an2dl_convnext").augment.ops)


@pytest.mark.parametrize("operation", ["flip", "rotate(30)", "translate", "scale", "hue"])
def test_pbc3200_augments_as_its_readme_says(operation):
    assert operation in " ".join(configs.get("published/pbc3200").augment.ops)


def test_every_config_of_a_published_project_is_checked_here():
    files = {name.removeprefix("published/") for name in configs.names() if "/" in name}
    assert files == {name.partition(":")[0] for name in PUBLISHED}


def test_the_pages_of_the_projects_are_what_the_configs_say():
    found = {path.name: path.read_text() for path in published_docs.FOLDER.glob("*.md")}
    del found["claims.md"]  # Its figures are measured, by benchmarks/claims.py.
    assert found == published_docs.render(), "run python -m bcjax.config.published_docs"
    variants = {f"{name}:{v}" for name, each in published_docs.VARIANTS.items() for v in each}
    assert variants == set(PUBLISHED)


@pytest.mark.parametrize(
    "here", [here for rows in published_docs.TECHNIQUES.values() for _, here in rows]
)
def test_every_technique_that_the_projects_name_is_here(here):
    if here.startswith("augment: "):
        assert here.removeprefix("augment: ") in {*OPS, *CHOOSING, *MIXING}
    elif here.startswith("bcjax "):
        assert importlib.util.find_spec(here.replace("bcjax ", "bcjax.cli."))
    else:
        assert here in configs.KEYS


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the pictures of ../shared/data")
def test_raw_bccd_has_the_pictures_that_are_left_by_the_published_rules(tmp_path):
    changes = {"data.source": str(REAL / "bccd"), "data.cache_dir": str(tmp_path)}
    prepared = prepare(configs.get("published/bccd_raw", changes).data)
    assert sum(map(sum, prepared.counts.values())) == 263
