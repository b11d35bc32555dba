"""`bcjax import-weights` and `model.weights`, as a person uses them."""

import contextlib
import json
import os
import shutil

import jax
import numpy as np
import pytest
import torch_format
from commandline import TINY, contents, refused
from flax import traverse_util
from published import PUBLISHED, of_network

from bcjax import config as configs
from bcjax.data.sources import synthetic
from bcjax.engine import checkpoint, network
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.training.run import Run

MODEL = "mobilenet_v2_035"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of small weights, by our own paths."""
    rng = np.random.default_rng(0)
    shapes = of_network(MODEL).shapes
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    arrays = {name: 0.1 * rng.random(shape, np.float32) for name, shape in shapes.items()}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def torch_weights(tmp_path_factory):
    rng = np.random.default_rng(0)
    tensors = {n: rng.random(s, np.float32) for n, s in PUBLISHED["timm resnet18"].items()}
    return torch_format.save(tmp_path_factory.mktemp("torch") / "resnet18.pth", tensors)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Weights of the smallest network, and a page that says what pictures they want."""
    folder, rng = tmp_path_factory.mktemp("small"), np.random.default_rng(0)
    shapes = of_network("elu_cnn").shapes
    np.savez(folder / "w.npz", **{n: rng.random(s, np.float32) for n, s in shapes.items()})
    page = {"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "crop_pct": 0.9}}
    (folder / "config.json").write_text(json.dumps(page))
    return folder / "w.npz"


# import-weights


def test_imported_weights_are_a_run_at_step_0(bcjax, torch_weights, tmp_path):
    out = tmp_path / "imported"
    ran = bcjax("import-weights", "--model=resnet18", torch_weights, f"--out={out}")
    assert ran.status == 0, ran.err
    assert "torchvision or timm" in ran.out
    assert "kept: 1000 classes" in ran.out
    assert "crop, 0.875 of its shorter side" in ran.out
    trained = network.load(out, "best", meshes.create())
    assert (trained.step, len(trained.classes), trained.classes[999]) == (0, 1000, "999")
    assert trained.config.data.image_size == 224
    assert trained.config.model.mean == (0.485, 0.456, 0.406)
    page = json.loads((out / "weights.json").read_text())
    assert page["file"] == str(torch_weights)


def test_imported_weights_answer_for_pictures(bcjax, small, tmp_path, snapshots):
    out, pictures = tmp_path / "imported", snapshots(tmp_path / "pictures")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(synthetic.CLASSES) + "\n")
    ran = bcjax(
        "import-weights", "--model=elu_cnn", small, f"--out={out}", "--head=drop",
        f"--classes={names}", "--image_size=32",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert "The classifier was dropped" in ran.out
    refused(bcjax("evaluate", f"--workdir={out}"), out, "no pictures of its own", "--data.source=")
    shutil.rmtree(pictures / synthetic.CLASSES[0])  # a class of which there are no pictures
    ran = bcjax("evaluate", f"--workdir={out}", f"--data.source={pictures}")
    assert ran.status == 0, ran.err
    result = json.loads((out / "eval" / "pictures-all.json").read_text())
    assert result["classes"] == list(synthetic.CLASSES)
    assert result["n"] == 5 * (len(synthetic.CLASSES) - 1)
    assert result["undefined"]["recall"] == [synthetic.CLASSES[0]]
    ran = bcjax("predict", f"--workdir={out}", "--json", pictures / synthetic.CLASSES[1])
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)[0]["probabilities"].keys() == set(synthetic.CLASSES)


def test_a_pickle_with_code_is_refused_and_not_run(bcjax, tmp_path):
    made = tmp_path / "made"
    path = torch_format.save(tmp_path / "w.pth", {"w": torch_format.Named(os.mkdir, str(made))})
    out = tmp_path / "out"
    ran = bcjax("import-weights", "--model=resnet18", path, f"--out={out}")
    refused(ran, "w.pth", "asks for posix.mkdir", "does not run")
    assert not made.exists()
    assert not out.exists()


