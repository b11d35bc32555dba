"""Known answers give known figures in a comparison; the command writes them and names mistakes."""

import itertools
import json
import re

import numpy as np
import pytest
from commandline import TINY, contents, refused, run_bcjax
from fabricated import CLASSES, answers, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest
from webpage import Page, check_is_whole

from bcjax import config as configs
from bcjax import metrics
from bcjax.config import ImageSize
from bcjax.engine import network
from bcjax.metrics.resampling import Difference
from bcjax.models import MODELS, create
from bcjax.models.network import Count, count
from bcjax.reports.comparison import compare as compare_runs
from bcjax.reports.comparison.runs import find_runs
from bcjax.reports.comparison.significance import holm, pareto_front

N, ONLY_A, ONLY_B = 300, 5, 17


@pytest.fixture(scope="module")
def pair():
    """Two runs' hits and misses on the same pictures: 5 the first alone has right, 17 the other."""
    first, second = np.ones((2, N), bool)
    first[:ONLY_B] = False
    second[ONLY_B : ONLY_B + ONLY_A] = False
    first[-30:] = second[-30:] = False
    return first, second


def compared(*folders, metric="accuracy", evaluation="test"):
    found = compare_runs(*folders, evaluation=evaluation, metric=metric)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) is not None
    return found


@pytest.fixture
def known(pair, tmp_path):
    return [run(tmp_path / name, answers(hits)) for name, hits in zip("ab", pair, strict=True)]


def test_the_tests_are_those_of_the_pictures_that_one_alone_has_right(known):
    (test,) = compared(*known).tests
    assert (test.mcnemar.only_first, test.mcnemar.only_second) == (ONLY_B, ONLY_A)
    assert test.mcnemar.p == pytest.approx(binomtest(ONLY_A, ONLY_A + ONLY_B).pvalue)
    difference = test.difference
    mean = (ONLY_B - ONLY_A) / N
    deviation = np.sqrt(((ONLY_B + ONLY_A) / N - mean**2) / N)
    assert difference.value == pytest.approx(mean)
    assert difference.low == pytest.approx(mean - 1.96 * deviation, abs=0.01)
    assert difference.high == pytest.approx(mean + 1.96 * deviation, abs=0.01)
    assert difference.low > 0
    # Of one seed each: the networks differ on such pictures; of their configs nothing is known.
    assert difference.p is None
    assert not test.significant
    assert test.sentence.startswith(
        "b answers such pictures better than a: accuracy 0.8833 against 0.8433"
    )


def test_the_other_way_round_the_difference_is_the_opposite(known):
    ((one,), (other,)) = (compared(*each).tests for each in (known, known[::-1]))
    assert one.difference.value == -other.difference.value
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert one.mcnemar.p == other.mcnemar.p
    assert "a answers such pictures worse than b" in other.sentence


def test_identical_answers_are_said_to_be_so(pair, tmp_path):
    folders = [run(tmp_path / name, answers(pair[0])) for name in "ab"]
    (test,) = compared(*folders).tests
    assert test.difference == Difference(0.0, None, None)
    assert (test.p_holm, test.mcnemar.p, test.mcnemar_p_holm) == (None, None, None)
    assert test.sentence.startswith("b and a gave identical answers to all 300 pictures")


def test_as_many_right_answers_to_other_pictures_cannot_be_told_apart(pair, tmp_path):
    folders = [
        run(tmp_path / name, answers(hits))
        for name, hits in zip("ab", (pair[0], pair[0][::-1]), strict=True)
    ]
    (test,) = compared(*folders).tests
    assert test.difference.value == pytest.approx(0)
    assert test.difference.low < 0 < test.difference.high
    assert test.mcnemar.p == 1
    assert "cannot be told apart by these pictures" in test.sentence


@pytest.fixture
def of_seeds(tmp_path):
    """Makes runs of a config: right are so many of 300 pictures, one run for each seed."""

    def make(name, rights, **settings):
        return [
            run(tmp_path / f"{name}-seed-{seed}",
                answers(np.roll(np.arange(N) < right, 7 * seed)), seed=seed, **settings)
            for seed, right in enumerate(rights)
        ]  # fmt: skip

    return make


