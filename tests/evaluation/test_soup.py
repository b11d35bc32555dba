"""The mean of networks' weights: which are in it, and the batch statistics that are then theirs."""

import dataclasses
import json
import shutil

import flax.linen as nn
import jax
import numpy as np
import pytest
from commandline import contents, refused
from hypothesis import given
from hypothesis import strategies as st
from ready_runs import SIZE, near_each_other, noisy, settled, variables_of, write
from tiny import same_bits

from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.engine import network
from bcjax.evaluation import answers as written
from bcjax.evaluation import soup
from bcjax.evaluation.batch_statistics import BatchStatistics
from bcjax.evaluation.evaluation import Evaluation
from bcjax.models.norm import Norm
from bcjax.runtime import mesh as meshes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three networks near each other."""
    return near_each_other(tmp_path_factory.mktemp("runs"), "abc")


@pytest.fixture
def own(runs, tmp_path):
    """Copies of them."""
    return [shutil.copytree(workdir, tmp_path / workdir.name) for workdir in runs]


def evaluation(workdir, name):
    result = json.loads((workdir / "eval" / f"{name}.json").read_text())
    assert Evaluation.from_dict(result).to_dict() == result
    return result, written.read(workdir / "eval" / f"{name}.parquet")


def value(result, name="accuracy"):
    return result["metrics"][name]["value"]


# the mean


@given(st.integers(1, 7), st.integers(0, 99))
def test_the_mean_of_equal_weights_is_those_weights_to_the_bit(count, seed):
    rng = np.random.default_rng(seed)
    tree = {"params": {"kernel": rng.normal(size=(3, 4)).astype(np.float32)}, "batch_stats": {}}
    assert same_bits(soup.mean([tree] * count), tree)


def test_the_mean_is_of_each_number():
    trees = [{"kernel": np.float32([1, 2])}, {"kernel": np.float32([3, 7])}]
    assert np.array_equal(soup.mean(trees)["kernel"], np.float32([2, 4.5]))


# greedy


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 99))
def test_greedy_is_never_worse_than_the_best_ingredient(scores, seed):
    rng = np.random.default_rng(seed)
    known = {(position,): score for position, score in enumerate(scores)}
    asked = []

    def score(kept):
        asked.append(kept)
        return known.setdefault(kept, rng.random())

    made, kept = soup.greedy(len(scores), lambda positions: positions, score)
    assert made == kept
    assert known[kept] >= max(scores)
    assert kept[0] == max(range(len(scores)), key=lambda position: scores[position])
    assert len(asked) == 2 * len(scores) - 1  # each alone, then each with those before it


def test_greedy_keeps_what_does_no_harm_and_leaves_out_what_does():
    scores = {(0,): 0.7, (1,): 0.9, (2,): 0.8, (1, 2): 0.9, (1, 2, 0): 0.89}
    assert soup.greedy(3, lambda positions: positions, scores.get) == ((1, 2), (1, 2))


# batch statistics


class Normed(nn.Module):
    """Statistics of the pictures themselves, then of what a layer makes of them."""

    @nn.compact
    def __call__(self, images, train=False):
        x = Norm(epsilon=0.0, name="first")(images, train)
        x = nn.Dropout(0.5, deterministic=not train)(nn.Dense(3, name="between")(x))
        return Norm(epsilon=0.0, name="second")(x, train)


def test_statistics_are_those_of_the_training_pictures(runs):
    trained = dataclasses.replace(network.load(runs[0], "latest", meshes.create()), model=Normed())
    start = jax.device_get(Normed().init(jax.random.key(0), np.zeros((1, SIZE, SIZE, 3))))
    ingredients = [start, noisy(start, 0.1, 1)]
    ingredients[1]["batch_stats"]["first"] = {"mean": np.ones(3), "var": np.full(3, 2.0)}
    found = BatchStatistics(runs[0], trained, ingredients)(start)
    assert same_bits(found["params"], start["params"])

    data = trained.config.data
    prepared = prepare(data)
    examples = prepared.examples("train")
    pictures = np.stack(
        [InputTransform.from_config(data)(each.image) for each in examples[range(len(examples))]]
    )
    settings = trained.config.model
    pixels = ((pictures / 255 - settings.mean) / settings.std).reshape(-1, 3)
    assert len(pictures) % trained.config.train.batch_size == 0  # so that each one is seen
    first, second = found["batch_stats"]["first"], found["batch_stats"]["second"]
    np.testing.assert_allclose(first["mean"], pixels.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(first["var"], pixels.var(axis=0), rtol=1e-4)
    # Of what is normalised by the batch at hand, and not thinned out, a linear layer's mean is its
    # bias.
    np.testing.assert_allclose(second["mean"], start["params"]["between"]["bias"], atol=1e-5)


def test_statistics_that_no_training_moved_stay(runs):
    trained = network.load(runs[0], "latest", meshes.create())
    variables = jax.device_get(trained.variables)
    again = BatchStatistics(runs[0], trained, [variables, variables])(variables)
    assert same_bits(again, variables)


def test_batch_statistics_of_a_soup_are_taken_anew(bcjax, own, tmp_path):
    ran = bcjax(
        "evaluate", f"--workdir={own[0]}", f"--with={own[1]}", "--soup=uniform",
        f"--out={tmp_path / 'soup'}",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    made, one, other = (
        jax.device_get(network.load(workdir, "latest", meshes.create()).variables)
        for workdir in (tmp_path / "soup", *own[:2])
    )
    plain = soup.mean([one, other])
    assert same_bits(made["params"], plain["params"])
    taken, averaged = (jax.tree.leaves(each["batch_stats"]) for each in (made, plain))
    assert all(np.abs(a / b - 1).max() > 0.1 for a, b in zip(taken, averaged, strict=True))


# bcjax evaluate


def test_a_soup_is_a_run_that_answers_as_was_measured(bcjax, own, tmp_path):
    made = tmp_path / "soup"
    ran = bcjax(
        "evaluate", f"--workdir={own[0]}", f"--with={own[1]},{own[2]}", "--soup=greedy",
        "--split=val", f"--out={made}",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert "greedy soup of 3" in ran.out
    result, answers = evaluation(own[0], "val-soup")
    page = result["soup"]
    assert (page["kind"], page["chosen_on"], page["chosen_by"]) == ("greedy", "val", "accuracy")
    assert [each["workdir"] for each in page["ingredients"]] == [str(path) for path in own]
    assert any(each["kept"] for each in page["ingredients"])
    best = max(each["metrics"]["accuracy"] for each in page["ingredients"])
    assert value(result) >= best
    assert (
        "The soup was chosen by these pictures: others may be answered less well."
        in (result["cautions"])
    )
    assert json.loads((made / "soup.json").read_text()) == page
    assert (made / "pictures.json").read_bytes() == (own[0] / "pictures.json").read_bytes()

    assert bcjax("evaluate", f"--workdir={made}", "--split=val").status == 0
    again, alone = evaluation(made, "val")
    np.testing.assert_array_equal(alone.logits, answers.logits)
    assert again["metrics"] == result["metrics"]


@pytest.mark.parametrize("kind", soup.KINDS)
def test_a_soup_of_one_network_is_that_network(bcjax, own, tmp_path, kind):
    twin = shutil.copytree(own[0], tmp_path / "twin")
    bcjax("evaluate", f"--workdir={own[0]}", f"--with={twin}", f"--soup={kind}")
    bcjax("evaluate", f"--workdir={twin}")
    result, answers = evaluation(own[0], "test-soup")
    np.testing.assert_array_equal(answers.logits, evaluation(twin, "test")[1].logits)
    assert all(each["kept"] for each in result["soup"]["ingredients"])
    assert not any("chosen by these pictures" in sentence for sentence in result["cautions"])


def test_networks_that_do_not_mix_are_refused(bcjax, own, tmp_path):
    config = settled(hidden=(9,))
    other = write(config, variables_of(config), tmp_path / "other")
    before = contents(own[0])
    ran = bcjax("evaluate", f"--workdir={own[0]}", f"--with={other}", "--soup=uniform",
                f"--out={tmp_path / 'soup'}")  # fmt: skip
    refused(ran, other, "model.hidden", "(9,) there", "(8,) here")
    ran = bcjax("evaluate", f"--workdir={own[0]}", f"--with={own[1]}", "--soup=uniform",
                f"--out={own[2]}")  # fmt: skip
    refused(ran, own[2], "is not empty")
    assert contents(own[0]) == before
    assert not (tmp_path / "soup").exists()
