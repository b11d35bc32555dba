"""A report as blocks, told twice from the same words and figures: as a page and as Markdown."""

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

from bcjax.reports.pages import charts, document, pictures
from bcjax.runtime.run_dir import RunDir

_CODE = re.compile(r"`([^`]+)`")
_MEANING = re.compile(r"([\\`*\[\]<&~|]|(?<![^\W_])_|_(?![^\W_]))")  # what Markdown would read
_GAP = 6  # pixels between the pictures of a sheet


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; what stands between backticks is code.

    Attributes:
      text: Plain words.
      tone: "soft": an aside; "good", "bad": a verdict.
    """

    kind: ClassVar[str] = "text"
    text: str
    tone: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The few figures that are looked for first, each with what it is and a line about it."""

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """Text in rows.

    Attributes:
      head: Names of the columns.
      rows: As long as the head, each.
      caption: May be empty.
      words: How many columns, from the left, are words; the others are numbers.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: int = 1


@dataclasses.dataclass(frozen=True)
class Chart:
    """A figure of matplotlib, drawn in `charts.style()`.

    Attributes:
      name: Of its file, and unique in the story.
      title: What is drawn.
      figure: The drawing.
      caption: How to read it.
    """

    name: str
    title: str
    figure: Figure
    caption: str = ""

    @functools.cached_property
    def svg(self) -> str:
        with charts.style():
            return charts.svg(self.figure, self.name, self.title)


@dataclasses.dataclass(frozen=True)
class Charts:
    """Charts side by side, where there is room."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture with what is to be known of it.

    Attributes:
      pixels: As they are shown.
      id: Its name.
      label: In bold.
      note: May be empty.
    """

    pixels: UInt8[np.ndarray, "H W 3"]
    id: str
    label: str
    note: str = ""

    @property
    def image(self) -> str:
        return pictures.data_uri(self.pixels)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Pictures under a sentence.

    Attributes:
      name: Of the file that holds them all, and unique in the story.
      title: What they show.
      pictures: At least one.
      wide: Whether each takes a line.
    """

    kind: ClassVar[str] = "gallery"
    name: str
    title: str
    pictures: Sequence[Picture]
    wide: bool = False

    @property
    def sheet(self) -> UInt8[np.ndarray, "H W 3"]:
        """All pictures on white, one beside the other, or below it where they are wide."""
        along = 0 if self.wide else 1
        most = np.max([picture.pixels.shape for picture in self.pictures], axis=0)
        most[along] += _GAP
        cells = np.full((len(self.pictures), *most), 255, np.uint8)
        for cell, picture in zip(cells, self.pictures, strict=True):
            height, width = picture.pixels.shape[:2]
            cell[:height, :width] = picture.pixels
        return np.concatenate(list(cells), axis=along)


@dataclasses.dataclass(frozen=True)
class Fold:
    """What is there for those who look for it."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence["Block"]


Block = Text | Facts | Table | Charts | Gallery | Fold


@dataclasses.dataclass(frozen=True)
class Section:
    """Blocks under a heading; `id` is what a link names it by."""

    id: str
    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Story:
    """What is told.

    Attributes:
      title: Of the page.
      where: What it is about, more exactly.
      sections: In the order of reading.
    """

    title: str
    where: str
    sections: Sequence[Section]


def page(story: Story) -> str:
    """Returns one page that needs nothing from elsewhere."""
    return _environment().get_template("story.html").render(story=story)


def markdown(story: Story) -> str:
    """Returns the same as Markdown, whose pictures are those of `write_figures`."""
    return (
        _environment().get_template("story.md").render(story=story, figures=RunDir("").figures.name)
    )


def write_figures(story: Story, folder: Path) -> None:
    """Writes each chart at 300 dpi, and each gallery, as `<name>.png` into a folder."""
    for section in story.sections:
        for block in _flat(section.blocks):
            if isinstance(block, Gallery):
                pictures.png(block.sheet, folder / f"{block.name}.png")
            for chart in block.charts if isinstance(block, Charts) else ():
                with charts.style():
                    charts.png(chart.figure, folder / f"{chart.name}.png")


def plain(text: str) -> str:
    """Returns words that Markdown leaves as they are; code stays code."""
    parts = re.split(r"(`[^`]+`)", text)
    kept = [p if i % 2 else _MEANING.sub(r"\\\1", p) for i, p in enumerate(parts)]
    return "".join(kept).replace("\n", " ")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = document.environment("bcjax.reports.pages")
    environment.filters |= {"code": _code, "plain": plain}
    return environment


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Fold):
            yield from _flat(block.blocks)
        else:
            yield block


def _code(text: str) -> markupsafe.Markup:
    """Backticks as code, whose words break only where one alone is wider than the page."""

    def marked(found: re.Match[str]) -> str:
        words = (f"<span>{word}</span>" for word in found[1].split())
        return f"<code>{' '.join(words)}</code>"

    return markupsafe.Markup(_CODE.sub(marked, html.escape(text)))
