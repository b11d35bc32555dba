"""Charts as SVG that takes its ink from the page, so that it reads on light and on dark."""

import contextlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcjax.runtime import files

INK = "#010203"  # stands for the page's own, and is replaced by it; on paper it is black
ACCENT = "#5b7db1"

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched, and set in any font
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
_ROW = 0.27  # inches of a class in a chart with a row for each
_CSS_PER_POINT = 4 / 3
_DPI = 300  # of a figure in print
_SVG = re.compile(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>(?:.*?</metadata>)?(.*)', re.DOTALL)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """What all charts look like; in it they are drawn and turned into SVG or PNG."""
    with mpl.rc_context(_STYLE):
        yield


def rows(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Returns a figure with a row for each name, the first on top."""
    figure = Figure(figsize=(4.6, 0.75 + _ROW * len(names)), layout="constrained")
    axis = figure.add_subplot()
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines.left.set_visible(False)
    return figure, axis


def grid(axis: Axes, which: str = "both") -> None:
    """Draws faint lines behind an axis: "x", "y" or "both"."""
    axis.grid(axis=which, color=INK, alpha=0.12, lw=0.6)  # type: ignore[arg-type]
    axis.set_axisbelow(True)


def svg(figure: Figure, name: str, title: str) -> str:
    """Returns a figure as an element of a page.

    Args:
      figure: Drawn, and turned into SVG, within `style()`.
      name: Unique on the page: its ids begin with it.
      title: What is drawn, for those who cannot see it.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    ((box, drawn),) = _SVG.findall(buffer.getvalue())
    drawn = drawn.replace(INK, "currentColor").replace("xlink:href=", "href=")
    drawn = re.sub(r'((?:id|href)="#?|url\(#)', rf"\g<1>{name}-", drawn)
    width = float(box.split()[2]) * _CSS_PER_POINT
    return (
        f'<svg class="chart" viewBox="{box}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="{html.escape(title)}">{drawn}'
    )


def png(figure: Figure, path: Path) -> None:
    """Writes a figure for a paper: 300 dpi, black on white, whole or not at all."""
    with files.atomic(path) as partial:
        figure.savefig(
            partial, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None}
        )
