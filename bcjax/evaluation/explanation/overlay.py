"""Maps laid over the pictures that they explain."""

from collections.abc import Sequence

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcjax.evaluation.explanation.explaining import Explained

TITLES = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}
UNITS = {
    "grad-cam": "logits per place of the map",
    "grad-cam++": "logits per place of the map",
    "integrated-gradients": "logits per pixel",
    "occlusion": "logits lost when covered",
}

_COLOURS = "viridis"  # perceptually uniform, and none of its colours is a stain's
_OPACITY = 0.6
_TOP = 99.5  # the percentile that is drawn brightest: a few pixels would leave the others dark
_INCHES, _BAR, _TITLE, _MARGIN = 2.2, 0.65, 0.45, 0.1  # a picture, and what is around it


def draw(explained: Explained, classes: Sequence[str]) -> Figure:
    """Draws a picture and, beside it, each map over its grey.

    What speaks for the class is drawn, from 0; each map has a scale of its own.
    """
    first, each = _INCHES + 2 * _MARGIN, _INCHES + _BAR  # the original has no bar beside it
    width, height = first + each * len(explained.maps), _INCHES + _TITLE + _MARGIN
    figure = Figure(figsize=(width, height))

    def place(left: float, title: str) -> Axes:
        # By hand, for to find a layout takes matplotlib longer than to draw.
        box = (left / width, _MARGIN / height, _INCHES / width, _INCHES / height)
        axis = figure.add_axes(box)
        axis.set_axis_off()
        axis.set_title(title, fontsize=7)
        return axis

    with mpl.rc_context({"text.parse_math": False}):  # a class may be named with dollars
        place(_MARGIN, _said(explained, classes)).imshow(explained.picture.pixels)
        for column, name in enumerate(explained.maps):
            title = f"{TITLES[name]}\nfor {classes[explained.target]}"
            _overlay(place(first + column * each, title), explained, name)
    return figure


def _said(explained: Explained, classes: Sequence[str]) -> str:
    label = explained.picture.label
    known = "label unknown" if label is None else f"label {classes[label]}"
    answer = f"{classes[explained.predicted]} {explained.probability:.1%}"
    return f"{known}\npredicted {answer}"


def _overlay(axis: Axes, explained: Explained, name: str) -> None:
    speaks_for = np.maximum(explained.maps[name], 0)
    highest = float(np.percentile(speaks_for, _TOP)) or float(speaks_for.max()) or 1.0
    grey = cv2.cvtColor(explained.picture.pixels, cv2.COLOR_RGB2GRAY)
    axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
    laid = axis.imshow(speaks_for, cmap=_COLOURS, vmin=0, vmax=highest, alpha=_OPACITY)
    bar = axis.figure.colorbar(laid, cax=axis.inset_axes((1.03, 0, 0.05, 1)), extend="max")
    bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    bar.ax.tick_params(labelsize=5, length=2, pad=1)
    bar.set_label(UNITS[name], fontsize=5, labelpad=2)
    bar.outline.set_visible(False)  # type: ignore[operator]
