"""Explanations as pictures, and what `bcjax explain` writes into the run's folder."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from bcjax.evaluation.explanation.explainer import Explanation
from bcjax.evaluation.explanation.sanity_checks import Figures
from bcjax.runtime import files
from bcjax.runtime.run_dir import RunDir

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
_ON_SHEET = 12  # pictures
_DPI = 150


def draw(explanation: Explanation) -> Figure:
    """Draws the image and, beside it, each map over the image in grey.

    Only evidence for the class is drawn, from 0 up; each map has a scale of its own.
    """
    first, each = _INCHES + 2 * _MARGIN, _INCHES + _BAR  # the original has no bar beside it
    width, height = first + each * len(explanation.maps), _INCHES + _TITLE + _MARGIN
    figure = Figure(figsize=(width, height))

    def place(left: float, title: str) -> Axes:
        # By hand, because finding a layout takes matplotlib longer than drawing.
        box = (left / width, _MARGIN / height, _INCHES / width, _INCHES / height)
        axis = figure.add_axes(box)
        axis.set_axis_off()
        axis.set_title(title, fontsize=7)
        return axis

    with mpl.rc_context({"text.parse_math": False}):  # a class name may hold dollar signs
        place(_MARGIN, _title(explanation)).imshow(explanation.image.pixels)
        for column, name in enumerate(explanation.maps):
            title = f"{TITLES[name]}\nfor {explanation.classes[explanation.target]}"
            _overlay(place(first + column * each, title), explanation, name)
    return figure


def png(explanation: Explanation) -> bytes:
    """Returns the drawing as a PNG file."""
    buffer = io.BytesIO()
    draw(explanation).savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def write(workdir: Path, explanations: Sequence[Explanation], summary: Figures) -> Path:
    """Writes the folder `explain/` anew and returns its path.

    It holds NN-NAME.png for each image, sheet.png with the first of them, and explain.json.

    Args:
      workdir: The run's folder.
      explanations: The explanations.
      summary: What explain.json says besides the images.
    """
    run_dir = RunDir(workdir)
    with files.atomic(run_dir.explanations) as partial:
        partial.mkdir()
        rows = []
        for position, one in enumerate(explanations, start=1):
            name = f"{position:02d}-{_file_stem(one.image.id)}.png"
            (partial / name).write_bytes(png(one))
            rows.append({"file": name} | _row(one))
        drawn = [np.asarray(Image.open(partial / row["file"])) for row in rows[:_ON_SHEET]]
        Image.fromarray(np.concatenate(drawn)).save(partial / "sheet.png")
        page = {**summary, "sheet": "sheet.png", "pictures": rows}
        files.write_json(partial / run_dir.explained.name, page)
    return run_dir.explanations


def _title(explanation: Explanation) -> str:
    label = explanation.image.label
    known = "label unknown" if label is None else f"label {explanation.classes[label]}"
    return f"{known}\npredicted {explanation.label} {explanation.probability:.1%}"


def _overlay(axis: Axes, explanation: Explanation, name: str) -> None:
    evidence = np.maximum(explanation.maps[name], 0)
    highest = float(np.percentile(evidence, _TOP)) or float(evidence.max()) or 1.0
    grey = cv2.cvtColor(explanation.image.pixels, cv2.COLOR_RGB2GRAY)
    axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
    overlay = axis.imshow(evidence, cmap=_COLOURS, vmin=0, vmax=highest, alpha=_OPACITY)
    bar = axis.figure.colorbar(overlay, cax=axis.inset_axes((1.03, 0, 0.05, 1)), extend="max")
    bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    bar.ax.tick_params(labelsize=5, length=2, pad=1)
    bar.set_label(UNITS[name], fontsize=5, labelpad=2)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _row(explanation: Explanation) -> Figures:
    classes, label = explanation.classes, explanation.image.label
    row: Figures = {
        "id": explanation.image.id,
        "label": None if label is None else classes[label],
        "predicted": explanation.label,
        "probability": explanation.probability,
        "target": classes[explanation.target],
    }
    if explanation.completeness_gap is not None:
        row["integrated_gradients_gap"] = explanation.completeness_gap
    return row


def _file_stem(id_: str) -> str:
    """The last part of an id, in characters that every file system takes."""
    return re.sub(r"[^\w-]+", "-", Path(id_).stem)[:60]