def test_runs_that_differ_in_their_seed_are_one_config(of_seeds):
    found = compared(*of_seeds("a", (250, 280)), *of_seeds("b", (250, 250), optim__lr=0.01))
    assert [(group.name, group.runs) for group in found.groups] == [
        ("a (2 seeds)", ("a-seed-0", "a-seed-1")),
        ("b (2 seeds)", ("b-seed-0", "b-seed-1")),
    ]
    assert found.groups[0].metric.mean == pytest.approx(265 / N)
    assert found.groups[0].metric.interval.endswith("t over runs and pictures")
    assert found.groups[0].metric.high <= 1
    assert [each for each in found.cautions if "seed" in each] == []
    (test,) = found.tests
    # By seed the differences are 0 and -0.1, whose mean pictures alone would call significant.
    assert (test.run, test.mcnemar) == ("b (2 seeds)", None)
    assert test.difference.value == pytest.approx(-0.05)
    assert test.difference.low < -0.2
    assert test.difference.p > 0.2
    assert "cannot be told apart by these seeds and pictures" in test.sentence
    assert found.per_class[0].difference.keys() == {"b (2 seeds)"}


def test_a_config_that_is_better_with_each_seed_is_better(of_seeds):
    found = compared(
        *of_seeds("a", (200, 201, 202)), *of_seeds("b", (290, 289, 291), optim__lr=0.01)
    )
    (test,) = found.tests
    assert test.significant
    assert test.difference.p < 0.01
    assert test.sentence.startswith("b (3 seeds) is better than a (3 seeds): accuracy 0.9667")


def test_a_config_with_one_seed_is_compared_without_p(of_seeds):
    found = compared(*of_seeds("a", (250, 260)), *of_seeds("b", (290,), optim__lr=0.01))
    (test,) = found.tests
    assert test.run == "b-seed-0"
    assert (test.difference.interval, test.difference.p) == ("bootstrap", None)
    (caution,) = (each for each in found.cautions if "seed" in each)
    assert caution.startswith("1 of 2 configs was trained with one seed: seed noise is not in")


def test_seeds_of_one_config_alone_have_a_mean_and_no_test(of_seeds, tmp_path):
    folders = of_seeds("a", (250, 260, 240))
    found = compared(*folders)
    assert (len(found.groups), found.tests) == (1, ())
    ran = run_bcjax("compare", *folders, f"--out={tmp_path / 'out'}")
    assert ran.status == 0, ran.err
    assert "t over runs and pictures" in ran.out


def test_the_same_seed_again_is_no_further_seed(pair, tmp_path):
    folders = [run(tmp_path / f"a-{i}", answers(hits)) for i, hits in enumerate(pair)]
    assert [group.name for group in compared(*folders).groups] == ["a-0", "a-1"]


def test_of_a_loss_less_is_better(known):
    found = compared(*known, metric="log_loss")
    (test,) = found.tests
    assert test.difference.high < 0
    assert "b answers such pictures better than a" in test.sentence


def test_pictures_of_one_group_do_not_count_as_many(pair, tmp_path):
    groups = [f"patient{i // 10}" for i in range(N)]
    folders = [
        run(tmp_path / name, answers(hits, groups=groups))
        for name, hits in zip("ab", pair, strict=True)
    ]
    (test,) = compared(*folders).tests
    assert test.mcnemar is None
    assert test.difference.interval == "group bootstrap"
    assert test.difference.low < 0 < test.difference.value


def test_several_runs_are_corrected_for_their_number(pair, tmp_path):
    folders = [run(tmp_path / name, answers(pair[name != "a"])) for name in "abc"]
    for test in compared(*folders).tests:
        assert test.mcnemar_p_holm == pytest.approx(2 * test.mcnemar.p)


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []


