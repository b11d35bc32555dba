"""An explanation: the maps of an answer, drawn as pictures and written to the folder of a run."""

import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from bcjax.evaluation.explanation.selection import ImageToExplain
from bcjax.evaluation.explanation.summary import ExplainedImage, ExplanationSummary
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


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """An answer of a network, and the evidence for it in the image.

    Attributes:
      image: The image.
      classes: Class names, in the order of the logits.
      predicted: Position of the most probable class.
      probability: Probability of that class, in 0..1.
      target: Position of the class that the maps speak for.
      maps: The map of each method, by its name: float32 (H, W), in logits.
      completeness_gap: See `Explainer.completeness_gap`; None without integrated gradients.
    """

    image: ImageToExplain
    classes: tuple[str, ...]
    predicted: int
    probability: float
    target: int
    maps: dict[str, Float[np.ndarray, "H W"]]
    completeness_gap: float | None

    @property
    def label(self) -> str:
        """Name of the most probable class."""
        return self.classes[self.predicted]

    def draw(self) -> Figure:
        """Draws the image and, beside it, each map over the image in grey.

        Only evidence for the class is drawn, from 0 up; each map has a scale of its own.
        """
        first, each = _INCHES + 2 * _MARGIN, _INCHES + _BAR  # the original has no bar beside it
        width, height = first + each * len(self.maps), _INCHES + _TITLE + _MARGIN
        figure = Figure(figsize=(width, height))

        def place(left: float, title: str) -> Axes:
            # By hand, because finding a layout takes matplotlib longer than drawing.
            box = (left / width, _MARGIN / height, _INCHES / width, _INCHES / height)
            axis = figure.add_axes(box)
            axis.set_axis_off()
            axis.set_title(title, fontsize=7)
            return axis

        label = self.image.label
        known = "label unknown" if label is None else f"label {self.classes[label]}"
        answer = f"{known}\npredicted {self.label} {self.probability:.1%}"
        with mpl.rc_context({"text.parse_math": False}):  # a class name may hold dollar signs
            place(_MARGIN, answer).imshow(self.image.pixels)
            for column, name in enumerate(self.maps):
                title = f"{TITLES[name]}\nfor {self.classes[self.target]}"
                self._overlay(place(first + column * each, title), name)
        return figure

    def row(self, file: str) -> ExplainedImage:
        """Returns what explain.json says of the image, whose drawing is in that file."""
        label = self.image.label
        return ExplainedImage(
            file=file,
            id=self.image.id,
            label=None if label is None else self.classes[label],
            predicted=self.label,
            probability=self.probability,
            target=self.classes[self.target],
            integrated_gradients_gap=self.completeness_gap,
        )

    def _repr_png_(self) -> bytes:
        """Returns the drawing as a PNG file, which notebooks show."""
        buffer = io.BytesIO()
        self.draw().savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return (
            f"Explanation({self.image.id}: {self.label} {self.probability:.1%}, "
            f"for {self.classes[self.target]} by {', '.join(self.maps)})"
        )

    def _overlay(self, axis: Axes, name: str) -> None:
        evidence = np.maximum(self.maps[name], 0)
        highest = float(np.percentile(evidence, _TOP)) or float(evidence.max()) or 1.0
        grey = cv2.cvtColor(self.image.pixels, cv2.COLOR_RGB2GRAY)
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
        overlay = axis.imshow(evidence, cmap=_COLOURS, vmin=0, vmax=highest, alpha=_OPACITY)
        bar = axis.figure.colorbar(overlay, cax=axis.inset_axes((1.03, 0, 0.05, 1)), extend="max")
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))
        bar.ax.tick_params(labelsize=5, length=2, pad=1)
        bar.set_label(UNITS[name], fontsize=5, labelpad=2)
        bar.outline.set_visible(False)  # type: ignore[operator]


def write(workdir: Path, explanations: Sequence[Explanation], summary: ExplanationSummary) -> Path:
    """Writes the folder `explain/` anew and returns its path.

    It holds NN-NAME.png for each image, sheet.png with the first of them, and explain.json.

    Args:
      workdir: The run's folder.
      explanations: The explanations.
      summary: What explain.json says, without the images.
    """
    run_dir = RunDir(workdir)
    with files.atomic(run_dir.explanations) as partial:
        partial.mkdir()
        rows = []
        for position, one in enumerate(explanations, start=1):
            name = f"{position:02d}-{_file_stem(one.image.id)}.png"
            (partial / name).write_bytes(one._repr_png_())
            rows.append(one.row(name))
        drawn = [np.asarray(Image.open(partial / row.file)) for row in rows[:_ON_SHEET]]
        Image.fromarray(np.concatenate(drawn)).save(partial / "sheet.png")
        page = dataclasses.replace(summary, sheet="sheet.png", pictures=tuple(rows))
        files.write_json(partial / run_dir.explained.name, page.to_dict())
    return run_dir.explanations


def _file_stem(id_: str) -> str:
    """The last part of an id, in characters that every file system takes."""
    return re.sub(r"[^\w-]+", "-", Path(id_).stem)[:60]
