"""Charts as SVG that takes the text colour of its page, so that it reads on light and on dark."""

import colorsys
import contextlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcjax.runtime import files

# All colours are of middle lightness, to be seen on light and on dark.
INK = "#010203"  # stands for the text colour of the page, and is replaced by it; in print, black
ACCENT = "#5b7db1"
SPLIT_COLOURS = {"train": "#5b7db1", "val": "#d9a441", "test": "#b5576f"}
CHANNEL_COLOURS = ("#d2504b", "#4f9d5f", "#4a80c4")  # red, green, blue

# The ten of Tableau, after Maureen Stone; its grey is a little darker here.
_TEN = (
    "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f",
    "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8f8a86",
)  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched, and set in any font
    "pdf.fonttype": 42,  # and in a PDF: journals refuse the other kind
    "svg.hashsalt": "bcjax",  # the same chart is the same bytes
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,  # a class may be named with dollars
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
}
_ROW = 0.27  # inches for each row
_CSS_PER_POINT = 4 / 3
_DPI = 300  # for print
_SVG_METADATA = ("Creator", "Date", "Format", "Type")
_SVG = re.compile(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>(?:.*?</metadata>)?(.*)', re.DOTALL)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Sets how all charts look; they are drawn, and written as SVG or PNG, within it."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(
    width: float, height: float, grid: Literal["both", "x", ""] = "both"
) -> tuple[Figure, Axes]:
    """Returns a figure with one pair of axes and about five ticks on each.

    Args:
      width: In inches.
      height: In inches.
      grid: Which ticks have a faint line behind what is drawn.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    if grid:
        draw_grid(axes, grid)
    return figure, axes


def figure_with_rows(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Returns a figure with a row for each name, the first on top."""
    figure, axes = new_figure(4.6, 0.75 + _ROW * len(names), "x")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines.left.set_visible(False)
    return figure, axes


def draw_grid(axes: Axes, which: Literal["both", "x"] = "both") -> None:
    """Draws faint lines behind what is drawn."""
    axes.grid(axis=which, color=INK, alpha=0.12, lw=0.6)
    axes.set_axisbelow(True)


def class_colours(count: int) -> list[str]:
    """Returns as many colours as there are classes; more than ten are hues, alternately darker."""
    if count <= len(_TEN):
        return list(_TEN[:count])
    hls = ((i / count, 0.45 if i % 2 else 0.66, 0.6) for i in range(count))
    return ["#" + "".join(f"{round(255 * v):02x}" for v in colorsys.hls_to_rgb(*c)) for c in hls]


def svg(figure: Figure, name: str, title: str) -> str:
    """Returns a figure as an `<svg>` element.

    Args:
      figure: Drawn within `style()`, in which this is called, too.
      name: Unique on the page; all ids within the element begin with it.
      title: What the chart shows, for people who cannot see it.
    """
    buffer = io.StringIO()
    metadata = dict.fromkeys(_SVG_METADATA)
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    ((box, content),) = _SVG.findall(buffer.getvalue())
    content = content.replace(INK, "currentColor").replace("xlink:href=", "href=")
    content = re.sub(r'((?:id|href)="#?|url\(#)', rf"\g<1>{name}-", content)
    width = float(box.split()[2]) * _CSS_PER_POINT
    return (
        f'<svg class="chart" viewBox="{box}" style="--natural:{width:.0f}px" role="img" '
        f'aria-label="{html.escape(title)}">{content}'
    )


def write(figure: Figure, path: Path) -> None:
    """Writes a figure for print: black on white, whole or not at all.

    Args:
      figure: Drawn within `style()`, in which this is called, too.
      path: The file, which ends in .png (300 dpi), .pdf or .svg.
    """
    kind = path.suffix.removeprefix(".")
    # Without dates and versions the same figure is the same bytes.
    unsaid = {"png": ("Software",), "pdf": ("Creator", "Producer", "CreationDate")}
    metadata = dict.fromkeys(unsaid.get(kind, _SVG_METADATA))
    with files.atomic(path) as partial:
        figure.savefig(partial, format=kind, dpi=_DPI, facecolor="white", metadata=metadata)