def test_pictures_of_one_run_alone_are_left_out_and_counted(pair, tmp_path):
    first = run(tmp_path / "a", answers(pair[0][:200]))
    second = run(tmp_path / "b", answers(pair[1][50:], first=50))
    found = compared(first, second)
    assert found.n == 150
    assert [each.left_out for each in found.runs] == [50, 100]
    assert "50 of a and 100 of b" in found.notes[0]
    common = answers(pair[1][50:200], first=50)
    own = metrics.measure(common.probabilities(), common.labels, CLASSES, resamples=300)
    assert found.runs[1].metrics == own.metrics
    assert found.per_class[0].recall["b"] == own.per_class[0].recall
    # None of the pictures that set them apart is among these.
    assert found.tests[0].difference.value == 0


def test_classes_in_another_order_are_the_same_classes(known, pair, tmp_path):
    ours = answers(pair[1])
    order = [2, 0, 1]
    turned = type(ours)(
        tuple(CLASSES[i] for i in order), ours.ids, ours.groups,
        np.argsort(order)[ours.labels], ours.logits[:, order],
    )  # fmt: skip
    found = compared(known[0], run(tmp_path / "c" / "b", turned))
    expected = compared(*known)
    assert found.tests[0].mcnemar == expected.tests[0].mcnemar
    for row, other in zip(found.per_class, expected.per_class, strict=True):
        assert list(row.recall.values()) == list(other.recall.values())


def test_each_class_has_its_own_difference(known, pair):
    for label, row in enumerate(compared(*known).per_class):
        hits = [each[label::3] for each in pair]
        assert row.n == len(hits[0])
        assert row.recall["a"].value == pytest.approx(hits[0].mean())
        expected = hits[1].mean() - hits[0].mean()
        assert row.difference["b"].value == pytest.approx(expected)


def test_costs_are_counted_or_read(pair, tmp_path):
    first = run(tmp_path / "a", answers(pair[0]), rate=100.0)
    second = run(tmp_path / "b", answers(pair[1]), data__image_size=32, model__hidden=(8,))
    (tmp_path / "b" / "sessions.jsonl").unlink()
    (tmp_path / "b" / "metrics.jsonl").unlink()
    one, other = compared(first, second).runs
    counted = count(network.build(configs.load(second), 3), ImageSize.of(32))
    assert (other.cost.parameters, other.cost.flops) == (counted.parameters, 2 * counted.macs)
    assert other.cost.flops > one.cost.flops
    assert one.cost.train_seconds == 60
    assert (one.cost.images_per_s, one.cost.seconds_per_picture) == (100, 0.01)
    assert one.cost.hardware == "2 cores of abacus"
    assert [one.cost.image_size, other.cost.image_size] == [16, 32]
    assert {other.cost.train_seconds, other.cost.images_per_s, other.cost.joules} == {None}
    assert one.curves.metric == [(3 * 64, 0.3), (5 * 64, 0.5)]
    assert (other.curves.loss, other.curves.metric) == ([], [])


def test_a_network_of_the_table_counts_as_published_whatever_its_options():
    entry = MODELS["resnet18"]
    published = Count(entry.parameters, entry.macs)
    assert (
        count(create("resnet18", classes=1000, remat=True), ImageSize.of(entry.input_size))
        == published
    )


def test_settings_that_differ_are_named_and_no_others(pair, tmp_path):
    first = run(tmp_path / "a", answers(pair[0]), optim__lr=0.01)
    second = run(tmp_path / "b", answers(pair[1]), augment__ops=())
    settings = compared(first, second).settings
    assert {setting.key: setting.values for setting in settings} == {
        "augment.ops": (("flip", "turn"), ()),
        "optim.lr": (0.01, 0.001),
    }


def test_notes_warn_of_what_a_reader_must_know(pair, tmp_path):
    first = run(tmp_path / "a", answers(pair[0]), about={"cautions": ["Chosen by these."]})
    second = run(tmp_path / "b", answers(pair[1]), about={"leaks": "The splits leak"})
    (second / "pictures.json").write_text('{"path": "", "digest": "d1"}')
    lines = (second / "sessions.jsonl").read_text()
    (second / "sessions.jsonl").write_text(lines.replace("abacus", "slide rule"))
    comparison = compared(first, second)
    *own, seeds = comparison.cautions
    assert own == ["a: Chosen by these.", "b: The splits leak."]
    assert seeds.startswith("Each config was trained with one seed: seed noise is not in")
    notes = comparison.notes
    assert any("not trained on the same pictures" in note for note in notes)
    assert any("hardware" in note for note in notes)


