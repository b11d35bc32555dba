"""Real ImageNet weights tell real pictures apart."""

import csv
import json
import shutil

import pytest
from places import SHARED

from bcjax import config as configs
from bcjax.engine import weights

WEIGHTS = SHARED / "weights" / "mobilenetv2_1.0_224_imagenet.npz"
PICTURES = SHARED / "data" / "imagenet_sample"


@pytest.mark.skipif(
    not (WEIGHTS.exists() and PICTURES.exists()), reason="the development data is not here"
)
def test_mobilenet_v2_knows_everyday_pictures(bcjax, tmp_path):
    sample = shutil.copytree(PICTURES, tmp_path / "sample")
    pictures = sorted(path.name for path in sample.glob("*.jpg"))
    with (sample / "sample.csv").open("w", newline="") as file:
        rows = [(name, int(name.partition("_")[0])) for name in pictures]
        csv.writer(file).writerows([("filename", "label"), *rows])

    out = tmp_path / "imagenet"
    ran = bcjax("import-weights", "--model=mobilenet_v2", WEIGHTS, f"--out={out}")
    assert ran.status == 0, ran.err
    assert "Batch norm was folded into the convolutions" in " ".join(ran.out.split())
    ran = bcjax("evaluate", f"--workdir={out}", f"--data.source={sample}")
    assert ran.status == 0, ran.err
    assert "1,000 classes" in ran.out
    result = json.loads((out / "eval" / "sample-all.json").read_text())
    assert result["n"] == len(pictures) == 200
    assert result["metrics"]["accuracy"]["value"] >= 0.85


@pytest.mark.skipif(not WEIGHTS.exists(), reason="the development data is not here")
@pytest.mark.parametrize("hidden", [None, (), (64,), (64, 32)])
def test_real_weights_take_any_new_classifier(hidden):
    changes = {"model.name": "mobilenet_v2", "model.hidden": hidden, "model.dropout": 0.1}
    config = configs.replaced(configs.default(), {**changes, "data.resize": "squash"})
    imported = weights.read(WEIGHTS, config, 8)
    assert "head" not in imported.variables["params"]
    assert imported.config.data.resize == "squash"
    assert any("The classifier was dropped" in note for note in imported.notes)
