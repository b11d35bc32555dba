"""A run on rectangles: every command takes it, and the shape is said wherever a size is."""

import json
import shutil

import jax
import numpy as np
import pytest
from commandline import refused, run_bcjax
from places import SUPPORT

import bcjax
from bcjax import config as configs
from bcjax.data.sources import synthetic
from bcjax.evaluation.corruptions.suite import CORRUPTIONS, corrupt
from bcjax.models import create
from bcjax.runtime.run_dir import RunDir

SIZE = (12, 20)
QUICK = (f"--config={SUPPORT / 'quick_config.py'}", "--config.train.length=2 steps")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "wide"
    ops = "--config.augment.ops=turn, cutmix"
    ran = run_bcjax(
        "train", *QUICK, ops, "--config.data.image_size=12,20", "--config.data.resize=crop",
        f"--workdir={workdir}",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert "12x20 px" in ran.out
    return workdir


def test_the_network_answers_and_explains_rectangles(run):
    net = bcjax.load(run)
    assert net.image_size == SIZE
    assert "12x20 px" in repr(net)
    pictures = [synthetic.draw(label, 0, size=40).image for label in range(3)]
    assert net.preprocess(pictures).shape == (3, *SIZE, 3)
    logits = net.logits(net.preprocess(pictures))
    np.testing.assert_allclose(logits, net.predict(pictures).logits, rtol=1e-4)
    with pytest.raises(bcjax.UserError, match=r"of shape \(B, 12, 20, 3\), not .*12, 12, 3"):
        net.logits(np.zeros((1, 12, 12, 3), np.uint8))
    maps = net.explain(pictures[0]).maps
    assert {name: map_.shape for name, map_ in maps.items()} == dict.fromkeys(maps, SIZE)


def test_views_of_rectangles_are_averaged(run):
    evaluation = bcjax.evaluate(run, views="flip, turn")
    assert [each.view for each in evaluation.views] == [
        "as it is", "turned by 180", "mirrored", "mirrored, turned by 180",
    ]  # fmt: skip


def test_report_card_and_comparison_say_the_shape(run, tmp_path):
    assert run_bcjax("report", f"--workdir={run}").status == 0
    assert "picture of 12 by 20 pixels" in RunDir(run).report.with_suffix(".md").read_text()
    assert "a picture of 12 \N{MULTIPLICATION SIGN} 20 pixels" in RunDir(run).card.read_text()
    other = shutil.copytree(run, tmp_path / "other")
    compared = bcjax.compare(run, other)
    assert {each.cost.image_size for each in compared.runs} == {SIZE}
    out = tmp_path / "compared"
    assert run_bcjax("compare", run, other, f"--out={out}").status == 0
    assert any("12x20" in page.read_text() for page in out.glob("*.html"))


def test_a_rectangle_costs_what_its_pixels_cost():
    network = create("conv2d", classes=3)
    sizes = [configs.ImageSize.of(size) for size in ((32, 32), (32, 64), (64, 32))]
    square, wide, high = (bcjax.models.count(network, size) for size in sizes)
    assert wide == high
    assert 1.9 * square.macs < wide.macs < 2.1 * square.macs


def test_a_rectangle_that_is_too_small_is_named_with_what_is_needed(tmp_path):
    ran = run_bcjax(
        "train", *QUICK, "--config.model.name=convnext_tiny", "--config.data.image_size=8,64",
        f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    refused(ran, "Pictures of 8x64 (height x width) are too small", "needs 32 px of each")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_takes_rectangles(name):
    pictures, index = np.zeros((2, *SIZE, 3), np.uint8), np.arange(2, dtype=np.int32)
    corrupted = jax.eval_shape(lambda *arrays: corrupt(name, *arrays, 3), pictures, index)
    assert corrupted.shape == pictures.shape


def test_weights_of_rectangles_go_on_in_rectangles(run, tmp_path):
    ran = run_bcjax(
        "train", *QUICK, f"--config.model.weights={run}", "--config.data.image_size=12,20",
        f"--workdir={tmp_path / 'on'}",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    page = json.loads((tmp_path / "on" / "weights.json").read_text())
    assert page["input_size"] == list(SIZE)
    out = f"--out={tmp_path / 'imported'}"
    ran = run_bcjax("import-weights", run, "--model=quick", "--image_size=16,24", out)
    assert ran.status == 0, ran.err
    assert "made with pictures of 12x20 px; here they have 16x24" in " ".join(ran.out.split())
    ran = run_bcjax("import-weights", run, "--model=quick", "--image_size=4", f"{out}2")
    refused(ran, "--image_size is 4: it must be at least 8")
