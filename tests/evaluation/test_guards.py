"""What may be said of a figure: leaks through the ancestry of a network, in every output, first."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from commandline import contents, refused, run_bcjax
from places import SUPPORT
from pyarrow import parquet
from ready_runs import noisy, settled, variables_of, write

from bcjax import config as configs
from bcjax.data.ancestry import Ancestor, Ancestry
from bcjax.data.preparation import prepare
from bcjax.engine import weights
from bcjax.evaluation.evaluate import evaluate
from bcjax.evaluation.evaluation import Evaluation, read_with_answers
from bcjax.evaluation.guards.pictures import EvaluatedSplit, about_watched, of_average
from bcjax.evaluation.member_summary import evaluate_together
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training.run import Run

ALL = np.arange(70, dtype=np.uint64)
WELL, MAY = "others will be answered less well.", "others may be answered less well."


def split_anew(seed, **model):
    """The config of a run on the same drawings, split in its own way."""
    return configs.replaced(settled(**model), {"data.resplit": True, "data.split_seed": seed})


@pytest.fixture(scope="module")
def split_otherwise(tmp_path_factory):
    """Two networks near each other, whose pictures are the same and split otherwise."""
    folder = tmp_path_factory.mktemp("runs")
    start = noisy(variables_of(settled()), 0.1, 0)
    return [
        write(split_anew(seed), noisy(start, 0.4, seed), folder / name)
        for seed, name in enumerate("ad")
    ]


@pytest.fixture
def a_and_d(split_otherwise, tmp_path):
    return [shutil.copytree(workdir, tmp_path / workdir.name) for workdir in split_otherwise]


def shared(a, d, split="train"):
    """The number of a's test pictures that are in a split of d, and of all."""
    tested, theirs = (prepare(configs.load(run).data) for run in (a, d))
    of_a = tested.digests("test")
    return int(np.isin(of_a, theirs.digests(split)).sum()), len(of_a)


# the roads on which pictures come into a network


def test_a_soup_says_which_tested_pictures_trained_its_ingredients_also_when_they_are_gone(
    split_otherwise, a_and_d, tmp_path
):
    (a, d), soup = a_and_d, tmp_path / "soup"
    count, n = shared(a, d)
    assert 0 < count < n
    named = split_otherwise[1]  # as it was called when it trained
    sentence = (
        f"{count} of {n} test pictures trained {named}, from which these weights come: {WELL}"
    )
    evaluation = evaluate(a, runs=[d], soup="uniform", out=soup)
    assert evaluation.cautions[0] == sentence
    again = evaluate(a, runs=[soup], soup="uniform", out=tmp_path / "soup of a soup")
    assert again.cautions[0] == sentence
    shutil.rmtree(d)
    for run in (soup, tmp_path / "soup of a soup"):
        assert evaluate(run).cautions[0] == sentence
    chose, _ = shared(a, split_otherwise[1], "val")
    said = f"{chose} of {n} test pictures chose the checkpoint of {named}"
    assert any(said in each for each in evaluate(soup).cautions) == bool(chose)


def test_a_run_that_begins_with_imported_weights_of_a_run_has_its_pictures(
    split_otherwise, a_and_d, tmp_path
):
    (_, d), imported = a_and_d, tmp_path / "imported"
    settings = configs.replaced(split_anew(0), {"model.weights_head": "keep"})
    read = weights.read(d, settings)
    weights.write(read, imported, read.classes)
    shutil.rmtree(d)
    config = configs.replaced(
        settings, {"model.weights": str(imported), "workdir": str(tmp_path / "fine")}
    )
    run = Run(config)
    run.close()
    shutil.rmtree(imported)
    for _ in range(2):  # and when it goes on
        (sentence, *_) = EvaluatedSplit.of_run(
            run.workdir, run.config, run.prepared, "test"
        ).cautions
        count, n = shared(*split_otherwise)
        assert sentence.startswith(f"{count} of {n} test pictures trained {split_otherwise[1]}, ")
        run = Run(config)
        run.close()
    watched = about_watched([run.workdir, tmp_path / "gone"])  # as sweeps and ablations say it
    assert re.match(rf"\d+ of \d+ val pictures trained {split_otherwise[1]}, ", watched[0])


def test_members_say_of_each_what_does_not_hold_of_all(a_and_d):
    evaluation, answered = read_with_answers(evaluate(a_and_d[0]).path)
    evaluated = {
        workdir: (dataclasses.replace(evaluation, cautions=said), answered)
        for workdir, said in zip(a_and_d, (("All.", "One."), ("All.",)), strict=True)
    }
    together, _ = evaluate_together(configs.load(a_and_d[0]), evaluated)
    assert together.cautions == ("All.", "a: One.")


