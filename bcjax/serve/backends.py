"""By which runtime a run answers: ONNX Runtime with its exported file, or JAX."""

import dataclasses
from pathlib import Path

from bcjax.evaluation import trained_network
from bcjax.evaluation.predictor import Predictor
from bcjax.exports import exported_network
from bcjax.runtime.errors import UserError

BACKENDS = ("auto", "jax", "onnx")


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A network that was loaded, by what, and why by that.

    Attributes:
      predictor: The network.
      backend: "jax" or "onnx".
      why: The reason, as the end of a sentence.
    """

    predictor: Predictor
    backend: str
    why: str


def load(workdir: Path, checkpoint: str, backend: str) -> Chosen:
    """Loads a checkpoint of a run.

    Args:
      workdir: The run's folder.
      checkpoint: "best", "latest" or a step.
      backend: One of `BACKENDS`; "auto": ONNX Runtime if the run was exported at this checkpoint.

    Raises:
      UserError: If there is no such run or checkpoint, or for "onnx" no file of it.
    """
    if backend == "onnx":
        return Chosen(_onnx(workdir, checkpoint), "onnx", "as --backend says")
    if backend == "jax":
        return Chosen(_jax(workdir, checkpoint), "jax", "as --backend says")
    try:
        return Chosen(_onnx(workdir, checkpoint), "onnx", "for the run was exported")
    except UserError as error:
        network = _jax(workdir, checkpoint)  # raises what is wrong with the run itself
        return Chosen(network, "jax", f"for there is no ONNX file of it ({str(error).rstrip('.')})")


def _jax(workdir: Path, checkpoint: str) -> Predictor:
    return trained_network.load(workdir, checkpoint)


def _onnx(workdir: Path, checkpoint: str) -> Predictor:
    return exported_network.load(workdir, checkpoint)
