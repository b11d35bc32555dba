"""ONNX: jax2onnx converts, ONNX Runtime and onnxslim simplify, and a few patterns get their names.

The graph has one layout, channels first, from the first convolution to the last pool: ONNX Runtime
takes each pair of transpositions out that meet. `model.onnx` holds standard operators alone.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float, UInt8

from bcjax.exports.servable import INPUT, Servable
from bcjax.runtime import extras
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    import onnx

OPSET = 21


def write(servable: Servable, path: Path) -> None:
    """Writes a network as ONNX, for batches of any size.

    Raises:
      UserError: If the extra is not installed, or an operation of the network has no ONNX.
    """
    extras.check("jax2onnx", "The format onnx")
    from bcjax.exports import onnx_graph

    try:
        model = onnx_graph.simplified(_converted(servable))
    except Exception as error:  # the converter and the runtime raise many kinds
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"The format onnx cannot hold this network ({reason}): export it as stablehlo, which "
            "holds every operation of JAX."
        ) from error
    model.metadata_props.add(key="bcjax", value=json.dumps(servable.page))
    model.doc_string = servable.page["use"]
    path.write_bytes(model.SerializeToString())


def _converted(servable: Servable) -> "onnx.ModelProto":
    import jax2onnx

    from bcjax.exports import onnx_plugins

    def answer(images: jax.Array) -> tuple[jax.Array, ...]:
        outputs = servable.answer(images)
        return tuple(outputs[name] for name in servable.outputs)

    class Images:  # jax.ShapeDtypeStruct takes no name for a dimension
        shape, dtype = ("batch", *servable.size, 3), np.dtype(np.uint8)

    onnx_plugins.register()
    # It says of each constant shape that it does not know its type, which nobody needs.
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    return jax2onnx.to_onnx(
        answer,
        [Images()],
        model_name="bcjax",
        opset=OPSET,
        input_names=[INPUT],
        output_names=list(servable.outputs),
    )


class Runtime:
    """Answers with an ONNX file, on this machine's CPU."""

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, images: UInt8[np.ndarray, "B H W 3"]) -> dict[str, Float[np.ndarray, "..."]]:
        found = self._session.run(self._outputs, {INPUT: images})
        return dict(zip(self._outputs, found, strict=True))