# sentences


def pictures(ancestry, own=True, **about):
    split = "test" if own else "all"
    return EvaluatedSplit(split, "cells", own, digests=ALL, ancestry=ancestry, **about)


def made(name, trained=0, chose=0, origin="known"):
    return Ancestor(name, origin, ALL[:trained], ALL[70 - chose :])


@pytest.mark.parametrize(
    ("ancestry", "own", "said"),
    [
        (Ancestry(), True, []),
        (Ancestry(made("a", 70)), True, [f"The network was trained on these pictures: {WELL}"]),
        (
            Ancestry(made("a", 9)), False,
            [f"The network was trained on 9 of these 70 pictures: {WELL}"],
        ),
        (Ancestry(made("a", 0, 70)), True, [f"The checkpoint was chosen by these pictures: {MAY}"]),
        (
            Ancestry(made("a"), (made("d", 49), made("e", 20))), False,
            [
                "49 of these 70 pictures trained d (49) and e (20), from which these weights come: "
                + WELL
            ],
        ),
        (
            Ancestry(made("a"), tuple(made(f"r{n}", 9 - n) for n in range(5))), True,
            [
                "9 of 70 test pictures trained r0 (9), r1 (8), r2 (7) and 2 more, from which these "
                f"weights come: {WELL}"
            ],
        ),
        (
            Ancestry(made("a", 5), (made("d", 5),)), True,  # said already of the network itself
            [f"The network was trained on 5 of these 70 pictures: {WELL}"],
        ),
        (
            Ancestry(made("a", origin="lost")), True,
            ["Whether the network was trained on any of these pictures is not known."],
        ),
        (
            Ancestry(None, (made("w.pth", origin="published classifier"),)), False,
            ["Whether the network was trained on any of these pictures is not known."],
        ),
        (Ancestry(made("a"), (made("w.pth", origin="published"),)), True, []),
        (
            Ancestry(made("a"), (made("d", origin="lost"),)), True,
            [
                "Which pictures trained d, from which these weights come, is not known: some of "
                "these may be among them."
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_tested_pictures(ancestry, own, said):
    assert list(pictures(ancestry, own).cautions) == said


def test_an_average_of_answers_names_the_runs_where_they_differ():
    a, d = Ancestry(made("a")), Ancestry(made("d", 49))
    assert of_average([pictures(a), pictures(d, known=("Changed.",))], "answers").cautions == (
        f"49 of 70 test pictures trained d, from which these answers come: {WELL}",
        "Changed.",
    )
    alike = of_average([pictures(d), pictures(Ancestry(made("e", 49)))], "weights")
    assert alike.cautions == (f"The network was trained on 49 of these 70 pictures: {WELL}",)


# every output

SENTENCE = "8 of 8 test pictures trained runs/gone, from which these weights come"


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """A run that was evaluated in every way, whose test pictures trained a run that is gone."""
    folder = tmp_path_factory.mktemp("leaking")
    config = settled()
    runs = [write(config, noisy(variables_of(config), 0.1, seed), folder / name)
            for seed, name in enumerate("ab")]  # fmt: skip
    for run in runs:
        known = Ancestry.read(run)
        tested = np.sort(prepare(config.data).digests("test"))
        Ancestry(known.own, (Ancestor("runs/gone", "known", tested),)).write(run)
    shown = {}
    for name, command in {
        "evaluate": ("evaluate",),
        "watch": ("evaluate", "--watch"),
        "views": ("evaluate", "--views=flip"),
        "corruptions": ("evaluate", "--corruptions"),
        "ensemble": ("evaluate", f"--with={runs[1]}"),
        "soup": ("evaluate", f"--with={runs[1]}", "--soup=uniform"),
        "report": ("report",),
    }.items():
        ran = run_bcjax(*command, f"--workdir={runs[0]}")
        assert ran.status == 0, ran.err
        shown[name] = ran.out
    assert run_bcjax("evaluate", f"--workdir={runs[1]}").status == 0
    ran = run_bcjax("compare", *runs, f"--out={folder / 'compare'}")
    assert ran.status == 0, ran.err
    shown["compare"] = ran.out
    evaluation = Evaluation.read(RunDir(runs[0]).evaluation("test"))
    shown["notebook"] = repr(evaluation)
    for page in ("report.html", "report.md", "README.md"):
        shown[page] = (runs[0] / page).read_text()
    for page in ("compare.html", "compare.md"):
        shown[page] = (folder / "compare" / page).read_text()
    return runs[0], folder / "compare", shown


@pytest.mark.parametrize(
    "output",
    [
        "evaluate", "watch", "views", "corruptions", "ensemble", "soup", "compare", "notebook",
        "report.html", "report.md", "README.md", "compare.html", "compare.md",
    ],
)  # fmt: skip
def test_every_output_shows_the_cautions_first(leaking, output):
    text = re.sub(r"\s+", " ", leaking[2][output].partition("<body")[2] or leaking[2][output])
    text = text.replace("\\", "")
    if output == "README.md":
        text = text.partition("# ")[2]  # below what a hub reads
    figure = re.search(r"\b(0\.\d{3,4}|1\.0000|\d+\.\d %)", text)
    assert SENTENCE in text
    assert text.index(SENTENCE) < figure.start()


@pytest.mark.parametrize(
    "name", ["test", "test-0", "test-views", "test-ensemble", "test-soup", "test-corruptions"]
)
def test_every_json_and_the_kept_answers_have_the_cautions_under_one_key(leaking, name):
    run = RunDir(leaking[0])
    page = json.loads(run.evaluation(name).read_text())
    assert page["cautions"][0].startswith(SENTENCE)
    if run.answers(name).exists():
        metadata = parquet.read_schema(run.answers(name)).metadata
        assert json.loads(metadata[b"cautions"]) == page["cautions"]


def test_figures_at_home_beside_other_data_have_their_cautions_too(bcjax, leaking, tmp_path):
    run = shutil.copytree(leaking[0], tmp_path / "run")
    source = json.loads(RunDir(run).pictures.read_text())["path"]
    ran = bcjax("evaluate", f"--workdir={run}", f"--data.source={source}", "--split=train")
    assert ran.status == 0, ran.err
    said = ran.out.partition("split")[0]
    assert re.search(r"was trained on (\d+) of these \1 pictures", said)
    assert "At home: 8 of 8 test pictures" in said


def test_the_json_of_a_comparison_has_them_too(leaking):
    page = json.loads((leaking[1] / "compare.json").read_text())
    said = [each for each in page["cautions"] if SENTENCE in each]
    assert [each.partition(":")[0] for each in said] == ["a", "b"]


def test_training_begins_and_ends_with_the_cautions_above_the_figure(bcjax, tmp_path):
    quick = (f"--config={SUPPORT / 'quick_config.py'}", "--config.eval.report=false",
             "--config.data.resplit=true")  # fmt: skip
    first, fine = (tmp_path / name for name in ("first", "fine"))
    assert bcjax("train", *quick, "--config.data.split_seed=1", f"--workdir={first}").status == 0
    ran = bcjax("train", *quick, f"--config.model.weights={first}", f"--workdir={fine}")
    assert ran.status == 0, ran.err
    count, n = shared(fine, first)
    text = re.sub(r"\s+", " ", ran.out)
    start, end = text.split("First step")
    for part, figure in ((start, "trains"), (end, "test split")):
        said = f"{count} of {n} test pictures trained {first}, from which these weights come"
        assert part.index(said) < part.index(figure)
    ran = bcjax("calibrate", f"--workdir={fine}")
    assert ran.status == 0, ran.err
    text = re.sub(r"\s+", " ", ran.out)
    assert text.index(f"val pictures trained {first}, from which") < text.index("temperature")


# strict


@pytest.mark.parametrize(
    "flags",
    [(), ("--watch",), ("--views=flip",), ("--corruptions",), ("--soup=uniform",)],
    ids=lambda flags: " ".join(flags) or "plain",
)
def test_strict_refuses_a_figure_with_cautions_and_writes_nothing(bcjax, a_and_d, tmp_path, flags):
    a, d = a_and_d
    if "--soup=uniform" in flags:
        flags = (*flags, f"--with={d}", f"--out={tmp_path / 'soup'}")
    before = contents(a)
    split = () if "--soup=uniform" in flags else ("--split=val",)
    ran = bcjax("evaluate", f"--workdir={a}", "--strict", *split, *flags)
    refused(ran, "strict", "pictures")
    assert contents(a) == before
    assert not (tmp_path / "soup").exists()


def test_strict_lets_a_figure_without_cautions_pass(bcjax, a_and_d):
    assert bcjax("evaluate", f"--workdir={a_and_d[0]}", "--strict").status == 0
    with pytest.raises(UserError, match="because of strict: The checkpoint was chosen"):
        evaluate(a_and_d[0], split="val", strict=True)
