"""`bcjax ablate`: runs without each part of a config, and what each part is worth."""

import dataclasses
import json

import numpy as np
import pytest
from commandline import ROOT, refused, run_bcjax
from PIL import Image

from bcjax import models
from bcjax.evaluation import answers
from bcjax.evaluation.answers import Answers
from bcjax.runtime.errors import UserError
from bcjax.tune import ablation as ablations
from bcjax.tune.ablation import Ablation, Switch

CONFIG = f"--config={ROOT / 'tests' / 'support' / 'quick_config.py'}"


@pytest.fixture(autouse=True, scope="module")
def _quick_network_leaves_the_table():
    yield
    models.MODELS.pop("quick", None)


def ablate(out, *flags):
    return run_bcjax("ablate", CONFIG, f"--out={out}", *flags)


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    """One switch: with it and without."""
    folder = tmp_path_factory.mktemp("ablation")
    switches = folder / "switches.yaml"
    switches.write_text("training: {optim.lr: 0}\n")
    flags = (f"--switches={switches}", "--config.optim.lr=0.1")
    return folder / "out", flags, ablate(folder / "out", *flags)


def page(out):
    return json.loads((out / "ablation.json").read_text())


def test_each_run_is_an_ordinary_one_compared_with_all_on_the_watched_split(ablated):
    out, _, ran = ablated
    assert ran.status == 0, ran.err
    found = page(out)
    assert (found["split"], found["metric"], found["reference"]) == ("val", "accuracy", "all")
    assert [(run["name"], run["on"]) for run in found["runs"]] == [
        ("all", ["training"]),
        ("none", []),
    ]
    values = {}
    for run in found["runs"]:
        (name,) = run["workdirs"]
        saved = json.loads((out / name / "config.json").read_text())
        assert saved["optim"]["lr"] == (0.1 if run["on"] else 0.0)
        result = json.loads((out / name / "eval" / "val.json").read_text())
        assert run["values"] == [pytest.approx(result["metrics"]["accuracy"]["value"])]
        assert not (out / name / "eval" / "test.json").exists()
        values[run["name"]] = run["mean"]
        assert f"{run['name']} accuracy" in ran.out
    whole, none = found["runs"]
    assert whole["difference"] is None
    assert none["difference"]["value"] == pytest.approx(values["none"] - values["all"])
    assert none["difference"]["low"] <= none["difference"]["value"] <= none["difference"]["high"]
    # One seed each: other pictures are in the interval, another seed is not.
    assert none["difference"]["p"] is None
    (caution,) = found["cautions"]
    assert "seed noise is not in the intervals" in caution
    shown = " ".join(ran.out.split())
    assert shown.index(f"Caution: {caution}") < shown.index("compared with `all`")
    assert " p " not in shown.partition("compared with `all`")[2]
    assert str(out / "ablation.json") in ran.out.replace("\n", "")


def test_an_ablation_that_is_done_says_the_same_again(ablated):
    out, flags, _ = ablated
    before = page(out)
    assert ablate(out, *flags).status == 0
    assert page(out) == before


def test_the_runs_feed_compare(ablated, tmp_path):
    out, _, _ = ablated
    folders = [out / name for run in page(out)["runs"] for name in run["workdirs"]]
    ran = run_bcjax("compare", *folders, "--split=val", f"--out={tmp_path / 'compared'}")
    assert ran.status == 0, ran.err


def test_a_run_of_another_config_in_the_folder_is_refused(ablated):
    out, flags, _ = ablated
    refused(ablate(out, *flags, "--config.seed=5"), out / "all", "seed")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ((), ("--switches",)),
        (("--switches=S", "--out=OUT", "--config.optim.weight_decay=0"), ("weight_decay is 0.0",)),
        (("--switches=nowhere.yaml",), ("--out",)),
        (("--switches=nowhere.yaml", "--out=OUT"), ("nowhere.yaml",)),
        (("--switches=S", "--out=OUT", "--mode=all-but-two"), ("all-but-two", "only-one")),
        (("--switches=S", "--out=OUT", "--config.train.members=2"), ("train.members",)),
    ],
)
def test_an_ablation_that_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, named):
    out, switches = tmp_path / "out", tmp_path / "S"
    switches.write_text("decay: {optim.weight_decay: 0}\n")
    flags = [f.replace("OUT", str(out)).replace("=S", f"={switches}") for f in flags]
    refused(run_bcjax("ablate", CONFIG, *flags), *named)
    assert not out.exists()


