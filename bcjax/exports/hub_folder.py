"""A folder in Hugging Face's layout: weights as safetensors, config.json, calibration, model card.

`bcjax.load` and `model.weights` take it as they take the folder of a run.
"""

import shutil
from pathlib import Path

import jax
from jaxtyping import Float, UInt8
from numpy import ndarray

from bcjax.engine import published
from bcjax.evaluation import trained_network
from bcjax.exports.servable import DISTANCE, LOGITS, PROBABILITIES, Servable, in_float32
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

_CARD = """\
---
library_name: bcjax
pipeline_tag: image-classification
---

# {name}

{network} of bcjax, checkpoint {step}, for {count} classes: {classes}.

{use} `bcjax report --workdir=RUN` before the export would put the whole model card here.
"""


def write(servable: Servable, path: Path) -> None:
    """Writes a network, its calibration, its ancestry and its model card.

    Args:
      servable: The network.
      path: The file of weights; the others are written beside it.

    Raises:
      UserError: If it is several networks.
    """
    net, folder = servable.net, path.parent
    if net is None:
        raise UserError(
            "The format safetensors holds one network, without views: export each for itself."
        )
    published.write(folder, net.config, net.classes, net.variables, net.step)
    run = RunDir(net.workdir)
    calibration = run.calibration(net.step)
    for beside in (calibration, run.outliers(net.step), run.calibration_answers(net.step)):
        if net.calibration and beside.exists():
            there = folder / beside.relative_to(run.path)
            there.parent.mkdir(exist_ok=True)
            shutil.copyfile(beside, there)
    for beside in (run.ancestry, run.pictures, run.card):
        if beside.exists():
            shutil.copyfile(beside, folder / beside.name)
    if not run.card.exists():
        page = servable.page
        card = _CARD.format(
            name=page["run"],
            network=page["network"],
            step=page["checkpoint"],
            count=len(page["classes"]),
            classes=", ".join(page["classes"]),
            use=page["use"],
        )
        files.write_text(RunDir(folder).card, card)


class Runtime:
    """Answers with the network that is read back from the folder, in float32."""

    def __init__(self, path: Path):
        self.name = f"JAX {jax.__version__}"
        self._net = in_float32(trained_network.load(path.parent))

    def __call__(self, images: UInt8[ndarray, "B H W 3"]) -> dict[str, Float[ndarray, "..."]]:
        outputs = self._net.outputs(images)
        names = [f"image {place}" for place in range(len(images))]
        found = {
            PROBABILITIES: self._net.predictions(outputs, names).probabilities,
            LOGITS: outputs.logits,
        }
        return found | ({} if outputs.distances is None else {DISTANCE: outputs.distances})
