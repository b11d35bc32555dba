"""Every page is whole on paper, and fits a phone, a tablet and a wide screen."""

import base64
import html
import json
import unicodedata

import fabricated
import numpy as np
import pypdf
import pytest
from webpage import CHROMIUM, Page, chromium, console_messages

from bcjax import config as configs
from bcjax.data.preparation import prepare
from bcjax.data.sources import synthetic
from bcjax.reports.comparison import compare
from bcjax.reports.comparison.page import comparison_page
from bcjax.reports.dataset import explore
from bcjax.reports.pages.page import to_html
from bcjax.reports.run.report import report_page
from bcjax.reports.run_record import read_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
WIDTHS = (390, 820, 1400, 1920)
CLASSES = (
    *("basophil", "eosinophil", "erythroblast", "immature_granulocyte_of_any_stage"),
    *("lymphocyte", "monocyte", "neutrophil", "platelet"),
)
PAGES = ("report", "compare", "explore", "datasheet")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The HTML of each page: eight classes, five runs, long names."""
    folder = tmp_path_factory.mktemp("pages")
    answers = fabricated.answers(np.arange(240) % 31 > 0, classes=CLASSES)
    runs = [
        fabricated.run(folder / f"a_run_with_a_name_of_some_length_{i}", answers, rate=100.0 + i)
        for i in range(5)
    ]
    cells = folder / "cells"
    for i, record in enumerate(synthetic.source(48, size=40, seed=1).records):
        for copy in range(1 + (i < 2)):
            name = f"a-name-that-a-microscope-gives-{i:020}-{copy}.png"
            path = cells / synthetic.CLASSES[record.label] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(record.read())
    config = configs.default()
    config.data.source, config.data.cache_dir = str(cells), str(folder / "cache")
    explored = explore(config, folder / "explore.html")
    prepared = prepare(config.data)
    return {
        "report": to_html(report_page(read_run(runs[0], "test"))),
        "compare": to_html(comparison_page(compare(*runs))),
        "explore": explored.html.read_text(),
        "datasheet": (prepared.path / "datasheet.html").read_text(),
    }


def test_no_page_is_wider_than_its_window(pages, tmp_path):
    """Each page in a frame of each width; a frame has a window of its own."""
    frames = "".join(
        f'<iframe title="{name} {width}" style="width: {width}px; height: 900px; border: 0" '
        f'srcdoc="{html.escape(page)}"></iframe>'
        for name, page in pages.items()
        for width in WIDTHS
    )
    script = """addEventListener("load", () => {
      const wider = {};
      for (const frame of document.querySelectorAll("iframe")) {
        const page = frame.contentDocument.documentElement;
        wider[frame.title] = page.scrollWidth - page.clientWidth;
      }
      console.log(btoa(JSON.stringify(wider)));
    })"""
    (message,) = console_messages(f"<body>{frames}</body>", tmp_path, script)
    wider = json.loads(base64.b64decode(message))
    assert wider == {f"{name} {width}": 0 for name in PAGES for width in WIDTHS}


def squeezed(text):
    return "".join(unicodedata.normalize("NFKC", text).split())


class Headings(Page):
    def __init__(self, text):
        self.headings = {"h2": [], "h3": [], "th": []}
        super().__init__(text)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag in self.headings:
            self.headings[tag].append("")

    def handle_data(self, data):
        super().handle_data(data)
        for tag, found in self.headings.items():
            if tag in self._open:
                found[-1] += data


@pytest.mark.parametrize("name", PAGES)
def test_on_paper_nothing_is_cut_or_folded_and_no_heading_stands_alone(name, pages, tmp_path):
    source, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    source.write_text(pages[name])
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={printed}", source.as_uri())
    sheets = [squeezed(sheet.extract_text()) for sheet in pypdf.PdfReader(printed).pages]
    text, headings = "".join(sheets), Headings(pages[name]).headings
    assert headings["th"]
    for column in headings["th"]:  # the names of rows, too
        assert squeezed(column) in text, column
    titles = {squeezed(each) for each in (*headings["h2"], *headings["h3"]) if each}
    titles -= {*CLASSES, *synthetic.CLASSES}  # which axes are labelled with
    assert not [sheet[-60:] for sheet in sheets if sheet.endswith(tuple(titles))]