def test_what_is_not_known_is_not_called_different(pair, tmp_path):
    """A folder of members has no sessions of its own: its hardware is that of its members."""
    first = run(tmp_path / "a", answers(pair[0]))
    second = run(tmp_path / "b", answers(pair[1]))
    (second / "member-0").mkdir()
    (second / "config.json").rename(second / "member-0" / "config.json")
    configs.save(configs.load(second / "member-0"), second / "config.json")
    (second / "sessions.jsonl").rename(second / "member-0" / "sessions.jsonl")
    (second / "pictures.json").unlink()
    found = compared(first, second)
    assert found.notes == ()
    assert [each.cost.hardware for each in found.runs] == ["2 cores of abacus"] * 2
    (second / "member-0" / "sessions.jsonl").unlink()
    assert compared(first, second).notes == ()


def test_a_folder_of_members_stands_for_its_members(pair, tmp_path):
    for member in (10, 2, 0):
        run(tmp_path / f"member-{member}", answers(pair[0]))
    alone = run(tmp_path / "other", answers(pair[1]))
    names = [each.name for each in compared(tmp_path).runs]
    assert names == ["member-0", "member-2", "member-10"]
    assert len(find_runs([tmp_path, alone])) == 4
    configs.save(configs.default(), tmp_path / "config.json")  # an ordinary run beside another
    assert find_runs([tmp_path, alone]) == [tmp_path, alone]


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@settings(max_examples=200)
@given(points)
def test_the_front_is_what_nothing_dominates(drawn):
    cost, value = np.array(drawn, float).T

    def beats(i, j):
        no_worse = cost[i] <= cost[j] and value[i] >= value[j]
        return no_worse and (cost[i] < cost[j] or value[i] > value[j])

    best = set(np.flatnonzero(pareto_front(cost, value)))
    everything = range(len(drawn))
    assert best
    assert not any(beats(i, j) for i, j in itertools.product(everything, best))
    assert all(any(beats(i, j) for i in best) for j in set(everything) - best)


def test_the_front_is_of_costs_that_differ(pair, tmp_path):
    first = run(tmp_path / "a", answers(pair[0]), rate=50.0)
    second = run(tmp_path / "b", answers(pair[1]), rate=100.0)
    assert compared(first, second).pareto == {"seconds_per_picture": ("b",)}
    assert compared(first, second, metric="log_loss").pareto == {"seconds_per_picture": ("b",)}
    third = run(tmp_path / "c", answers(pair[0]), rate=200.0)
    assert compared(first, second, third).pareto == {"seconds_per_picture": ("b", "c")}