def test_half_a_file_is_refused(bcjax, torch_weights, tmp_path):
    path = tmp_path / "half.pth"
    path.write_bytes(torch_weights.read_bytes()[: torch_weights.stat().st_size // 2])
    ran = bcjax("import-weights", "--model=resnet18", path, f"--out={tmp_path / 'out'}")
    refused(ran, "half.pth is cut short", "fetch or save it again")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--model=convnext_atto"], ["resnet18.pth", "convnext_atto", "look like", "ResNet"]),
        (["--model=resnet50"], ["does not fit resnet50", "of the network's have no tensor"]),
        (["--model=resnet19"], ["no model 'resnet19'", "did you mean 'resnet18'?"]),
        (["--model=resnet18", "--classes=8"], ["1000 outputs, not 8", "drop it"]),
        (["--model=resnet18", "--head=drop"], ["--classes=8"]),
        (["--model=resnet18", "--classes=some"], ["--classes=some", "file with names"]),
        (["--model=resnet18", "--convention=caffe"], ["convention", "torch", "tf"]),
        ([], ["--model=resnet50"]),
    ],
)
def test_a_wrong_wish_is_refused_with_its_mend(bcjax, torch_weights, tmp_path, flags, named):
    ran = bcjax("import-weights", *flags, torch_weights, f"--out={tmp_path / 'out'}")
    refused(ran, *named)
    assert not (tmp_path / "out").exists()


def test_weights_of_another_width_are_refused(bcjax, weights, tmp_path):
    out = tmp_path / "out"
    ran = bcjax("import-weights", "--model=mobilenet_v2_050", weights, f"--out={out}")
    refused(ran, "does not fit mobilenet_v2_050", "have another shape")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("w.bin", b"12345678 no weights", "no file of weights that bcjax knows"),
        ("w.safetensors", b"\x10\0\0\0\0\0\0\0{}", "not a whole safetensors file"),
        ("w.zip", None, "not one of weights"),
    ],
)
def test_what_is_no_weights_is_refused(bcjax, tmp_path, name, content, named):
    path = tmp_path / name
    if content is None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "x.txt").write_text("x")
        shutil.make_archive(str(path.with_suffix("")), "zip", tmp_path / "in")
    else:
        path.write_bytes(content)
    ran = bcjax("import-weights", "--model=resnet18", path, f"--out={tmp_path / 'out'}")
    refused(ran, name, named)


def test_a_folder_that_holds_something_is_left_alone(bcjax, trained, weights):
    before = contents(trained.workdir)
    ran = bcjax("import-weights", f"--model={MODEL}", weights, f"--out={trained.workdir}")
    refused(ran, "is not empty")
    assert contents(trained.workdir) == before


# model.weights


def make_config(tmp_path, weights, **changes):
    (tmp_path / "run").mkdir(exist_ok=True)
    config = configs.default()
    config.workdir = str(tmp_path / "run")
    config.data.update({"source": "synthetic", "synthetic_images": 80})
    config.data.update({"image_size": 32, "store": "host"})
    config.train.update({"batch_size": 8, "length": "6 steps"})
    config.model.weights = str(weights)
    config.update_from_flattened_dict(changes)
    return config


@contextlib.contextmanager
def run_of(config):
    """Opens a run; yields it, its state and whether that was restored.

    It takes no step: programs that are compiled for one would keep the cores from later tests.
    """
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(Run(config)) as run:
        patch.setattr(run, "compile_ahead", lambda *_: None)
        yield run, *run.restore_or_start()


def same(tree, arrays, but=()):
    for path, leaf in traverse_util.flatten_dict(jax.device_get(tree), sep="/").items():
        if not path.startswith(but):
            np.testing.assert_array_equal(leaf, arrays[path])


