"""LiteRT, once TensorFlow Lite: StableHLO through LiteRT's own converter, built-in operators alone.

`model.tflite` has float32 numbers, `model_float16.tflite` half the size, and `model_int8.tflite` a
quarter: weights have a scale for each output channel, activations one for each tensor, from the
range that they have on pictures of val (Jacob et al., CVPR 2018, arXiv:1712.05877).
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from bcjax.exports.servable import INPUT, Servable
from bcjax.runtime import extras
from bcjax.runtime.errors import UserError

SIGNATURE = "serving_default"  # as TensorFlow names it, so that its users find it
_IDENTIFIER = b"TFL3"
_BATCH = 50  # pictures whose activations have one range
# The others stay in float32: in 8 bits a probability would have steps of 1/256.
_QUANTISED = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED",
    "MAX_POOL_2D", "MEAN", "MUL", "PAD", "RESHAPE",
)  # fmt: skip


def write(servable: Servable, path: Path) -> None:
    """Writes a network in float32.

    Raises:
      UserError: If the extra is not installed, or an operation of the network has no LiteRT.
    """
    path.write_bytes(_for_any_number(servable))


def write_float16(servable: Servable, path: Path) -> None:
    """Writes a network whose weights are float16, which the runtime computes with in float32.

    Raises:
      UserError: As `write`.
    """
    extras.check("ai_edge_quantizer", "The format litert_float16")
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    quantizer = _quantizer(servable)
    quantizer.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    path.write_bytes(_quantised(quantizer))


def write_int8(servable: Servable, path: Path, typical: UInt8[np.ndarray, "N H W 3"]) -> None:
    """Writes a network in 8 bits, without the logits and the distance.

    Args:
      servable: The network.
      path: The file.
      typical: Pictures by which the ranges of activations are known.

    Raises:
      UserError: As `write`.
    """
    extras.check("ai_edge_quantizer", "The format litert_int8")
    from ai_edge_quantizer import qtyping

    quantizer = _quantizer(servable.probabilities_alone())
    for name in _QUANTISED:
        quantizer.add_static_config(
            regex=".*",
            operation_name=qtyping.TFLOperationName[name],
            activation_num_bits=8,
            weight_num_bits=8,
        )
    try:
        ranges = _ranges(quantizer, typical, _BATCH)
    except RuntimeError:  # a network for one picture at a time
        ranges = _ranges(quantizer, typical, 1)
    path.write_bytes(_quantised(quantizer, ranges))


def _ranges(
    quantizer: Any, typical: UInt8[np.ndarray, "N H W 3"], batch: int
) -> dict[str, dict[str, Any]]:
    """Returns the ranges of activations: the mean of those of several batches, as in the paper.

    The quantiser's own are moving averages over single pictures, which lose far more accuracy.
    """
    mixed = np.random.default_rng(0).permutation(typical)  # each batch holds all classes
    parts = []
    for start in range(0, len(mixed), batch):
        with _silent():
            pictures = {SIGNATURE: [{INPUT: mixed[start : start + batch]}]}
            parts.append(quantizer.calibrate(pictures))
    found = {}
    for name, first in parts[0].items():
        ends = {end: np.mean([part[name][end] for part in parts], axis=0) for end in first}
        found[name] = first | ends
    return found


def _quantised(quantizer: Any, ranges: Any = None) -> bytes:
    with _silent():
        made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def _quantizer(servable: Servable) -> Any:
    from ai_edge_quantizer.quantizer import Quantizer

    return Quantizer(bytearray(_for_any_number(servable)))


def for_one_picture(servable: Servable) -> bytes:
    """Returns the content of a file in float32 that takes one picture at a time, for LiteRT.js.

    Integers that the network holds, and computes with in float32, become so once and not each time.

    Raises:
      UserError: As `write`.
    """
    return _edited(_converted(servable), _cast_constants_once)


def _for_any_number(servable: Servable) -> bytes:
    """Returns a network in float32 for any number of pictures, which its reader then sets.

    With a batch of unknown size the converter would write a graph that computes shapes. So it is
    traced with one, and each shape that begins with it begins with "whatever is left".
    """
    return _edited(_converted(servable), _take_any_number)


def _converted(servable: Servable) -> bytes:
    """Returns a network in float32, for one picture at a time."""
    extras.check("litert_converter", "A file for LiteRT")
    extras.check("ai_edge_litert", "A file for LiteRT")
    from jax import export

    def answer(images: jax.Array) -> tuple[jax.Array, ...]:
        outputs = servable.answer(images)
        return tuple(outputs[name] for name in servable.outputs)

    images = jax.ShapeDtypeStruct((1, *servable.size, 3), jnp.uint8)
    exported = export.export(jax.jit(answer), platforms=("cpu",))(images)
    with _silent():
        from litert_converter import converter_api_ext as converter
        from litert_converter.mlir import ir
        from litert_converter.mlir.passmanager import PassManager

        try:
            with ir.Context() as context:
                converter.prepare_mlir_context(context)
                module = ir.Module.parse(exported.mlir_module())
                operation = module.operation
                converter.set_signature(operation, SIGNATURE, [INPUT], list(servable.outputs))
                settings = converter.ConvertToTFLConfig()
                converter.run_convert_to_tfl_passes(module, PassManager(), settings)
                content = converter.export_flatbuffer_to_bytes(operation)
        except Exception as error:  # MLIR's own kinds
            raise _cannot_hold(error) from error
    return bytes(content)


def _edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    """Returns a file whose parts `edit` has changed in place."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    edit(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _take_any_number(model: Any) -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    for graph in model.subgraphs:
        for tensor in (graph.tensors[place] for place in graph.inputs):
            tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)
        for node in _nodes(model, graph, BuiltinOperator.RESHAPE):
            buffer = model.buffers[graph.tensors[node.inputs[1]].buffer]
            shape = np.frombuffer(bytes(buffer.data), np.int32).copy()
            if shape.size and shape[0] == 1:
                shape[0] = -1
                buffer.data = np.frombuffer(shape.tobytes(), np.uint8)
                if node.builtinOptions is not None:
                    node.builtinOptions.newShape = shape


