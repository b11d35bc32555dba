"""ONNX with 8-bit integers: a quarter of the size, for telephones and small computers.

Weights have a scale for each output channel, activations one for each tensor, from the range that
they have on pictures of val (Jacob et al., CVPR 2018, arXiv:1712.05877). The first operations,
which normalise the picture, and the softmax stay in float32.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from bcjax.exports import onnx_file
from bcjax.exports.servable import INPUT, Servable

_BATCH = 16
_QUANTISED: list[Any] = [
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul",
    "MaxPool", "Mul", "Relu",
]  # fmt: skip


def write(servable: Servable, path: Path, typical: UInt8[np.ndarray, "N H W 3"]) -> None:
    """Writes a network as ONNX in 8 bits, without the distance.

    Args:
      servable: The network.
      path: The file.
      typical: Pictures by which the ranges of activations are known.

    Raises:
      UserError: As `onnx_file.write`.
    """
    whole = path.with_name("float.onnx")
    onnx_file.write(servable.probabilities_alone(), whole)
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[np.ndarray] = (
                typical[start : start + _BATCH] for start in range(0, len(typical), _BATCH)
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    with _quiet():
        quantization.quantize_static(
            whole,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=_QUANTISED,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the advice back to simplify the graph first, which `onnx_file` has done."""
    root = logging.getLogger()
    root.addFilter(_is_no_advice)
    try:
        yield
    finally:
        root.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in str(record.msg)