HITS = np.arange(60) % 5 > 0


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """A comparison of two trained runs: what was printed, and the folder."""
    folder = tmp_path_factory.mktemp("compare")
    workdir = folder / "shorter"
    ran = run_bcjax("train", *TINY, "--config.train.length=4 steps", f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    out = folder / "new" / "compare"
    ran = run_bcjax("compare", trained.workdir, workdir, f"--out={out}")
    assert ran.status == 0, ran.err
    return ran, out


def test_the_runs_are_printed_beside_each_other(written, trained):
    ran, out = written
    assert str(out / "compare.html") in ran.out
    assert trained.workdir.name in ran.out
    for text in ("elu_cnn", "1,426,376", "macro F1", "McNemar p", "seed noise is not in"):
        assert text in ran.out, text


def test_page_markdown_figures_and_json_say_the_same(written):
    _, out = written
    found = json.loads((out / "compare.json").read_text())
    page, markdown = ((out / f"compare.{kind}").read_text() for kind in ("html", "md"))
    (test,) = found["tests"]
    assert [row["key"] for row in found["settings"]] == ["train.length"]
    shown = f"{test['difference']['value']:+.4f}"
    for text in (page, markdown):
        assert shown in text
        assert "4 steps" in text
        assert all(name in text for name in found["classes"])
    named = set(re.findall(r"\]\((figures/\S+\.png)\)", markdown))
    assert named == {str(path) for path in contents(out) if path.suffix == ".png"}
    assert {"figures/metric.png", "figures/curve_loss.png", "figures/classes.png"} <= named
    for name in named:
        assert np.asarray(Image.open(out / name).convert("L")).std() > 0
    assert {str(path) for path in contents(out)} == named | {
        "compare.html", "compare.md", "compare.json",
    }  # fmt: skip


def test_the_page_needs_nothing_from_elsewhere(written):
    page = Page((written[1] / "compare.html").read_text())
    check_is_whole(page)
    assert len(page.all("svg")) >= 5


@pytest.fixture
def compare(tmp_path):
    """Compares; whatever is refused leaves nothing."""

    def call(*arguments):
        out = tmp_path / "compare"
        ran = run_bcjax("compare", *arguments, f"--out={out}")
        assert ran.status == 0 or not out.exists()
        return ran

    return call


@pytest.fixture
def one(tmp_path):
    return run(tmp_path / "one", answers(HITS))


def test_two_runs_are_needed_and_each_once(compare, one, tmp_path):
    refused(compare(), "bcjax compare runs/a runs/b")
    refused(compare(one), one, "two runs")
    refused(compare(one, one), one, "twice")
    refused(compare(one, tmp_path / "nowhere"), tmp_path / "nowhere", "no such folder")
    refused(compare(tmp_path / "nowhere"), tmp_path / "nowhere", "no such folder")
    (tmp_path / "empty").mkdir()
    refused(compare(one, tmp_path / "empty"), tmp_path / "empty", "config.json")
    refused(compare(one, "--metrc=x"), "--metrc", "metric")


def test_a_missing_evaluation_is_named_with_its_command(compare, one, tmp_path):
    other = run(tmp_path / "other", answers(HITS))
    (other / "eval" / "test.json").rename(other / "eval" / "val.json")
    command = f"bcjax evaluate --workdir={other} --split=test"
    refused(compare(one, other), other, command, "val")
    (other / "eval" / "val.json").rename(other / "eval" / "test.json")
    (other / "eval" / "test.parquet").unlink()
    refused(compare(one, other), other, "bcjax evaluate")


def test_a_damaged_evaluation_is_named(compare, one, tmp_path):
    other = run(tmp_path / "other", answers(HITS))
    page = other / "eval" / "test.json"
    whole = json.loads(page.read_text())
    page.write_text(json.dumps(whole | {"n": 59}))
    refused(compare(one, other), page, "one evaluation")
    page.write_text(json.dumps(whole)[:40])
    refused(compare(one, other), page, "damaged")


def test_other_classes_are_named(compare, one, tmp_path):
    other = run(tmp_path / "other", answers(HITS, classes=("basophil", "monocyte", "platelet")))
    refused(compare(one, other), "lacks eosinophil", "has platelet", one, other)


def test_other_pictures_and_other_labels_are_refused(compare, one, tmp_path):
    other = run(tmp_path / "other", answers(HITS, first=1000))
    refused(compare(one, other), "no picture in common", one, other)
    moved = answers(HITS)
    moved.labels[7] = 0
    other = run(tmp_path / "moved", moved)
    refused(compare(one, other), "cell7.png (basophil, not eosinophil)", other)


def test_an_unknown_metric_is_answered_with_the_known(compare, one, tmp_path):
    other = run(tmp_path / "other", answers(HITS))
    refused(compare(one, other, "--metric=beauty"), "beauty", "accuracy", "log_loss")


def test_out_may_not_be_a_file(one, tmp_path):
    out = tmp_path / "file"
    out.write_text("mine")
    refused(run_bcjax("compare", one, one, f"--out={out}"), out)
    assert out.read_text() == "mine"
