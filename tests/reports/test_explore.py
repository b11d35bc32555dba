"""The page that shows a data set: whole, self-contained, and about the pictures that are there."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import webpage
from commandline import contents, refused, run_bcjax
from PIL import Image
from places import ROOT
from webpage import CHROMIUM

from bcjax import config as configs
from bcjax.data.preparation import prepare
from bcjax.data.sources import synthetic
from bcjax.reports.dataset.embedding import layout
from bcjax.reports.dataset.explore import sample


class Page(webpage.Page):
    @property
    def points(self):
        text = self.html.split('id="points">')[1].split("</script>")[0]
        return json.loads(text)


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def explore(*arguments, out):
    ran = run_bcjax("explore", *arguments, f"--out={out}")
    assert ran.status == 0, ran.err
    assert str(out) in ran.out
    return Page(out.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawings in TRAIN and TEST; a conflict, a leak, a near double and a blank are planted."""
    root = tmp_path_factory.mktemp("cells")
    for i, record in enumerate(synthetic.source(64, size=48, seed=3).records):
        split = "TEST" if i // 8 % 2 else "TRAIN"
        path = root / split / synthetic.CLASSES[record.label] / record.id.split("/")[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record.read())
    basophils = sorted((root / "TRAIN" / "basophil").iterdir())
    shutil.copy(basophils[0], root / "TRAIN" / "ig" / "conflict.png")
    shutil.copy(basophils[1], root / "TEST" / "basophil" / "leak.png")
    near = Image.open(basophils[2]).convert("RGB")
    near.save(root / "TRAIN" / "basophil" / "near.jpg", quality=85)
    Image.new("RGB", (48, 48), "white").save(root / "TRAIN" / "monocyte" / "blank.png")
    return root


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "new" / "explore.html"
    found = explore(f"--data.source={folder}", out=out)
    assert list(contents(out.parent)) == [out.relative_to(out.parent)]  # and no .partial
    return found


def test_the_page_needs_nothing_from_elsewhere_and_its_links_lead_somewhere(page):
    webpage.check_is_whole(page)


def test_every_picture_is_in_the_page_and_has_words(page):
    assert len(page.all("img")) > 20
    for attrs in page.all("img"):
        assert attrs["src"].startswith("data:image/webp;base64,")
        assert attrs["alt"] or attrs["id"] == "sprite"  # whose words come with its picture
        assert min(decoded(attrs["src"]).size) > 0
    for attrs in page.all("svg"):
        assert attrs["aria-label"]


def test_every_class_is_shown_with_its_counts(page):
    text = page.text()
    for name in synthetic.CLASSES:
        assert text.count(name) >= 5, name
    assert re.search(r"all\s+35\s+33\s+68", text)


def test_the_galleries_show_what_was_planted(page):
    shown = {attrs["alt"].split(": ")[-1].rpartition("/")[2] for attrs in page.all("img")}
    assert {"conflict.png", "leak.png", "near.jpg", "blank.png"} <= shown
    text = page.text()
    for sentence in (
        "The splits leak",
        "in train and test",
        "under 2 labels",
        "there under several labels",
        "with small differences",
        "of one colour",
    ):
        assert sentence in text
    assert "--config.data.exclude=TRAIN/monocyte/blank.png" in text