CLASSES = ("monocyte", "platelet")


@pytest.fixture
def ablation(tmp_path):
    """Two switches, two seeds; their runs' answers are still to be written."""
    from bcjax import config as configs

    config = configs.default()
    config.eval.resamples = 200
    switches = [Switch("a", {}, {"optim.lr": 0.1}), Switch("b", {}, {"optim.ema": 0.9})]
    return Ablation(config, switches, ("only-one",), seeds=2, out=tmp_path)


def write(ablation, name, right_of_each_seed, ids=None):
    """Answers of which the first so many are right."""
    n = 40
    for workdir, right in zip(ablation.workdirs(name), right_of_each_seed, strict=True):
        labels = np.arange(n) % 2
        answered = np.where(np.arange(n) < right, labels, 1 - labels)
        logits = 4.0 * np.eye(2, dtype=np.float32)[answered]
        ids_ = tuple(f"{ids or 'cell'}-{i}" for i in range(n))
        given = Answers(CLASSES, ids_, ("",) * n, labels, logits)
        answers.write(given, workdir / "eval" / "val.parquet")


def test_differences_are_of_seeds_and_pictures(ablation):
    write(ablation, "all", (36, 32))
    write(ablation, "none", (36, 32))
    write(ablation, "only-a", (36, 28))
    write(ablation, "only-b", (36, 32), ids="other")
    measured = ablations.measure(ablation, faults={})
    whole, _, only_a, only_b = measured.runs
    assert measured.n == 40
    assert measured.seeds == 2
    assert whole.values == [0.9, 0.8]
    assert whole.mean == pytest.approx(0.85)
    assert whole.deviation == pytest.approx(0.1 / np.sqrt(2))
    assert only_a.workdirs == ["only-a-seed-0", "only-a-seed-1"]
    # By seed the differences are 0 and -0.1: no evidence, whatever the pictures say.
    difference = only_a.difference
    assert difference["value"] == pytest.approx(-0.05)
    assert difference["interval"] == "t over runs and pictures"
    assert difference["low"] < -0.3
    assert difference["high"] > 0.2
    assert difference["p"] > 0.3
    assert only_b.difference is None  # of other pictures


def test_runs_with_the_same_answers_are_said_to_have_them(ablation):
    write(ablation, "all", (36, 32))
    write(ablation, "none", (36, 32))
    write(ablation, "only-a", (32, 36))  # as good, but not the same
    write(ablation, "only-b", (30, 30))
    measured = ablations.measure(ablation, faults={})
    assert measured.cautions == [
        "none and all gave identical answers to all 40 pictures: what they differ in had no "
        "effect, and there is nothing to test."
    ]
    _, none, only_a, _ = measured.runs
    assert none.difference == {"value": 0.0, "interval": None, "p": None}
    assert only_a.difference["p"] == 1


