"""The formats that a run can be exported to."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from bcjax.exports import hub_folder, litert_file, onnx_file, onnx_int8, stablehlo_file
from bcjax.exports.certificate import Runtime
from bcjax.exports.exported import Certificate
from bcjax.exports.servable import Servable
from bcjax.exports.webapp import folder as webapp

Typical = Callable[[], UInt8[np.ndarray, "N H W 3"]]


@dataclasses.dataclass(frozen=True)
class Format:
    """How a network is written for another runtime, and how that runtime answers.

    Attributes:
      file: The file that holds the network, below the folder of the export. If that is in a folder
        of its own, the whole folder belongs to it.
      write: Writes a network to a path. Where numbers are quantised it takes typical pictures, too.
      runtime: Opens such a file to answer with it.
      exact: Whether its numbers are those of the network. If not, the accuracy counts.
      needs_pictures: Whether `write` takes typical pictures.
      finish: Makes something else of the file once it is checked, and returns the certificate of
        that; None: the file stays as it is.
    """

    file: str
    write: Callable[..., None]
    runtime: Callable[[Path], Runtime]
    exact: bool = True
    needs_pictures: bool = False
    finish: Callable[[Path, Servable, Certificate], Certificate] | None = None

    def written(self, servable: Servable, folder: Path, typical: Typical) -> Path:
        """Writes a network below a folder.

        Args:
          servable: The network.
          folder: The folder.
          typical: Reads pictures by which the ranges of activations are known.

        Returns:
          The path of the file.

        Raises:
          UserError: If the extra is not installed, or the format cannot hold the network.
        """
        path = folder / self.file
        path.parent.mkdir(exist_ok=True)
        further: tuple[Any, ...] = (typical(),) if self.needs_pictures else ()
        self.write(servable, path, *further)
        return path

    def top(self, folder: Path) -> Path:
        """Returns all that belongs to the format in the folder of an export: a file or a folder."""
        return folder / Path(self.file).parts[0]


_eight_bits = partial(Format, exact=False, needs_pictures=True)

FORMATS = {
    "onnx": Format("model.onnx", onnx_file.write, onnx_file.Runtime),
    "onnx_int8": _eight_bits("model_int8.onnx", onnx_int8.write, onnx_file.Runtime),
    "litert": Format("model.tflite", litert_file.write, litert_file.Runtime),
    "litert_float16": Format(
        "model_float16.tflite", litert_file.write_float16, litert_file.Runtime, exact=False
    ),
    "litert_int8": _eight_bits("model_int8.tflite", litert_file.write_int8, litert_file.Runtime),
    "stablehlo": Format("model.stablehlo", stablehlo_file.write, stablehlo_file.Runtime),
    "safetensors": Format("huggingface/model.safetensors", hub_folder.write, hub_folder.Runtime),
    "webapp": Format(
        f"{webapp.FOLDER}/{webapp.NAME}", webapp.write, litert_file.Runtime, finish=webapp.finish
    ),
}
