"""The ONNX file of a run as what answers images: it needs no compilation and no checkpoint."""

import dataclasses
import hashlib
import json
from pathlib import Path

from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.engine import network
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.predictor import Outputs, Pixels, Predictor
from bcjax.exports import onnx_file
from bcjax.exports.exported import PAGE, Exported
from bcjax.exports.formats import FORMATS
from bcjax.exports.servable import DISTANCE, LOGITS, fitted
from bcjax.runtime import extras, files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExportedNetwork(Predictor):
    """A run that answers by the ONNX file in its folder `export/`, on this machine's CPU.

    Batches may have any size. Answers are those of the network up to rounding: the file's
    certificate says how far they differ.

    Examples:
      >>> bcjax.load("runs/a", backend="onnx").predict("cells/")     # doctest: +SKIP

    Attributes:
      config: The config that the network was trained with.
      classes: Class names, in the order of the logits.
      step: The step of the checkpoint that was exported.
      workdir: The run's folder.
      calibration: The calibration of the checkpoint; None before `bcjax calibrate`.
      runtime: What answers.
    """

    config: ConfigDict
    classes: tuple[str, ...]
    step: int
    workdir: Path
    calibration: Calibration | None
    runtime: onnx_file.Runtime

    def outputs(self, pixels: Pixels) -> Outputs:
        """Returns the logits and distances of preprocessed images, in batches of any size."""
        found = self.runtime(pixels)
        return Outputs(found[LOGITS], found.get(DISTANCE))

    def __repr__(self) -> str:
        return (
            f"ExportedNetwork({self.config.model.name} of {self.workdir}, step {self.step}: "
            f"{len(self.classes)} classes, {self.image_size} px, {self.runtime.name})"
        )


def load(
    workdir: str | Path, checkpoint: str | int = "best", *, max_pixels: int | None = None
) -> ExportedNetwork:
    """Opens the ONNX file that `bcjax export` wrote to the folder of a run.

    Args:
      workdir: The run's folder.
      checkpoint: "best", "latest" or a step: the file must be of that checkpoint.
      max_pixels: The most pixels that an image may have; None: as the run's `data.max_pixels` says.

    Raises:
      UserError: If there is no such file, it is of another checkpoint or calibration, it averages
        several answers, or it is not as it was written.
    """
    extras.check("onnxruntime", "Answering by ONNX")
    workdir = Path(workdir)
    run = RunDir(workdir)
    step = network.find_step(workdir, str(checkpoint))
    path = run.exported / FORMATS["onnx"].file
    mend = f"run bcjax export --workdir={workdir} --checkpoint={step}"
    if not path.exists():
        raise UserError(f"{workdir} has no ONNX file to answer with: {mend}.")
    page = files.read_json(run.exported / PAGE, f"{mend} anew")
    if page["checkpoint"] != step:
        raise UserError(f"{path} is of checkpoint {page['checkpoint']}, not of {step}: {mend}.")
    if page.get("views") or page.get("networks"):
        raise UserError(f"{path} averages several views or networks, unlike the run: {mend}.")
    calibration = calibrations.read(workdir, step)
    if page["calibration"] != json.loads(json.dumps(fitted(calibration))):
        raise UserError(f"{path} was written with another calibration: {mend} anew.")
    _check_digest(path, mend)
    config = configs.load(workdir)
    if max_pixels is not None:
        configs.check_argument("max_pixels", max_pixels, like="data.max_pixels")
        config.data.max_pixels = max_pixels
    runtime, names = onnx_file.Runtime(path), tuple(page["classes"])
    exported = ExportedNetwork(config, names, step, workdir, calibration, runtime)
    _ = exported.transform  # read now: a missing stain reference is reported here
    return exported


def _check_digest(path: Path, mend: str) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    checked = Exported.read(path.parent).certificates
    if digest not in [each.sha256 for each in checked if each.file == path.name]:
        raise UserError(f"{path} is not as it was written: {mend} anew.")