def test_a_run_starts_from_its_weights_with_a_new_classifier(tmp_path, small):
    with run_of(make_config(tmp_path, small, **{"optim.ema": 0.9})) as (run, state, _):
        arrays = np.load(small)
        same(state.variables, arrays, but="params/head/logits")
        same(state.ema, arrays, but="params/head/logits")
        kernel = state.params["head"]["logits"]["kernel"]
        assert kernel.shape[-1] == len(synthetic.CLASSES)
        assert (run.config.model.mean, run.config.data.crop_fraction) == ((0.1, 0.2, 0.3), 0.9)
        assert json.loads((run.workdir / "weights.json").read_text())["file"] == str(small)


@pytest.mark.parametrize(
    ("stated", "taken", "said"),
    [
        ({}, ("crop", 0.9), "a crop of 0.9 of the shorter side, as the weights want"),
        ({"data.resize": "squash"}, ("squash", 1.0), "a squash, as the config says"),
        ({"data.resize": "crop"}, ("crop", 0.9), "a crop of 0.9 of the shorter side, as the con"),
        ({"data.crop_fraction": 0.5}, ("crop", 0.5), "a crop of 0.5 of the shorter side, as the w"),
    ],
)
def test_the_resize_of_the_config_goes_before_that_of_the_weights_and_is_said(
    tmp_path, small, stated, taken, said
):
    with run_of(make_config(tmp_path, small, **stated)) as (run, *_):
        assert (run.config.data.resize, run.config.data.crop_fraction) == taken
        assert any(said in note for note in run.weights_notes)
    with run_of(make_config(tmp_path, small, **stated)) as (run, *_):
        assert (run.config.data.resize, run.config.data.crop_fraction) == taken


def test_a_run_that_goes_on_needs_its_weights_no_more(tmp_path, small):
    copied = shutil.copytree(small.parent, tmp_path / "copied") / "w.npz"
    with run_of(make_config(tmp_path, copied)):
        pass
    with run_of(make_config(tmp_path, copied)) as (
        run,
        state,
        _,
    ):  # killed before its first checkpoint
        same(state.variables, np.load(small), but="params/head/logits")
        page = checkpoint.about_page(run.config, run.classes, None)
        run.checkpoints.save(state, page)
    shutil.rmtree(copied.parent)
    with run_of(make_config(tmp_path, copied)) as (run, state, resumed):
        assert resumed
        assert run.config.model.mean == (0.1, 0.2, 0.3)
        same(state.variables, np.load(small), but="params/head/logits")


def test_a_run_starts_from_another_run(trained, tmp_path):
    of = network.load(trained.workdir, "best", meshes.create())
    keep = {"model.weights_head": "keep"}
    with run_of(make_config(tmp_path, trained.workdir, **keep)) as (run, state, _):
        same(state.variables, traverse_util.flatten_dict(of.variables, sep="/"))
        assert run.config.model.mean == of.config.model.mean


def test_a_kept_classifier_must_tell_the_same_classes_apart(trained, tmp_path, snapshots):
    pictures = snapshots(tmp_path / "pictures")
    (pictures / synthetic.CLASSES[0]).rename(pictures / "another")
    keep = {"model.weights_head": "keep", "data.source": str(pictures), "train.batch_size": 4}
    with pytest.raises(UserError, match="apart, not another"):
        Run(make_config(tmp_path, trained.workdir, **keep))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--config.model.name=resnet18"], ["does not fit resnet18"]),
        (["--config.model.weights=/no/where.pth"], ["no file of weights /no/where.pth"]),
        (["--config.model.weights_head=keep"], ["1000 outputs, not 8"]),
    ],
)
def test_training_from_weights_that_do_not_fit_is_refused(bcjax, weights, tmp_path, flags, named):
    workdir = tmp_path / "run"
    ran = bcjax(
        "train", *TINY, f"--config.model.name={MODEL}", f"--config.model.weights={weights}",
        *flags, f"--workdir={workdir}",
    )  # fmt: skip
    refused(ran, *named)
    assert not workdir.exists() or not contents(workdir)
