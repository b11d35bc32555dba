"""The tensors of the Open Inference Protocol, version 2: pictures in, what is known of them out.

JSON holds the numbers of a tensor, or says how many of the bytes that follow it are its
(Triton's extension for binary tensors), which spares a client to write numbers as text.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from bcjax.evaluation.predictions import Prediction
from bcjax.serve import bodies
from bcjax.serve.refusals import Refused
from bcjax.serve.served_run import LoadedNetwork
from bcjax.serve.service import Picture

INPUT = "images"
BINARY_HEADER = "inference-header-content-length"
_BINARY_SIZE = "binary_data_size"
_LENGTH = 4  # bytes before each element of a binary tensor of BYTES


def request_parts(body: bytes, header_length: str | None) -> tuple[Any, bytes]:
    """Returns the JSON of an inference request, and the bytes that follow it.

    Args:
      body: The body.
      header_length: The header that says how long the JSON is; None: all of it.

    Raises:
      Refused: If it is no JSON, or the length is none of its.
    """
    if header_length is None:
        return bodies.parsed(body), b""
    if not header_length.isdecimal() or int(header_length) > len(body):
        raise Refused(400, "Inference-Header-Content-Length is no length of a part of the body.")
    return bodies.parsed(body[: int(header_length)]), body[int(header_length) :]


def pictures(
    page: Any, following: bytes, network: LoadedNetwork
) -> UInt8[np.ndarray, "B height width 3"] | list[Picture]:
    """Returns the pictures of an inference request: decoded ones, or files of pictures.

    Raises:
      Refused: If it is no request for this network.
    """
    inputs = page.get("inputs") if isinstance(page, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, f'A request has one tensor: "inputs": [{{"name": "{INPUT}", ...}}].')
    (tensor,) = inputs
    if tensor.get("name") != INPUT:
        raise Refused(400, f"The tensor of a request has the name {INPUT}.")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(each) is int and each >= 0 for each in shape):
        raise Refused(400, "The shape of a tensor is a list of whole numbers from 0 on.")
    size = _parameters(tensor).get(_BINARY_SIZE)
    if size is not None and size != len(following):
        raise Refused(400, f"{_BINARY_SIZE} is not the number of bytes after the JSON.")
    binary = None if size is None else following
    if tensor.get("datatype") == "UINT8":
        return _pixels(tensor, shape, binary, network)
    if tensor.get("datatype") == "BYTES":
        return _files(tensor, shape, binary)
    raise Refused(
        400, "The datatype is neither UINT8, for pixels, nor BYTES, for files of pictures."
    )


def _pixels(
    tensor: Mapping[str, Any], shape: list[int], binary: bytes | None, network: LoadedNetwork
) -> UInt8[np.ndarray, "B height width 3"]:
    wanted = [*network.predictor.image_size, 3]
    if shape[1:] != wanted or not shape[0]:
        raise Refused(
            400,
            f"The network reads pixels of shape [n, {', '.join(map(str, wanted))}], RGB from 0 to "
            "255, not of another: or send files of pictures as BYTES.",
        )
    if binary is not None:
        if len(binary) != math.prod(shape):
            raise Refused(400, "The bytes of the tensor are not as many as its shape says.")
        return np.frombuffer(binary, np.uint8).reshape(shape)
    try:
        numbers = np.asarray(tensor.get("data"))
    except ValueError:  # rows of different lengths
        numbers = np.zeros(0)
    if numbers.size != math.prod(shape) or numbers.dtype.kind not in "iu":
        raise Refused(
            400, "The data of the tensor are not as many whole numbers as its shape says."
        )
    if numbers.min() < 0 or numbers.max() > 255:
        raise Refused(400, "A number of the tensor is not in 0 to 255.")
    return numbers.astype(np.uint8).reshape(shape)


def _files(tensor: Mapping[str, Any], shape: list[int], binary: bytes | None) -> list[Picture]:
    if binary is not None:
        files = _elements(binary)
    else:
        data = tensor.get("data")
        if not isinstance(data, list):
            raise Refused(400, "The data of the tensor are no list of pictures in base64.")
        files = [bodies.from_base64(each) for each in data]
    if shape not in ([len(files)], [len(files), 1]) or not files:
        raise Refused(
            400, "The shape of the tensor is not [n], for n files of pictures, 1 or more."
        )
    return [Picture(f"image {position}", each) for position, each in enumerate(files)]


def _elements(binary: bytes) -> list[bytes]:
    """Returns the elements of a binary tensor of BYTES: each after its length, little-endian."""
    found, at = [], 0
    while at < len(binary):
        end = at + _LENGTH + int.from_bytes(binary[at : at + _LENGTH], "little")
        if end > len(binary):
            raise Refused(400, "An element of the binary tensor is longer than the tensor.")
        found.append(binary[at + _LENGTH : end])
        at = end
    return found


def _parameters(tensor: Mapping[str, Any]) -> Mapping[str, Any]:
    given = tensor.get("parameters")
    return given if isinstance(given, dict) else {}


def described(network: LoadedNetwork) -> dict[str, list[dict[str, Any]]]:
    """Returns the inputs and outputs of a network, as its metadata has them."""
    predictor = network.predictor
    classes = len(predictor.classes)
    outputs = [("probabilities", "FP32", [-1, classes]), ("label", "BYTES", [-1])]
    if predictor.calibration is not None:
        outputs.append(("set", "BOOL", [-1, classes]))
        if predictor.calibration.abstention.threshold is not None:
            outputs.append(("uncertain", "BOOL", [-1]))
        if predictor.calibration.outliers is not None:
            outputs += [("outlier", "BOOL", [-1]), ("distance", "FP32", [-1])]
    return {
        "inputs": [_about(INPUT, "UINT8", [-1, *predictor.image_size, 3])],
        "outputs": [_about(*each) for each in outputs],
    }


def _about(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def wanted_outputs(page: Mapping[str, Any], network: LoadedNetwork) -> list[dict[str, Any]]:
    """Returns which outputs a request asks for, as `described`; all if it names none.

    Raises:
      Refused: If the network has no such output.
    """
    known = {each["name"]: each for each in described(network)["outputs"]}
    asked = page.get("outputs")
    if asked is None or asked == []:
        return list(known.values())
    names = (
        [each.get("name") for each in asked if isinstance(each, dict)]
        if isinstance(asked, list)
        else [None]
    )
    if not names or not all(isinstance(name, str) and name in known for name in names):
        raise Refused(400, f"The outputs are {', '.join(known)}: ask for some of these by name.")
    return [known[name] for name in names]


def answered(
    outputs: Sequence[Mapping[str, Any]], answers: Sequence[Prediction], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the tensors of an answer."""
    columns: dict[str, Any] = {
        "probabilities": lambda: [
            float(np.float32(each.probabilities[name])) for each in answers for name in classes
        ],
        "label": lambda: [each.label for each in answers],
        "set": lambda: [name in (each.set or ()) for each in answers for name in classes],
        "uncertain": lambda: [bool(each.uncertain) for each in answers],
        "outlier": lambda: [bool(each.outlier) for each in answers],
        "distance": lambda: [float(np.float32(each.distance or 0)) for each in answers],
    }
    return [
        {
            "name": output["name"],
            "datatype": output["datatype"],
            "shape": [len(answers), *output["shape"][1:]],
            "data": columns[output["name"]](),
        }
        for output in outputs
    ]
