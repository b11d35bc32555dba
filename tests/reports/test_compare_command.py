"""`bcjax compare`, end to end: two runs that were trained, and the ways of getting it wrong."""

import json
import re

import numpy as np
import pytest
from commandline import TINY, contents, refused, run_bcjax
from fabricated import answers, run
from PIL import Image
from webpage import Page, check_is_whole

HITS = np.arange(60) % 5 > 0


@pytest.fixture(scope="module")
def told(trained, tmp_path_factory):
    """A comparison of two trained runs: what was printed, and the folder."""
    folder = tmp_path_factory.mktemp("compare")
    workdir = folder / "shorter"
    ran = run_bcjax("train", *TINY, "--config.train.length=4 steps", f"--workdir={workdir}")
    assert ran.status == 0, ran.err
    out = folder / "new" / "compare"
    ran = run_bcjax("compare", trained.workdir, workdir, f"--out={out}")
    assert ran.status == 0, ran.err
    return ran, out


def test_the_runs_are_printed_beside_each_other(told, trained):
    ran, out = told
    assert str(out / "compare.html") in ran.out
    assert trained.workdir.name in ran.out
    for said in ("elu_cnn", "1,426,376", "macro F1", "McNemar p", "cannot be told apart by"):
        assert said in ran.out, said


def test_page_markdown_figures_and_json_say_the_same(told):
    _, out = told
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


def test_the_page_needs_nothing_from_elsewhere(told):
    page = Page((told[1] / "compare.html").read_text())
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
    refused(compare(one, tmp_path / "nowhere"), tmp_path / "nowhere", "config.json")
    refused(compare(one, "--metrc=x"), "--metrc", "metric")


def test_a_run_without_the_evaluation_is_told_how_to_get_it(compare, one, tmp_path):
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
