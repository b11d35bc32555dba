"""A page as a tree of sections and blocks, written as HTML and as Markdown with the same content.

    page = Page("A title", "What it is about", [Section("One", [Text("Some words.")])])
    write_page(page, Path("report.html"))  # and report.md, figures/*.png

The HTML holds everything that it needs; the Markdown links to the images in `figures/`.
"""

import dataclasses
import functools
import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import jinja2
import markupsafe
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from bcjax.reports.pages import charts, pictures
from bcjax.runtime import files, page_templates
from bcjax.runtime.run_dir import RunDir

_FIGURES = RunDir("").figures.name  # the folder of images beside the Markdown
_CODE = re.compile(r"`([^`]+)`")
_BRACKETS = re.compile(r"\([^()]*\)")
_MARKDOWN_SYNTAX = re.compile(r"([\\`*\[\]<&~|]|(?<![^\W_])_|_(?![^\W_]))")
_GAP = 6  # pixels between the pictures of a contact sheet


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
      text: Plain words; what stands between backticks is shown as code.
      tone: "": normal text; "soft": an aside; "good" or "bad": a verdict in a box.
    """

    kind: ClassVar[str] = "text"
    text: str
    tone: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The few figures that a reader looks for first, each as (name, value, a short note)."""

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
      head: Names of the columns.
      rows: The cells of each row, as many as there are columns.
      caption: A line above the table; may be empty.
      text_columns: How many columns, from the left, hold text; the others hold numbers and are
        aligned to the right.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: int = 1


@dataclasses.dataclass(frozen=True)
class Chart:
    """A matplotlib figure that was drawn within `charts.style()`.

    Attributes:
      name: Name of its image file, unique on the page.
      title: What the chart shows.
      figure: The figure.
      caption: How to read the chart; may be empty.
    """

    name: str
    title: str
    figure: Figure
    caption: str = ""

    @functools.cached_property
    def svg(self) -> str:
        """The chart as an `<svg>` element."""
        with charts.style():
            return charts.svg(self.figure, self.name, self.title)


@dataclasses.dataclass(frozen=True)
class Charts:
    """Charts side by side, where the window is wide enough."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]

    @property
    def width(self) -> float:
        """Width of the widest chart in inches."""
        return max(chart.figure.get_figwidth() for chart in self.charts)


@dataclasses.dataclass(frozen=True)
class CaptionedPicture:
    """A picture of a gallery with its caption.

    Attributes:
      pixels: RGB, as large as it is shown.
      id: Id of the picture in its data set.
      label: Its class, shown in bold.
      note: A further line of the caption; may be empty.
    """

    pixels: UInt8[np.ndarray, "H W 3"]
    id: str
    label: str
    note: str = ""

    @property
    def image(self) -> str:
        """The picture as a data URI."""
        return pictures.data_uri(self.pixels)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Pictures under a title.

    Attributes:
      name: Name of the image file that holds all pictures, unique on the page.
      title: What the pictures show.
      pictures: One picture or more.
      wide: Whether each picture takes a whole line.
    """

    kind: ClassVar[str] = "gallery"
    name: str
    title: str
    pictures: Sequence[CaptionedPicture]
    wide: bool = False

    @property
    def contact_sheet(self) -> UInt8[np.ndarray, "H W 3"]:
        """All pictures on white, side by side, or one below the other if they are wide."""
        axis = 0 if self.wide else 1
        largest = np.max([picture.pixels.shape for picture in self.pictures], axis=0)
        largest[axis] += _GAP
        cells = np.full((len(self.pictures), *largest), 255, np.uint8)
        for cell, picture in zip(cells, self.pictures, strict=True):
            height, width = picture.pixels.shape[:2]
            cell[:height, :width] = picture.pixels
        return np.concatenate(list(cells), axis=axis)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Pictures that belong together.

    Attributes:
      pictures: Some of them.
      size: How many there are.
      warnings: What should not be, such as "in train and test".
    """

    pictures: Sequence[CaptionedPicture]
    size: int
    warnings: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Some clusters of pictures under a title, of `size` that there are. On HTML pages only."""

    kind: ClassVar[str] = "clusters"
    title: str
    clusters: Sequence[Cluster]
    size: int


@dataclasses.dataclass(frozen=True)
class Html:
    """What only one page has, as markup. On HTML pages only."""

    kind: ClassVar[str] = "html"
    markup: str


@dataclasses.dataclass(frozen=True)
class Details:
    """Blocks that are folded away under a summary until the reader opens them."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: Sequence["Block"]


Block = Text | Facts | Table | Charts | Gallery | Clusters | Html | Details


@dataclasses.dataclass(frozen=True)
class Section:
    """Blocks under a heading, which is unique on the page."""

    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
      title: The heading.
      subtitle: What exactly the page is about.
      sections: In reading order.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]


def to_html(page: Page) -> str:
    """Returns the page as one HTML document that loads nothing else."""
    return environment().get_template("page.html").render(page=page)


def to_markdown(page: Page) -> str:
    """Returns the page as Markdown that links to the images of `write_figures`."""
    return environment().get_template("page.md").render(page=page, figures=_FIGURES)


def write_page(page: Page, path: Path) -> None:
    """Writes the page as HTML to `path`, and its Markdown and its figures beside it."""
    write_figures(page, RunDir(path.parent).figures)
    files.write_text(path.with_suffix(".md"), to_markdown(page))
    files.write_text(path, to_html(page))


def write_figures(page: Page, folder: Path) -> None:
    """Writes each chart (at 300 dpi) and each gallery to `<name>.png` in a folder."""
    for section in page.sections:
        for block in _without_details(section.blocks):
            if isinstance(block, Gallery):
                pictures.write_png(block.contact_sheet, folder / f"{block.name}.png")
    for chart in all_charts(page):
        with charts.style():
            charts.write(chart.figure, folder / f"{chart.name}.png")


def all_charts(page: Page) -> list[Chart]:
    """Returns the charts of a page in reading order, with those that are folded away."""
    blocks = (block for section in page.sections for block in _without_details(section.blocks))
    return [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the templates of all pages.

    The filters `code` and `plain` write text, which may hold code between backticks, into HTML and
    into Markdown; `number` writes a number into HTML.
    """
    rooms = ("pages", "run", "dataset")
    result = page_templates.environment(*(f"bcjax.reports.{room}" for room in rooms))
    result.filters |= {"code": _code, "plain": _plain, "number": _number}
    return result


def _without_details(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Details):
            yield from _without_details(block.blocks)
        else:
            yield block


def _plain(text: str) -> str:
    """Escapes text so that Markdown shows it as it is; code stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    escaped = [
        part if i % 2 else _MARKDOWN_SYNTAX.sub(r"\\\1", part) for i, part in enumerate(parts)
    ]
    return "".join(escaped).replace("\n", " ")


def _code(text: str) -> markupsafe.Markup:
    """Escapes text for HTML; a word of code breaks only if it is wider than the page."""

    def marked(match: re.Match[str]) -> str:
        words = (f"<span>{word}</span>" for word in match[1].split())
        return f"<code>{' '.join(words)}</code>"

    return markupsafe.Markup(_CODE.sub(marked, html.escape(text)))


def _number(text: str) -> markupsafe.Markup:
    """Escapes a number for HTML; its interval in brackets stays in one line."""
    return markupsafe.Markup(_BRACKETS.sub(r"<span>\g<0></span>", html.escape(text)))