@pytest.mark.parametrize(
    ("base", "off", "named"),
    [
        ({}, {"optim.ema": 0}, r"a is off in this config already \(optim.ema is 0.0\)"),
        ({}, {"optim.warmup": "0 epochs"}, "optim.warmup is '0 steps'"),
        ({"model.name": "resnet18"}, {"model.dropout": 0}, "model.dropout is None"),
        ({"augment.ops": ("flip", "rotate(9, p=0)")}, {"augment.ops": {"remove": "rotate"}}, "p=0"),
        ({}, {"optim.ema": 0, "train.label_smoothing": 0}, "train.label_smoothing is 0.0"),
    ],
)
def test_a_part_that_is_off_already_is_refused_with_its_value(base, off, named, tmp_path):
    from bcjax import config as configs

    config = configs.replaced(configs.default(), base | {"data.source": "synthetic"})
    with pytest.raises(UserError, match=named):
        Ablation.of(config, {"a": off}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("base", "off"),
    [
        ({"optim.warmup": "2 epochs"}, {"optim.warmup": "0 steps"}),
        ({"model.name": "efficientnet_b0"}, {"model.dropout": 0}),  # it has dropout, unstated
        ({"optim.ema": 0.9}, {"optim.ema": 0, "train.label_smoothing": 0}),
    ],
)
def test_a_part_that_is_on_is_taken(base, off, tmp_path):
    from bcjax import config as configs

    config = configs.replaced(configs.default(), base | {"data.source": "synthetic"})
    assert len(Ablation.of(config, {"a": off}, tmp_path / "out").runs()) == 2


def test_a_run_that_failed_is_told_and_the_others_are_compared(ablation):
    write(ablation, "all", (36, 32))
    write(ablation, "none", (20, 20))
    write(ablation, "only-b", (30, 30))
    measured = ablations.measure(ablation, faults={"only-a": "The loss is not finite."})
    by_name = {run.name: run for run in measured.runs}
    assert by_name["only-a"].error == "The loss is not finite."
    assert by_name["only-a"].mean is None
    assert by_name["only-b"].difference["value"] == pytest.approx(0.75 - 0.85)
    path = measured.write(ablation.out)
    assert json.loads(path.read_text()) == dataclasses.asdict(measured)
    markdown = path.with_suffix(".md").read_text()
    assert "| only-a | a | failed |" in markdown
    assert "| only-b | b | 0.7500 | ± 0.0000 | -0.1000 |" in markdown
    assert Image.open(ablation.out / "figures" / "difference.png").width > 500
    drawn = path.with_suffix(".html").read_text().partition("<svg")[2].partition("</svg>")[0]
    assert ">none<" in drawn
    assert ">only-b<" in drawn
    assert ">only-a<" not in drawn  # it has no difference


PUBLISHED = "published/pbc3200_ablations"


@pytest.mark.parametrize(("variant", "runs"), [("deep_efficientnet", 16), ("resnet18", 12)])
def test_the_published_ablations_are_found_by_name(variant, runs, tmp_path, monkeypatch):
    from bcjax import config as configs

    monkeypatch.chdir(tmp_path)
    config = configs.get(f"published/pbc3200:{variant}", {"data.source": "synthetic"})
    switches = ablations.read_switches(PUBLISHED, config)
    assert switches == ablations.read_switches(ROOT / "configs" / f"{PUBLISHED}.py", config)
    names = [switch.name for switch in switches]
    assert len(dict(ablations.kinds_of_run(names, ablations.MODES))) == runs
    if variant == "deep_efficientnet":
        early = ablations.apply(config, switches, ["squeeze_3"])
        assert (early.model.squeeze, early.model.dropout) == ((3,), 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import nothing_of_this_name", ("does not run", "nothing_of_this_name")),
        ("parts = {}", ("no function switches(config)",)),
        ("def switches(config): return 1 / 0", ("fails", "division by zero")),
        ("def switches(config): return ['decay']", ("['decay']", "a dict")),
        ("switches = {'decay': {'optim.weight_decai': 0}}", ("optim.weight_decay",)),
        ("switches = {}", ("names nothing",)),
    ],
)
def test_a_python_file_of_switches_that_is_wrong_is_named(text, named, tmp_path):
    from bcjax import config as configs

    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        ablations.read_switches(path, configs.default())
    assert all(name in str(raised.value) for name in named), raised.value
    assert "\n" not in str(raised.value)


def test_switches_in_python_may_be_a_mapping(tmp_path):
    from bcjax import config as configs

    path = tmp_path / "mine.py"
    path.write_text("switches = {'decay': {'optim.weight_decay': 0}}")
    assert ablations.read_switches(path, configs.default()) == ablations.read_switches(
        {"decay": {"optim.weight_decay": 0}}, configs.default()
    )