def _cast_constants_once(model: Any) -> None:
    """Lets casts of constant integers be a DEQUANTIZE, whose result every runtime keeps."""
    from ai_edge_litert import schema_py_generated as schema

    operator, kinds = schema.BuiltinOperator.DEQUANTIZE, schema.TensorType
    for graph in model.subgraphs:
        for node in _nodes(model, graph, schema.BuiltinOperator.CAST):
            constant, result = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
            integers = constant.type in (kinds.INT8, kinds.INT16) and result.type == kinds.FLOAT32
            if model.buffers[constant.buffer].data is None or not integers:
                continue
            constant.quantization = schema.QuantizationParametersT(scale=[1.0], zeroPoint=[0])
            code = schema.OperatorCodeT(
                builtinCode=operator, deprecatedBuiltinCode=operator, version=3
            )
            model.operatorCodes.append(code)
            node.opcodeIndex = len(model.operatorCodes) - 1
            node.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
            node.builtinOptions = schema.DequantizeOptionsT()


def _nodes(model: Any, graph: Any, operator: int) -> list[Any]:
    """Returns the nodes of a graph that have an operator."""
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [node for node in graph.operators if codes[node.opcodeIndex] == operator]


class Runtime:
    """Answers with a LiteRT file, on this machine's CPU.

    The attention of vision transformers is written for one picture: they answer one by one.
    """

    def __init__(self, path: Path):
        from importlib import metadata

        self.name = f"LiteRT {metadata.version('ai-edge-litert')}"
        with _silent():
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(str(path), num_threads=os.cpu_count())
            self._runner = self._interpreter.get_signature_runner(SIGNATURE)

    def __call__(self, images: UInt8[np.ndarray, "B H W 3"]) -> dict[str, Float[np.ndarray, "..."]]:
        try:
            with _silent():
                return self._runner(**{INPUT: images})
        except RuntimeError as error:
            if len(images) == 1:
                raise _cannot_hold(error) from error
        each = [self(image[None]) for image in images]
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}


def _cannot_hold(error: Exception) -> UserError:
    reason = str(error).partition("\n")[0]
    return UserError(
        f"LiteRT cannot hold this network ({reason}): export it as stablehlo, which holds every "
        "operation of JAX."
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps back what LiteRT warns of, and what its C++ says, which nobody can turn off."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
