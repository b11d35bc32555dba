"""What pages are made of: words that stay as they are, figures that read alike, charts."""

import re
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import webpage
from commandline import contents
from hypothesis import given, settings
from markdown_it import MarkdownIt

from bcjax.metrics import Estimate
from bcjax.reports.pages import charts, formatting
from bcjax.reports.pages.page import (
    CaptionedPicture,
    Chart,
    Charts,
    Details,
    Facts,
    Gallery,
    Page,
    Section,
    Table,
    Text,
    to_html,
    to_markdown,
    write_page,
)

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=12)


def page_of(*blocks):
    return Page("A title", "somewhere", [Section("One", blocks)])


def cells(html):
    return re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html, re.DOTALL)


@settings(max_examples=60)
@given(NAMES)
def test_a_class_may_be_named_anything(name):
    """Neither HTML nor Markdown reads its name as anything but a name."""
    page = page_of(Table(["class", "n"], [[f"{name} x", "1"]]))
    html = webpage.Page(to_html(page))
    markdown = webpage.Page(MarkdownIt("commonmark").enable("table").render(to_markdown(page)))
    for read in (html, markdown):
        texts = "".join(text for tag, text in read.texts if tag in ("th", "td", "code"))
        # But for spaces of any kind, which neither keeps at the ends of a cell.
        read_, written = (
            "".join(text.replace("`", "").split()) for text in (texts, f"classn{name} x1")
        )
        assert read_ == written


def test_what_stands_between_backticks_is_code():
    page = page_of(Text("Run `bcjax evaluate --workdir=a_b*` <now>."))
    html = webpage.Page(to_html(page))
    code = "".join(text for tag, text in html.texts if tag in ("code", "span"))
    assert code == "bcjax evaluate --workdir=a_b*"
    assert r"Run `bcjax evaluate --workdir=a_b*` \<now>." in to_markdown(page)


def test_every_kind_of_block_is_in_the_html_and_the_markdown(tmp_path):
    with charts.style():
        figure, axes = charts.new_figure(3, 2)
        axes.plot([0, 1], [0, 1], color=charts.INK)
    chart = Chart("line", "A line", figure, "It rises.")
    picture = CaptionedPicture(
        np.full((8, 6, 3), 90, np.uint8), "cell.png", "basophil", "answered ig"
    )
    page = page_of(
        Facts([("accuracy", "96.2 %", "n = 10")]),
        Text("Mind this.", "bad"),
        Charts([chart]),
        Gallery("errors", "Errors", [picture, picture]),
        Details("More", [Table(["key"], [["hidden"]])]),
    )
    html = webpage.Page(to_html(page))
    webpage.check_is_whole(html)
    markdown = to_markdown(page)
    for text in ("96.2 %", "n = 10", "Mind this.", "A line", "It rises.", "Errors", "cell.png",
                 "basophil", "answered ig", "More", "hidden"):  # fmt: skip
        assert text in html.text(), text
        assert text in markdown, text
    write_page(page, tmp_path / "page.html")
    assert {str(path) for path in contents(tmp_path)} == {
        "page.html", "page.md", "figures/line.png", "figures/errors.png",
    }  # fmt: skip


def test_a_chart_takes_its_ink_from_the_page():
    with charts.style():
        figure, axis = charts.figure_with_rows(["$x$", "b"])
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
    ("estimate", "text"),
    [
        (Estimate(0.96234, 10, "wilson", 0.9511, 0.97), "0.962 (0.951 - 0.970)"),
        (Estimate(0.5, 10, None), "0.500"),
        (Estimate(None, 0, None), formatting.NONE),
        (None, formatting.NONE),
    ],
)
def test_a_figure_is_written_with_its_interval(estimate, text):
    assert formatting.value_with_interval(estimate) == text


def test_names_are_listed_as_a_person_does():
    assert [formatting.enumeration(list(names)) for names in ("", "a", "ab", "abc")] == [
        "", "a", "a and b", "a, b and c",
    ]  # fmt: skip


def test_reports_are_imported_without_jax():
    """It takes seconds to import and wakes the accelerator: a mistake shows before that."""
    script = (
        "import sys, bcjax.reports.run, bcjax.reports.comparison.page, bcjax.reports.dataset; "
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
