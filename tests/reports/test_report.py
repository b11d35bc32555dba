"""The report of a run says what its files say, the same as a page and as Markdown."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from commandline import contents, refused, run_bcjax
from markdown_it import MarkdownIt
from PIL import Image
from webpage import CHROMIUM, Page, check_is_whole, console_messages

from bcjax.evaluation import answers as answering
from bcjax.reports.pages.page import to_markdown
from bcjax.reports.run.model_card import model_card
from bcjax.reports.run.report import report_page
from bcjax.reports.run_record import read_run


class Tables(Page):
    """A page, its tables as rows of text, and its paragraphs and facts."""

    def __init__(self, html):
        self.tables, self.paragraphs = [], []
        super().__init__(html)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        elif tag in ("p", "dd"):
            self.paragraphs.append("")

    def handle_data(self, data):
        super().handle_data(data)
        if {"th", "td"} & set(self._open):
            self.tables[-1][-1][-1] += data
        elif {"p", "dd"} & set(self._open):
            self.paragraphs[-1] += data


def squeezed(text):
    return "".join(text.split())


def rendered(markdown):
    return Tables(MarkdownIt("commonmark", {"xhtmlOut": True}).enable("table").render(markdown))


@pytest.fixture(scope="module")
def workdir(trained, tmp_path_factory):
    """The tiny run, reported."""
    run = shutil.copytree(trained.workdir, tmp_path_factory.mktemp("report") / "run")
    ran = run_bcjax("report", f"--workdir={run}")
    assert ran.status == 0, ran.err
    assert "report.html" in ran.out
    return run


@pytest.fixture(scope="module")
def page(workdir):
    return Tables((workdir / "report.html").read_text())


@pytest.fixture
def own(workdir, tmp_path):
    """Returns the workdir of a copy, for a test to change."""
    return shutil.copytree(workdir, tmp_path / "run")


def result_of(workdir):
    return json.loads((workdir / "eval" / "test.json").read_text())


def markdown_of(workdir):
    """What a report of the run would say, as Markdown; nothing is drawn but what it takes."""
    return to_markdown(report_page(read_run(workdir, "test")))


def change(path, edit):
    known = json.loads(path.read_text())
    edit(known)
    path.write_text(json.dumps(known))


def test_the_page_needs_nothing_from_elsewhere_and_its_links_lead_somewhere(page):
    check_is_whole(page)
    assert "<script" not in page.html


def test_every_picture_is_in_the_page_and_has_words(page):
    assert page.all("img")
    for attrs in page.all("img"):
        assert attrs["src"].startswith("data:image/webp;base64,")
        assert attrs["alt"]
    charts = [attrs for attrs in page.all("svg") if "chart" in attrs["class"]]
    assert len(charts) == 10
    assert all(attrs["aria-label"] for attrs in charts)


def test_nothing_half_written_is_left(workdir):
    assert not [path for path in contents(workdir) if path.suffix == ".partial"]


def test_every_metric_is_there_with_its_interval_and_n(page, workdir):
    rows = {tuple(row) for table in page.tables for row in table}
    for figure in result_of(workdir)["metrics"].values():
        value, span = f"{figure['value']:.4f}", f"{figure['low']:.4f} - {figure['high']:.4f}"
        assert any({value, span, f"{figure['n']:,}"} <= set(row) for row in rows), figure


def test_every_class_is_there_with_its_figures(page, workdir):
    (table,) = [table for table in page.tables if "recall" in table[0]]
    *rows, average = table[1:]
    for row, known in zip(rows, result_of(workdir)["per_class"], strict=True):
        shown = dict(zip(table[0], row, strict=True))
        assert shown["class"] == known["name"]
        assert shown["n"] == f"{known['n']:,}"
        recall = known["recall"]
        assert shown["recall"] == (
            f"{recall['value']:.3f} ({recall['low']:.3f} - {recall['high']:.3f})"
        )
    shown = dict(zip(table[0], average, strict=True))
    for column, key in (("recall", "balanced_accuracy"), ("precision", "macro_precision")):
        known = result_of(workdir)["metrics"][key]
        assert shown[column] == f"{known['value']:.3f} ({known['low']:.3f} - {known['high']:.3f})"
    assert shown["class"] == "macro average"


def test_the_page_and_the_markdown_say_the_same(page, workdir):
    markdown = rendered((workdir / "report.md").read_text())
    galleries = {"picture"}  # tables there, pictures with captions on the page
    shown = [table for table in markdown.tables if table[0][0] not in galleries]
    assert len(shown) > 5
    assert shown == page.tables
    text = squeezed(markdown.text())
    assert len(page.paragraphs) > 15
    for words in page.paragraphs:
        assert squeezed(words) in text


def test_what_the_evaluation_says_is_what_the_report_says(own):
    change(
        own / "eval" / "test.json",
        lambda result: result["metrics"]["accuracy"].update(value=0.12345, low=0.1111, high=0.1357),
    )
    changed = markdown_of(own)
    assert "**12.3 %** 11.1 - 13.6 % (95 %)" in changed
    assert "| accuracy | 0.1235 | 0.1111 - 0.1357 |" in changed


def test_the_figures_of_a_paper_are_in_print_quality(workdir):
    markdown = (workdir / "report.md").read_text()
    named = re.findall(r"\]\((figures/[^)]+)\)", markdown)
    pairs = [name for name in named if name.startswith("figures/confused_")]
    assert len(named) == len(set(named)) == 12 + len(pairs)
    assert {f"figures/{path.name}" for path in (workdir / "figures").iterdir()} == set(named)
    for name in named:
        image = Image.open(workdir / name)
        assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"
        if name not in (*pairs, "figures/errors.png", "figures/least_sure.png"):
            assert round(image.info["dpi"][0]) == 300


def test_the_gallery_shows_the_confused_pairs_and_the_surest_errors(page, workdir):
    answers = answering.read(workdir / "eval" / "test.parquet")
    probabilities = answers.probabilities()
    wrong = probabilities.argmax(axis=1) != answers.labels
    by_surety = np.argsort(-probabilities.max(axis=1), kind="stable")
    (table,) = [table for table in page.tables if "taken for" in table[0]]
    pairs = [tuple(map(answers.classes.index, row[:2])) for row in table[1:]]
    rank = [
        [i for i in by_surety if (answers.labels[i], probabilities[i].argmax()) == pair]
        for pair in pairs
    ]
    assert [row[2] for row in table[1:]] == [str(len(rows)) for rows in rank]
    assert sum(map(len, rank)) == wrong.sum()
    expected = [answers.ids[i] for rows in rank[:5] for i in rows[:8]]
    expected += [answers.ids[i] for i in by_surety if wrong[i]][:16]
    expected += [answers.ids[i] for i in by_surety[::-1]][:16]
    assert [attrs["alt"].partition(": ")[2] for attrs in page.all("img")] == expected


def test_what_is_absent_is_left_out_and_the_command_that_makes_it_named(own):
    change(own / "eval" / "test.json", lambda result: result.pop("calibration", None))
    text = markdown_of(own)
    evaluations = ("evaluate .*--corruptions", "evaluate .*--data.source")
    for command in ("calibrate", "explain", "export", *evaluations):
        assert re.search(f"`bcjax {command}", text), command
    (own / "eval" / "test.parquet").unlink()
    (own / "metrics.jsonl").unlink()
    (own / "sessions.jsonl").unlink(missing_ok=True)
    (own / "pictures.json").unlink()
    changed = markdown_of(own)
    assert f"`bcjax evaluate --workdir={own} --split=test`" in changed
    for gone in ("figures/roc", "figures/errors", "figures/loss"):
        assert gone not in changed
    assert "figures/confusion_counts" in changed


@pytest.mark.parametrize("fact", ["digest", "pixels"])
def test_other_pictures_at_the_place_of_the_prepared_set_are_not_shown(own, fact):
    change(own / "pictures.json", lambda pictures: pictures.update({fact: "0"}))
    assert "holds other pictures now" in markdown_of(own)


def test_time_and_energy_are_summed_over_the_sessions(own):
    session = {
        "began": "2026-01-01T00:00:00+00:00", "seconds": 90.0, "first_step": 0, "last_step": 3,
        "images": 24, "device": "abacus", "devices": 2, "processes": 1, "joules": 1800.0,
        "joules_of": ["GPUs"], "versions": {"jax": "0.0.1"},
        "host": {"cpu": "beads", "cores": 2, "platform": "wood"},
    }  # fmt: skip
    changes = {"optim.lr": [0.001, 0.5]}
    lines = [session, session | {"first_step": 3, "last_step": 6, "changes": changes}]
    (own / "sessions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    changed = markdown_of(own)
    for text in (
        "3.0 min",
        "1.0 Wh of GPUs",
        "| pictures seen | 48 |",
        "2 x abacus",
        "jax 0.0.1",
        "| changed | optim.lr from 0.001 to 0.5 at step 3 |",
    ):
        assert text in changed, text
    lines[1]["joules"] = None
    (own / "sessions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "not readable" in markdown_of(own)


def test_a_caution_stands_beside_the_answer_and_under_the_limits(own):
    def warn(result):
        result["cautions"] = ["The checkpoint was chosen by these pictures."]
        result["leaks"] = "The splits leak: 3 pictures"

    change(own / "eval" / "test.json", warn)
    changed = markdown_of(own)
    answer = changed.split("## Results")[1].split("## ")[0]
    limits = changed.split("## Limitations")[1]
    for sentence in ("The checkpoint was chosen by these pictures.", "3 pictures."):
        assert sentence in answer
        assert sentence in limits
    assert "**Caution.**" in answer


def test_the_limits_are_computed(own):
    known = result_of(own)
    limits = markdown_of(own).split("## Limitations")[1]
    assert "medical device" in limits
    assert "drawings" in limits  # of the synthetic set
    assert "fewer than 50 pictures each" in limits
    assert "names no patients" in limits
    answers = answering.read(own / "eval" / "test.parquet")
    answering.write(
        answering.Answers(
            answers.classes, answers.ids, ("p",) * answers.n, answers.labels, answers.logits
        ),
        own / "eval" / "test.parquet",
    )
    assert "names no patients" not in markdown_of(own)
    few = [each for each in known["per_class"] if 0 < each["n"] < 50]
    assert all(each["name"] in limits for each in few)


def test_the_page_goes_where_it_is_asked_for(own, tmp_path):
    out, flags = tmp_path / "there" / "train.html", (f"--workdir={own}", "--split=train")
    refused(run_bcjax("report", *flags, f"--out={out}"), "--split=train")
    assert not out.parent.exists()
    (own / "eval" / "train.json").write_text(json.dumps(result_of(own) | {"split": "train"}))
    before = contents(own)
    ran = run_bcjax("report", *flags, f"--out={out}")
    assert ran.status == 0, ran.err
    written = {"train.html", "train.md", "figures", "README.md"}
    assert {path.name for path in out.parent.iterdir()} == written
    assert "the train split of synthetic" in out.read_text()
    assert contents(own) == before


def test_mistakes_end_with_one_sentence(own, tmp_path):
    refused(run_bcjax("report"), "--workdir")
    refused(run_bcjax("report", "RUN"), "RUN")
    refused(run_bcjax("report", f"--workdir={tmp_path / 'none'}"), tmp_path / "none")
    refused(run_bcjax("report", f"--workdir={own}", "--split=tets"), "bcjax evaluate", "tets")
    refused(run_bcjax("report", f"--workdir={own}", "--out=page.md"), "page.md")
    (own / "eval" / "test.json").write_text("{")
    refused(run_bcjax("report", f"--workdir={own}"), "test.json", "damaged")
    (own / "eval" / "test.json").unlink()
    refused(run_bcjax("report", f"--workdir={own}"), f"bcjax evaluate --workdir={own}")
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_it_without_an_error(page, tmp_path):
    script = """addEventListener("load", async () => {
      const images = [...document.images];
      images.forEach(image => image.loading = "eager");
      await Promise.all(images.map(image => image.decode()));
      const wide = document.documentElement.scrollWidth > innerWidth;
      console.log(`shown ${images.length}, too wide: ${wide}`);
    })"""
    messages = console_messages(page.html, tmp_path, script)
    assert messages == [f"shown {len(page.all('img'))}, too wide: false"]


@pytest.fixture(scope="module")
def card(trained):
    return model_card(read_run(trained.workdir, "test"))


def test_the_front_matter_of_the_card_holds_every_defined_metric(card, workdir):
    _, front, _ = card.split("---\n", 2)
    known = yaml.safe_load(front)
    (index,) = known["model-index"]
    (found,) = index["results"]
    values = [figure["value"] for figure in result_of(workdir)["metrics"].values()]
    assert [metric["value"] for metric in found["metrics"]] == [v for v in values if v is not None]
    assert found["dataset"] == {"name": "synthetic", "type": "synthetic", "split": "test"}
    assert known["license"] == "unknown"  # which is for the user to say
    assert known["pipeline_tag"] == "image-classification"


def test_the_card_names_the_classes_the_headline_and_the_limitations(card, workdir):
    result = result_of(workdir)
    assert all(name in card for name in result["classes"])
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert f"{result['metrics'][key]['value']:.4f}" in card
    assert "medical device" in card


def test_the_hub_reads_the_card(card, workdir):
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(card).data
    scores = {each.metric_type: each.metric_value for each in data.eval_results}
    assert scores["accuracy"] == result_of(workdir)["metrics"]["accuracy"]["value"]
    assert data.model_name


def test_the_card_names_no_folder_of_this_machine(card, trained):
    assert str(trained.workdir.parent) not in card