def test_each_point_of_the_map_has_its_picture(page, folder):
    points, dots = page.points, page.all("circle")[:-1]
    sheet = decoded(page.by_id("sprite")["src"])
    cell, columns = points["cell"], points["columns"]
    assert len(dots) == len(points["ids"]) == len(set(points["ids"])) == 68
    assert sheet.size == (columns * cell, -(-len(dots) // columns) * cell)
    for i in (0, 17, 67):
        x, y = i % columns * cell, i // columns * cell
        shown = sheet.crop((x, y, x + cell, y + cell)).convert("RGB")
        own = Image.open(folder / points["ids"][i]).convert("RGB").resize((cell, cell))
        assert np.abs(np.asarray(shown, float) - np.asarray(own, float)).mean() < 8
        assert f"/{points['classes'][points['labels'][i]]}/" in points["ids"][i]
        assert f"c{points['labels'][i]}" in dots[i]["class"].split()


def test_the_same_pictures_make_the_same_page(page, folder, tmp_path):
    again = explore(f"--data.source={folder}", out=tmp_path / "again.html")
    assert again.html == page.html


def test_a_run_places_the_pictures_by_its_features(trained, tmp_path):
    page = explore(f"--workdir={trained.workdir}", out=tmp_path / "run.html")
    assert "features of elu_cnn" in page.text()
    assert {"train", "val", "test"} == set(page.points["splits"])  # the run's own


def test_other_fractions_show_other_splits_and_leave_no_copy_of_the_pictures(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("BCJAX_CACHE", str(tmp_path / "cache"))
    flags = ("--config.data.resplit=true", "--config.data.drop=conflicts,duplicates")
    config = f"--config={ROOT / 'configs' / 'elu_cnn.py'}"
    for fraction in (0.1, 0.3):
        page = explore(
            config,
            *flags,
            f"--config.data.val_fraction={fraction}",
            f"--data.source={folder}",
            out=tmp_path / "page.html",
        )
        shown = page.points["splits"].count("val") / len(page.points["splits"])
        assert shown == pytest.approx(fraction, abs=0.08)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_a_prepared_set_makes_the_page_of_its_source(folder, tmp_path):
    data = configs.default().data
    data.update({"source": str(folder), "val_fraction": 0.0, "test_fraction": 0.0})
    held = prepare(data, tmp_path / "set", complete=False)
    there = explore(f"--data.source={folder}", out=tmp_path / "there.html")
    here = explore(f"--data.source={held.path}", out=tmp_path / "here.html")
    assert here.html.split("<main>")[1] == there.html.split("<main>")[1]


def test_of_many_classes_the_most_frequent_and_the_rarest_are_drawn(tmp_path):
    cells = tmp_path / "cells"
    pictures = synthetic.source(150, size=24, seed=3).records
    for i, record in enumerate(pictures):
        label = i % 48 if i < 144 else 7  # class 7 has nine, and class 5 loses two below
        path = cells / f"kind {label:02}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record.read())
    for spare in sorted((cells / "kind 05").iterdir())[1:]:
        spare.unlink()
    page = explore(f"--data.source={cells}", out=tmp_path / "page.html")
    cards = [attrs["alt"] for attrs in page.all("img") if attrs["alt"].startswith("Mean of")]
    assert len(cards) == 40
    assert cards[0] == "Mean of 9 pictures of kind 07"
    assert cards[-1] == "Mean of 1 pictures of kind 05"
    text = page.text()
    assert "Of 48 classes, the 20 with the most pictures and the 20 with the fewest" in text
    for label in range(48):
        assert text.count(f"kind {label:02}") >= 2  # in the table and on the map


def test_mistakes_end_with_one_sentence(folder, tmp_path):
    out = f"--out={tmp_path / 'page.html'}"
    refused(run_bcjax("explore", out), "--data.source")
    refused(run_bcjax("explore", "PICTURES", out), "PICTURES")
    refused(run_bcjax("explore", "--data.source=/no/such/cells", out), "/no/such/cells")
    refused(run_bcjax("explore", f"--data.source={folder}", f"--out={tmp_path}"), tmp_path)
    refused(run_bcjax("explore", f"--data.source={folder}", f"--workdir={tmp_path}", out), tmp_path)
    refused(run_bcjax("explore", "--data.sorce=x", out), "sorce")
    assert contents(tmp_path) == {}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_pointing_at_the_map_shows_the_picture_without_an_error(page, tmp_path):
    script = """addEventListener("load", () => {
      const box = document.querySelectorAll("#plane .dot")[5].getBoundingClientRect();
      const at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
      document.getElementById("plane").dispatchEvent(new PointerEvent("pointermove", at));
      document.querySelector("[data-mark=c1]").click();
      const found = document.getElementById("sprite").alt;
      const marked = document.querySelectorAll(".dot:not(.dim)").length;
      console.log(`shown ${found} of ${marked}`);
    })"""
    points = page.points
    shown = f"{points['classes'][points['labels'][5]]}: {points['ids'][5]}"
    marked = points["labels"].count(1)
    assert webpage.console_messages(page.html, tmp_path, script) == [f"shown {shown} of {marked}"]


def test_a_sample_of_many_classes_stays_small():
    labels = np.repeat(np.arange(500), 10)
    chosen = sample(labels, 1000, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [2] * 500


def test_a_sample_has_some_of_every_class_and_no_picture_twice():
    labels = np.repeat([0, 1, 2], [9000, 900, 5])
    chosen = sample(labels, 1000, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == len(chosen) <= 1005
    assert (labels[chosen] == 2).sum() == 5
    assert (labels[chosen] == 1).sum() == pytest.approx(90, abs=2)
    assert len(sample(labels, 10**6, np.random.default_rng(0))) == len(labels)


def test_the_map_keeps_neighbours_together():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, (30, 8)), rng.normal(9, 1, (30, 8))])
    plane = layout(values, seed=0)
    assert plane.min() == 0
    assert plane.max() == 1
    between = np.linalg.norm(plane[:30].mean(0) - plane[30:].mean(0))
    assert between > 2 * np.linalg.norm(plane[:30] - plane[:30].mean(0), axis=1).max()
    assert layout(values[:5], seed=0) is None
