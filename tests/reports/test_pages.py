"""What pages are made of: words that stay as they are, figures that read alike, charts."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from webpage import Page, check_is_whole

from bcjax.reports.pages import charts, numbers, story
from bcjax.reports.pages.story import (
    Charts,
    Facts,
    Fold,
    Gallery,
    Picture,
    Section,
    Story,
    Table,
    Text,
)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=12)


def of(*blocks):
    return Story("A title", "somewhere", [Section("one", "One", blocks)])


def cells(html):
    return re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html, re.DOTALL)


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_a_class_may_be_named_anything(name):
    """Neither HTML nor Markdown reads its name as anything but a name."""
    told = of(Table(["class", "n"], [[f"{name} x", "1"]]))
    page = Page(story.page(told))
    markdown = Page(MarkdownIt("commonmark").enable("table").render(story.markdown(told)))
    for read in (page, markdown):
        texts = "".join(text for tag, text in read.texts if tag in ("th", "td", "code"))
        # But for spaces of any kind, which neither keeps at the ends of a cell.
        read_, written = (
            "".join(text.replace("`", "").split()) for text in (texts, f"classn{name} x1")
        )
        assert read_ == written


def test_what_stands_between_backticks_is_code():
    told = of(Text("Run `bcjax evaluate --workdir=a_b*` <now>."))
    page = Page(story.page(told))
    code = "".join(text for tag, text in page.texts if tag in ("code", "span"))
    assert code == "bcjax evaluate --workdir=a_b*"
    assert r"Run `bcjax evaluate --workdir=a_b*` \<now>." in story.markdown(told)


def test_every_kind_of_block_is_told_in_both_ways(tmp_path):
    with charts.style():
        figure = Figure()
        figure.add_subplot().plot([0, 1], [0, 1], color=charts.INK)
    chart = story.Chart("line", "A line", figure, "It rises.")
    picture = Picture(np.full((8, 6, 3), 90, np.uint8), "cell.png", "basophil", "answered ig")
    told = of(
        Facts([("accuracy", "96.2 %", "n = 10")]),
        Text("Mind this.", "bad"),
        Charts([chart]),
        Gallery("errors", "Errors", [picture, picture]),
        Fold("More", [Table(["key"], [["hidden"]])]),
    )
    page = Page(story.page(told))
    check_is_whole(page)
    markdown = story.markdown(told)
    for said in ("96.2 %", "n = 10", "Mind this.", "A line", "It rises.", "Errors", "cell.png",
                 "basophil", "answered ig", "More", "hidden"):  # fmt: skip
        assert said in page.text(), said
        assert said in markdown, said
    story.write_figures(told, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"line.png", "errors.png"}


def test_a_chart_takes_its_ink_from_the_page():
    with charts.style():
        figure, axis = charts.rows(["$x$", "b"])
        axis.barh([0, 1], [3, 4], color=charts.ACCENT)
        drawn = charts.svg(figure, "counts", 'A "chart"')
        again = charts.svg(figure, "counts", 'A "chart"')
    assert charts.INK not in drawn
    assert "currentColor" in drawn
    assert ">$x$<" in drawn
    assert drawn == again
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert all(name.startswith("counts-") for name in ids)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ({"value": 0.96234, "low": 0.9511, "high": 0.97}, "0.962 (0.951 - 0.970)"),
        ({"value": 0.5, "interval": None}, "0.500"),
        ({"value": None}, numbers.NONE),
        (None, numbers.NONE),
    ],
)
def test_a_figure_is_written_with_its_interval(figure, said):
    assert numbers.measured(figure) == said


def test_names_are_listed_as_a_person_does():
    assert [numbers.listed(list(names)) for names in ("", "a", "ab", "abc")] == [
        "", "a", "a and b", "a, b and c",
    ]  # fmt: skip
