"""What `bcjax explain` leaves in the run's folder: pictures, and the figures about them."""

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bcjax.evaluation.explanation import overlay
from bcjax.evaluation.explanation.explaining import Explained, Figures

_ON_SHEET = 12  # pictures
_DPI = 150


def write(
    workdir: Path, found: Sequence[Explained], classes: Sequence[str], about: Figures
) -> Path:
    """Writes `explain/` anew: NN-NAME.png of each picture, sheet.png of the first, explain.json.

    Args:
      workdir: The run's folder.
      found: The explanations.
      classes: Names.
      about: What explain.json says beside the pictures.

    Returns:
      The folder.
    """
    folder = workdir / "explain"
    partial = workdir / "explain.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows = []
    for position, one in enumerate(found, start=1):
        name = f"{position:02d}-{_plain(one.picture.id)}.png"
        overlay.draw(one, classes).savefig(partial / name, dpi=_DPI)
        rows.append({"file": name} | _row(one, classes))
    drawn = [np.asarray(Image.open(partial / row["file"])) for row in rows[:_ON_SHEET]]
    Image.fromarray(np.concatenate(drawn)).save(partial / "sheet.png")
    text = json.dumps({**about, "sheet": "sheet.png", "pictures": rows}, indent=2)
    (partial / "explain.json").write_text(text + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def _row(one: Explained, classes: Sequence[str]) -> Figures:
    label = one.picture.label
    row: Figures = {
        "id": one.picture.id,
        "label": None if label is None else classes[label],
        "predicted": classes[one.predicted],
        "probability": one.probability,
        "target": classes[one.target],
    }
    return row if one.gap is None else row | {"integrated_gradients_gap": one.gap}


def _plain(id_: str) -> str:
    """The last part of an id, in letters that every file system takes."""
    return re.sub(r"[^\w-]+", "-", Path(id_).stem)[:60]
