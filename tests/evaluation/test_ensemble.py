"""Answers averaged by picture, and `bcjax evaluate` with several runs, checkpoints and views."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from commandline import contents, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from ready_runs import near_each_other, settled, variables_of, write

from bcjax.evaluation import answers as written
from bcjax.evaluation import ensemble
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluation import Evaluation
from bcjax.runtime.errors import UserError


def answers(n=12, seed=0, classes=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    return Answers(
        classes=tuple(classes),
        ids=tuple(f"{i}.png" for i in range(n)),
        groups=("",) * n,
        labels=np.arange(n) % len(classes),
        logits=rng.normal(scale=4, size=(n, len(classes))).astype(np.float32),
    )


def permuted(of, order):
    return dataclasses.replace(
        of,
        ids=tuple(of.ids[i] for i in order),
        labels=of.labels[order],
        logits=of.logits[order],
    )


@settings(max_examples=30)
@given(st.integers(2, 5), st.randoms(use_true_random=False))
def test_the_average_is_of_probabilities_picture_by_picture(count, random):
    voices = [answers(seed=seed) for seed in range(count)]
    orders = [random.sample(range(12), 12) for _ in voices]
    shuffled = [permuted(voice, order) for voice, order in zip(voices, orders, strict=True)]
    mean = np.mean([voice.probabilities() for voice in voices], axis=0)
    found = ensemble.average(shuffled)
    assert found.ids == shuffled[0].ids
    np.testing.assert_allclose(found.probabilities(), mean[orders[0]], atol=1e-6)


def test_what_is_said_twice_weighs_as_once():
    one = answers()
    assert ensemble.average([one]) is one
    twice = ensemble.average([one, one]).probabilities()
    np.testing.assert_allclose(twice, one.probabilities(), atol=1e-6)


def test_the_average_is_finite_where_every_voice_is_sure():
    sure = dataclasses.replace(answers(), logits=np.eye(3, dtype=np.float32)[[0] * 12] * 3000)
    found = ensemble.average([sure, sure])
    assert np.isfinite(found.logits).all()
    assert (found.probabilities().argmax(axis=1) == 0).all()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (answers(classes="abd"), "they differ in class names (1 only here, such as 'c'; 1 only"),
        (answers(classes="acb"), "they differ in class names (their order)"),
        (answers(n=11), "they differ in picture names (1 only here, such as '11.png')"),
        (
            dataclasses.replace(answers(), labels=np.zeros(12, int)),
            "the picture '1.png' is labelled a there and b here",
        ),
    ],
    ids=["classes", "order of classes", "pictures", "labels"],
)
def test_what_does_not_fit_is_refused_by_name(other, said):
    with pytest.raises(UserError) as caught:
        ensemble.average([answers(), other], ["runs/one", "runs/other"])
    assert "runs/other cannot be averaged with runs/one" in str(caught.value)
    assert said in str(caught.value)


# bcjax evaluate


def evaluation(workdir, name):
    result = json.loads((workdir / "eval" / f"{name}.json").read_text())
    assert Evaluation.from_dict(result).to_dict() == result
    return result, written.read(workdir / "eval" / f"{name}.parquet")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two networks of one kind."""
    return near_each_other(tmp_path_factory.mktemp("runs"), "ab")


@pytest.fixture
def own(runs, tmp_path):
    """Copies of them."""
    return [shutil.copytree(workdir, tmp_path / workdir.name) for workdir in runs]


def test_checkpoints_of_a_run_are_averaged_each_once(bcjax, own_run):
    ran = bcjax("evaluate", f"--workdir={own_run}", "--checkpoint=latest, 4, 6")
    assert ran.status == 0, ran.err
    result, found = evaluation(own_run, "test-ensemble")
    assert [page["checkpoint"] for page in result["ensemble"]] == [6, 4]
    assert found.n == result["n"] == 8


def test_runs_and_views_are_averaged_together(bcjax, own):
    asked = ("--split=val", "--views=flip")
    ran = bcjax("evaluate", f"--workdir={own[0]}", f"--with={own[1]}", *asked)
    assert ran.status == 0, ran.err
    assert "val split, ensemble of 2, n = 16" in ran.out
    result, found = evaluation(own[0], "val-ensemble-views")
    members, views = result["ensemble"], result["views"]
    assert [(page["workdir"], page["checkpoint"]) for page in members] == [
        (str(workdir), 0) for workdir in own
    ]
    assert [page["view"] for page in views] == ["as it is", "mirrored"]
    assert all("accuracy" in page["metrics"] for page in (*members, *views))
    assert result["cautions"] == [
        "The checkpoint was chosen by these pictures: others may be answered less well."
    ]
    alone = []
    for workdir, page in zip(own, members, strict=True):
        assert bcjax("evaluate", f"--workdir={workdir}", *asked).status == 0
        by_itself, answered = evaluation(workdir, "val-views")
        assert "ensemble" not in by_itself
        figures = {name: by_itself["metrics"][name]["value"] for name in page["metrics"]}
        assert figures == page["metrics"]
        alone.append(answered.probabilities())
    mean = np.mean(alone, axis=0)
    np.testing.assert_allclose(found.probabilities(), mean, atol=1e-6)
    assert result["metrics"]["accuracy"]["value"] == np.mean(mean.argmax(axis=1) == found.labels)


def test_the_view_as_it_is_alone_is_the_evaluation_itself(bcjax, own):
    bcjax("evaluate", f"--workdir={own[0]}")
    bcjax("evaluate", f"--workdir={own[0]}", "--views=crop(1)")
    plain, views = (evaluation(own[0], name) for name in ("test", "test-views"))
    assert np.array_equal(plain[1].logits, views[1].logits)
    assert plain[0].items() <= views[0].items()


def test_runs_with_other_pictures_are_refused(bcjax, own, tmp_path):
    config = settled(images=120)
    other = write(config, variables_of(config), tmp_path / "other")
    before = contents(own[0])
    ran = bcjax("evaluate", f"--workdir={own[0]}", f"--with={other}")
    refused(ran, other, own[0], "they differ in picture names")
    assert contents(own[0]) == before


@pytest.mark.parametrize("command", ["evaluate --soup=greedy", "report", "evaluate --views=flip"])
def test_a_run_that_is_missing_is_said_to_be_missing(bcjax, command, tmp_path):
    nowhere = tmp_path / "nowhere"
    ran = bcjax(*command.split(), f"--workdir={nowhere}")
    refused(ran, f"{nowhere} holds no run: there is no such folder")
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--views=flip,trun"], ["'trun'", "did you mean 'turn'?"]),
        (["--with=nowhere"], ["nowhere holds no run: there is no such folder"]),
        (["--checkpoint=best,5"], ["holds no checkpoint '5'"]),
        (["--checkpoint=latest,0"], ["name another checkpoint, or another run"]),
        (["--views=flip", "--watch"], ["--watch", "averages nothing"]),
        (["--soup=greedy"], ["soup=greedy needs several networks"]),
        (["--with=runs/b", "--out=runs/soup"], ["out is where a soup is written", "soup=greedy"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--") else "",
)
def test_a_mistake_is_said_before_anything_is_written(bcjax, own, flags, said):
    before = contents(own[0])
    refused(bcjax("evaluate", f"--workdir={own[0]}", *flags), *said)
    assert contents(own[0]) == before
